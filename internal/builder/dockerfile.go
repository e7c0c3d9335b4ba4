package builder

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A dockerfile is what concerns us of a Dockerfile.
type dockerfile struct {
	known  bool   // false if it is not a local file: standard input, a remote context
	syntax string // of its syntax line
	args   map[string]bool
}

var (
	directive = regexp.MustCompile(`^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$`)
	argLine   = regexp.MustCompile(`(?i)^\s*(?:ONBUILD\s+)?ARG\s+(.*)$`)
	stockName = regexp.MustCompile(`^(docker\.io/)?docker/dockerfile(-upstream)?(:(1(\.\d+)*|latest|master)(-labs)?)?(@sha256:[0-9a-f]+)?$`)
)

// readDockerfile looks at the build's Dockerfile, if it is a file of this machine.
func readDockerfile(a arguments) dockerfile {
	path := a.file
	switch {
	case path == "-" || a.context == "-" && path == "":
		return dockerfile{}
	case path == "":
		if !isDir(a.context) {
			return dockerfile{}
		}
		path = filepath.Join(a.context, "Dockerfile")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return dockerfile{} // the engine will say so
	}
	return parseDockerfile(data)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// parseDockerfile finds the syntax line and the declared arguments. It takes too much for
// an ARG (continued lines, heredocs) rather than too little.
func parseDockerfile(data []byte) dockerfile {
	d := dockerfile{known: true, args: map[string]bool{}}
	directives := true
	for scan := bufio.NewScanner(bytes.NewReader(data)); scan.Scan(); {
		line := strings.TrimPrefix(scan.Text(), "\ufeff")
		if directives {
			m := directive.FindStringSubmatch(line)
			if m != nil && strings.EqualFold(m[1], "syntax") {
				d.syntax = m[2]
			}
			directives = m != nil || d.syntax == "" && strings.HasPrefix(line, "#!")
		}
		if m := argLine.FindStringSubmatch(line); m != nil {
			for word := range strings.FieldsSeq(m[1]) {
				name, _, _ := strings.Cut(word, "=")
				d.args[name] = true
			}
		}
	}
	return d
}

// foreign reports whether the Dockerfile asks for a frontend that ours does not replace.
func (d dockerfile) foreign() bool {
	ref, _, _ := strings.Cut(d.syntax, " ")
	return d.syntax != "" && !stockName.MatchString(ref)
}
