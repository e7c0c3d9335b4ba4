// Package attach makes programs of this machine use sutler, and takes that back.
//
// Attaching a tool is: read its files, compute what they would be with our settings in
// them (package edit), write down in the manifest what they were, only then write them, make
// the tool read them, and prove that what worked before still works. Anything that fails
// on the way puts the old bytes back. Detaching takes our settings out of the files as
// they are then: what others changed meanwhile stays; where the two cannot be told apart
// nothing is touched. The manifest survives crashes and reboots, and a half-done attach is
// detached like a finished one.
//
// A tool is described by a [Tool]; the package knows no other way to change a machine.
package attach

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/rogpeppe/go-internal/diff"

	"sutler/internal/attach/tools"
	"sutler/internal/edit"
)

var (
	// ErrAbsent means that a tool is not on this machine.
	ErrAbsent = errors.New("not found here")
	// ErrUnable means that a tool is here and cannot be attached; what it wraps says why.
	ErrUnable = errors.New("cannot be attached")
	// ErrNoConsent means that a restart is needed that nobody agreed to.
	ErrNoConsent = errors.New("restart not agreed to")
)

// Need is what makes a tool read its files again.
type Need string

// The needs, from none to the one that interrupts work.
const (
	Nothing Need = ""
	Reload  Need = "reload"
	Restart Need = "restart"
)

// A Wish is what tools are to be told.
type Wish struct {
	Port string // on which sutler serves, on loopback and on bridges
	// Mirror says that registries' default one is to be asked through sutler.
	Mirror bool
	// DropIns is the folder of which the running sutler reads configuration files, "" if it
	// reads none.
	DropIns string
	// Hosts are some whose connections are opened where a client trusts Root.
	Hosts []string
	// StandIn is the address by which sutler leads names to itself.
	StandIn string
	// DNS says that docker's own settings are to name sutler as the containers' resolver.
	DNS bool
	// Runtime is the path of the OCI runtime wrapper, "" for none.
	Runtime string
	// Registries are hosts whose TLS connections end at sutler, for which the tool is to
	// trust Root, a certificate in PEM form.
	Registries []string
	Root       []byte
	// Bundle is the path of a file with the public roots and Root, "" if there is none.
	Bundle string
	// Wrapper is the program that stands in for runc and crun, nil if this sutler has none.
	Wrapper []byte
	// Steps is the folder from which Wrapper serves build steps, as the engines name it; ""
	// for the one that it takes by itself.
	Steps string
	// Env is what a login shell is told, in this order.
	Env []tools.Variable
	// Images are the hosts of the registries that sutler knows.
	Images []string
}

// A Plan is what attaching one tool would change.
type Plan struct {
	Files []File
	// Need is what has to follow for the files to have any effect.
	Need Need
	// More says what a restart gives beyond Need, "" if nothing.
	More string
	// Cost says what a restart interrupts.
	Cost string
	// Proof lists facts that must hold afterwards, as [Tool.Works] returns them.
	Proof []string
	// Notes are for people: advice, limits.
	Notes []string
	// Commands are what is run afterwards, as a person would type it.
	Commands []string
}

// A File is one file to be changed.
type File struct {
	Path string // as the tool names it
	Edit edit.Edit
	// Snippet is what a person would add by hand.
	Snippet string
	// Mode is that of a file that has to be made; 0 means 0644.
	Mode fs.FileMode
}

// A Tool is one program that can be made to use sutler. Methods that fail change nothing
// that is not written in the manifest.
type Tool interface {
	// Name is what the command line calls it. It never changes: the manifest has it.
	Name() string
	// Plan says what would change. It only reads. ErrAbsent if the tool is not here; other
	// errors say why it cannot be attached, and what to do.
	Plan(ctx context.Context, w Wish) (Plan, error)
	// Validate asks the tool whether it would take data as its file at path, nil for no
	// file. A tool that cannot be asked takes everything.
	Validate(ctx context.Context, path string, data []byte) error
	// Activate makes the tool read its files and waits until it has. A tool that is not
	// running has nothing to read; the returned notes say so.
	Activate(ctx context.Context, need Need) (notes []string, err error)
	// Works returns facts that hold now, among others of what containers can reach. What
	// held before an attach must hold after it.
	Works(ctx context.Context, w Wish) ([]string, error)
	// Tidy removes what Works left for its next call.
	Tidy(ctx context.Context)
}

// A Forgetful is a Tool that keeps, after a reload, a setting that is no longer in its file.
type Forgetful interface {
	// Between returns a file that has to be read on the way from before to after so that
	// nothing of before is kept; nil if none has to.
	Between(path string, before, after []byte) []byte
}

// A Change is a file before and after.
type Change struct {
	Path          string
	Before, After []byte      // nil: no file
	Mode          fs.FileMode // if it has to be made; 0 means 0644

	edit *editState // what After has of ours; nil if that is taken out
}

// same reports whether there is nothing to write.
func (c Change) same() bool { return digestOf(c.Before) == digestOf(c.After) }

// Diff returns the change as a unified diff; of programs, that they differ.
func (c Change) Diff() []byte {
	if bytes.IndexByte(c.Before, 0) >= 0 || bytes.IndexByte(c.After, 0) >= 0 {
		return fmt.Appendf(nil, "Binary files a%s and b%s differ\n", c.Path, c.Path)
	}
	return diff.Diff("a"+c.Path, c.Before, "b"+c.Path, c.After)
}

// An Outcome is what was done to a tool, or would be.
type Outcome struct {
	Tool    string   `json:"tool"`
	State   string   `json:"state"` // one of the states below
	Changes []Change `json:"-"`
	Files   []string `json:"files,omitempty"` // that were changed
	Did     Need     `json:"did,omitempty"`
	Notes   []string `json:"notes,omitempty"`
	Checked []string `json:"checked,omitempty"` // what holds now
}

// The states of an [Outcome].
const (
	Attached  = "attached"
	Unchanged = "unchanged" // as it was, already
	Detached  = "detached"
	Planned   = "planned" // nothing was done
)
