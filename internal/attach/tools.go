package attach

// Settings are the user's, of all tools.
type Settings struct {
	DockerRestart string // command that restarts docker, "" to find out
}

// Tools lists everything that can be attached, in the order in which it is. Adding one is
// one line.
func Tools(m Machine, s Settings) []Tool {
	return Dockers(m, s.DockerRestart)
}
