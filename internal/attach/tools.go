package attach

import "context"

// Settings are the user's, of all tools.
type Settings struct {
	DockerRestart   string // command that restarts docker, "" to find out
	BuildKitRestart string // likewise of buildkitd
}

// Tools lists what `up` attaches where it finds it, in this order: the engines that build.
// What it does is for builds and pulls of images alone. Adding one is one line.
func Tools(m Machine, s Settings) []Tool {
	out := append(Dockers(m, s.DockerRestart), &Wrapper{Machine: m})
	return append(out, newPodman(m), newBuildKit(m, s.BuildKitRestart))
}

// Canonical returns the name of the tool that a name means: some programs share their files.
func Canonical(name string) string {
	if name == "buildah" || name == "skopeo" {
		return "podman"
	}
	return name
}

// NamedTools lists what is attached only where it is named: what it does is for all the
// users of a program, not for builds alone. reload is that of [Resolver].
func NamedTools(m Machine, reload func(context.Context) error) []Tool {
	return append(clients(m), &Resolver{Machine: m, Reload: reload})
}
