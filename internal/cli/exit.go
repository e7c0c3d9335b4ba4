package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sutler/internal/config"
	"sutler/internal/control"
)

// The exit codes. Others are those of the wrapped command.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitNotRunning  = 3
	exitUnverified  = 4
	exitRefused     = 5 // by policy
	exitNotStored   = 6 // and offline
	exitInterrupted = 130
)

// An exitError ends the program with a code.
type exitError struct {
	code  int
	err   error    // nil: everything was said already
	hints []string // what the user can do
}

// Error implements error.
func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

// Unwrap returns the cause.
func (e *exitError) Unwrap() error { return e.err }

// usage marks an error as a mistake in the command line.
func usage(err error) error {
	return &exitError{code: exitUsage, err: err, hints: []string{`"sutler help" lists commands, "sutler COMMAND --help" their flags`}}
}

// suggested writes the suggestions of a command line's error, which come as a paragraph
// each, in one line.
func suggested(err error) error {
	said, names, ok := strings.Cut(err.Error(), "\n\nDid you mean this?\n")
	if !ok {
		return err
	}
	return fmt.Errorf("%s; did you mean %s?", said, strings.Join(strings.Fields(names), " or "))
}

// hint adds what the user can do to an error.
func hint(err error, hints ...string) error {
	return &exitError{code: exitFailed, err: err, hints: hints}
}

// report prints an error and its hints, and returns the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return 0
	}
	e := classify(err)
	if e.err != nil {
		for _, line := range strings.Split(strings.TrimSpace(e.err.Error()), "\n") {
			if line == "" { // what is to be copied, or belongs together, is set apart by it
				a.say("")
				continue
			}
			a.say("%ssutler: error:%s %s", a.paint("31"), a.paint("0"), line)
		}
	}
	for _, h := range e.hints {
		a.say("sutler: hint: %s", h)
	}
	return e.code
}

// classify finds the exit code and the hints of an error.
func classify(err error) *exitError {
	var known *exitError
	var problems config.Problems
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, control.ErrNotRunning):
		return &exitError{code: exitNotRunning, err: err, hints: []string{"start it with: sutler up"}}
	case errors.As(err, &problems):
		return &exitError{code: exitUsage, err: err, hints: []string{`"sutler config init" writes a file with every key explained`}}
	case errors.Is(err, context.Canceled):
		return &exitError{code: exitInterrupted, err: errors.New("interrupted")}
	}
	return &exitError{code: exitFailed, err: err}
}

// paint returns an escape sequence for standard error, "" if that is no terminal.
func (a *app) paint(code string) string {
	if !a.colour(a.Stderr) {
		return ""
	}
	return "\x1b[" + code + "m"
}
