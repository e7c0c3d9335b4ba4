package ociruntime

import "strings"

// A command is what the caller wants of the runtime, as far as it matters here.
type command struct {
	verb   string // "create", "run", "delete" …
	bundle string // "" for the working folder
	id     string // of the container
	config bool   // another file than the bundle's config.json is to be used
}

// globalValues and values list the options of runc and crun, without their dashes, that
// take the next argument as value: those before the command, and those of create and run.
const (
	globalValues = " log log-format root criu cgroup-manager rootless "
	values       = " b bundle f config console-socket pid-file pidfd-socket preserve-fds "
)

// parse reads the arguments of a runtime. Options that it does not know are taken for
// switches; if that is wrong the verb or the id is, and nothing is patched.
func parse(args []string) command {
	var c command
	for i := 0; i < len(args); i++ {
		a := args[i]
		if !strings.HasPrefix(a, "-") || a == "-" {
			if c.verb == "" {
				c.verb = a
			} else {
				c.id = a
			}
			continue
		}
		name, value, joined := strings.Cut(strings.TrimLeft(a, "-"), "=")
		known := globalValues
		if c.verb != "" {
			known = values
		}
		if !joined && strings.Contains(known, " "+name+" ") && i+1 < len(args) {
			i++
			value = args[i]
		}
		if c.verb == "" {
			continue
		}
		switch name {
		case "b", "bundle":
			c.bundle = value
		case "f", "config":
			c.config = true
		}
	}
	return c
}
