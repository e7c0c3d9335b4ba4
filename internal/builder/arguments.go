package builder

import (
	"os"
	"strings"
)

// valueFlags are the flags of docker build and docker buildx build that take a value.
// All others are taken for switches: what is missing here can only make us overlook the
// Dockerfile or the builder's name.
var valueFlags = map[string]bool{
	"--add-host": true, "--allow": true, "--annotation": true, "--attest": true, "--build-arg": true,
	"--build-context": true, "--builder": true, "--cache-from": true, "--cache-to": true, "--call": true,
	"--cgroup-parent": true, "--cpu-period": true, "--cpu-quota": true, "--cpu-shares": true,
	"--cpuset-cpus": true, "--cpuset-mems": true, "--file": true, "--iidfile": true, "--invoke": true,
	"--isolation": true, "--label": true, "--memory": true, "--memory-swap": true, "--metadata-file": true,
	"--network": true, "--no-cache-filter": true, "--output": true, "--platform": true, "--policy": true,
	"--print": true, "--progress": true, "--provenance": true, "--sbom": true, "--secret": true,
	"--security-opt": true, "--shm-size": true, "--ssh": true, "--tag": true, "--target": true, "--ulimit": true,
}

// shortFlags are the one-letter flags that take a value, by their long names.
var shortFlags = map[byte]string{
	'c': "--cpu-shares", 'f': "--file", 'm': "--memory", 'o': "--output", 't': "--tag",
}

// arguments are what concerns us of the arguments of a docker build.
type arguments struct {
	file      string            // of -f, "" if not given
	context   string            // directory, URL or "-"; "" if there is none
	builder   string            // of --builder
	buildArgs map[string]string // of --build-arg, also those taken from the environment
}

// parseArguments reads the arguments as the engine's own command line does. It knows no
// wrong ones: to complain is the engine's part.
func parseArguments(args []string) arguments {
	a := arguments{buildArgs: map[string]string{}}
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			if i+1 < len(args) {
				a.context = args[len(args)-1]
			}
			break
		}
		name, value, complete := splitFlag(args[i])
		switch {
		case name == "":
			a.context = args[i]
		case complete:
			a.set(name, value)
		case i+1 < len(args):
			i++
			a.set(name, args[i])
		}
	}
	return a
}

// splitFlag returns the long name of the flag that arg is, "" if it is none. If complete
// is false, the value is the next argument.
func splitFlag(arg string) (name, value string, complete bool) {
	if !strings.HasPrefix(arg, "-") || arg == "-" {
		return "", "", true
	}
	if strings.HasPrefix(arg, "--") {
		name, value, found := strings.Cut(arg, "=")
		return name, value, found || !valueFlags[name]
	}
	for i := 1; i < len(arg); i++ {
		long, ok := shortFlags[arg[i]]
		if !ok {
			continue // a switch, such as the first of -qt
		}
		rest := arg[i+1:]
		return long, strings.TrimPrefix(rest, "="), rest != ""
	}
	return arg, "", true
}

func (a *arguments) set(name, value string) {
	switch name {
	case "--file":
		a.file = value
	case "--builder":
		a.builder = value
	case "--build-arg":
		name, v, found := strings.Cut(value, "=")
		if !found {
			if v, found = os.LookupEnv(name); !found {
				return
			}
		}
		a.buildArgs[name] = v
	}
}

// ownProxy returns the name of a build argument by which the user gave the build a proxy.
func (a *arguments) ownProxy() string {
	for _, name := range proxyNames {
		if a.buildArgs[name] != "" {
			return name
		}
	}
	return ""
}
