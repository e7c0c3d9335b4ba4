package cli

import (
	"errors"
	"fmt"
	"strings"
)

// buildFlags are the flags of `sutler build` that are ours. All others, and all arguments,
// belong to the engine and are passed on as they are.
type buildFlags struct {
	engine  string // auto, docker, buildx, podman or buildah
	receipt string // file for the receipt, "" for none
	strict  bool
	offline bool
	help    bool
	rest    []string // the engine's
}

// values returns the flags that take a value, by name.
func (b *buildFlags) values(a *app) map[string]*string {
	return map[string]*string{"--engine": &b.engine, "--receipt": &b.receipt, "--config": &a.config, "--socket": &a.socket}
}

// switches returns the flags that take none.
func (b *buildFlags) switches(a *app) map[string]*bool {
	return map[string]*bool{"--strict": &b.strict, "--offline": &b.offline, "--json": &a.json, "--help": &b.help, "-h": &b.help}
}

// parseBuild takes our flags out of the arguments. What follows "--" is the engine's.
func (a *app) parseBuild(args []string) (buildFlags, error) {
	b := buildFlags{engine: "auto"}
	values, switches := b.values(a), b.switches(a)
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			b.rest = append(b.rest, args[i:]...)
			break
		}
		name, value, joined := strings.Cut(arg, "=")
		switch {
		case values[name] != nil && joined:
			*values[name] = value
		case values[name] != nil && i+1 < len(args):
			i++
			*values[name] = args[i]
		case values[name] != nil:
			return b, fmt.Errorf("%s needs a value", name)
		case switches[name] != nil && joined:
			return b, fmt.Errorf("%s takes no value", name)
		case switches[name] != nil:
			*switches[name] = true
		default:
			b.rest = append(b.rest, arg)
			if takesValue(arg) && i+1 < len(args) {
				i++ // the engine's value is not looked at, even if it looks like a flag of ours
				b.rest = append(b.rest, args[i])
			}
		}
	}
	return b, b.check()
}

func (b *buildFlags) check() error {
	switch b.engine {
	case "auto", "docker", "buildx", "podman", "buildah":
		return nil
	}
	return errors.New("--engine is one of auto, docker, buildx, podman, buildah")
}

// takesValue reports whether a flag of an engine is followed by its value. It need only
// know those whose values people choose freely.
func takesValue(arg string) bool {
	switch arg {
	case "--build-arg", "--label", "-t", "--tag", "-f", "--file", "--target", "--annotation", "--build-context", "--secret":
		return true
	}
	return false
}
