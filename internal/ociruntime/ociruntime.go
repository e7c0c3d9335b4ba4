package ociruntime

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// A Place says what this program stands for. It is read from the file beside the program
// that is named as it is, with InstallSuffix added; without one, all is found out.
type Place struct {
	Runtime string `json:"runtime"` // the real runtime; "": the next runc or crun on PATH
	Steps   string `json:"steps"`   // folder of the settings; "": DefaultSteps
}

// InstallSuffix is the end of the name of the file that holds a Place.
const InstallSuffix = ".json"

// passed is the variable that lists the programs which stood in for a runtime so far: two
// that name each other would go on forever.
const passed = "SUTLER_RUNC"

// Main gives a build step what it needs, then becomes the real runtime, with the same
// arguments. It returns only if there is no runtime; the exit code is that of a shell that
// did not find its command.
func Main(args, environ []string, stderr io.Writer) int {
	self, err := os.Executable()
	if err != nil {
		self = args[0]
	}
	var p Place
	_ = decode(self+InstallSuffix, &p) // without it, the defaults hold
	if p.Steps == "" {
		p.Steps = DefaultSteps
	}
	// Nothing in there is worth a container that does not start.
	func() {
		defer func() { _ = recover() }()
		_ = serve(args[1:], p.Steps) // the runtime says itself what it does not like
	}()
	been := append(filepath.SplitList(lookup(environ, passed)), self)
	environ = set(environ, passed, strings.Join(been, string(filepath.ListSeparator)))
	err = become(p.Runtime, been, args, environ)
	for _, path := range candidates(self, lookup(environ, "PATH")) {
		err = errors.Join(err, become(path, been, args, environ))
	}
	fmt.Fprintf(stderr, "%s: no container runtime can be started (%v); name it in %s as {\"runtime\": \"/usr/sbin/runc\"}\n", self, err, self+InstallSuffix)
	return 127
}

// become replaces this process by another program, unless that stood here before. It
// returns only if it could not.
func become(path string, been, args, environ []string) error {
	if path == "" || isOneOf(path, been) {
		return nil
	}
	if err := syscall.Exec(path, append([]string{path}, args[1:]...), environ); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// serve does what is to be done before the real runtime runs.
func serve(args []string, steps string) error {
	c := parse(args)
	switch c.verb {
	case "create", "run":
		return begin(c, steps)
	case "delete":
		conn, err := dial(steps)
		if err != nil {
			return err
		}
		Report{Container: c.id}.send(conn)
		return conn.Close()
	}
	return nil
}

// begin patches the bundle of a build step and reports it.
func begin(c command, steps string) error {
	if c.config {
		return errors.New("another configuration than the bundle's")
	}
	bundle, err := filepath.Abs(c.bundle)
	if err != nil {
		return err
	}
	path := filepath.Join(bundle, "config.json")
	config, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var s spec
	if err := json.Unmarshal(config, &s); err != nil {
		return err
	}
	st, ok := recognise(c, bundle, s)
	if !ok {
		return nil
	}
	conn, err := dial(steps)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing is pending on it
	r := Report{Container: c.id, Builder: st.builder, Args: s.Process.Args, Cgroup: s.Linux.CgroupsPath, Rootfs: s.Root.Path, PID: os.Getpid()}
	set, err := read(steps)
	if err != nil {
		return err
	}
	s.Process.Env = set.forget(s.Process.Env)
	if err := s.suits(); err != nil {
		return err
	}
	address, err := set.address(st)
	if err != nil {
		return err
	}
	if r.ID, err = newID(); err != nil {
		return err
	}
	if err := patch(path, config, merge(s.Process.Env, set.environment(r.ID, address)), filepath.Join(steps, FilesName)); err != nil {
		return err
	}
	r.send(conn)
	return nil
}

// newID returns an id for a step.
func newID() (string, error) {
	var raw [8]byte
	_, err := rand.Read(raw[:])
	return hex.EncodeToString(raw[:]), err
}

// patch writes a configuration with these variables and files.
func patch(path string, config []byte, env []string, files string) error {
	if _, err := os.Stat(files); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	edited, err := edit(config, env, files)
	if err != nil {
		return err
	}
	return Replace(path, edited, info.Mode().Perm())
}

// candidates lists where the real runtime may be: on PATH, then where it usually is. One
// of the name that this program goes by comes first.
func candidates(self, path string) []string {
	dirs := append(filepath.SplitList(path), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
	var out []string
	names := []string{"runc", "crun"}
	if filepath.Base(self) == "crun" {
		names = []string{"crun", "runc"}
	}
	for _, name := range names {
		for _, dir := range dirs {
			at := filepath.Join(dir, name)
			if info, err := os.Stat(at); err == nil && filepath.IsAbs(at) && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				out = append(out, at)
			}
		}
	}
	return out
}

// isOneOf reports whether a path leads to one of the files.
func isOneOf(path string, files []string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	for _, f := range files {
		if i, err := os.Stat(f); err == nil && os.SameFile(info, i) {
			return true
		}
	}
	return false
}

// lookup returns the value of a variable.
func lookup(environ []string, name string) string {
	for _, v := range environ {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// set returns environ with a variable set.
func set(environ []string, name, value string) []string {
	out := make([]string, 0, len(environ)+1)
	for _, v := range environ {
		if !strings.HasPrefix(v, name+"=") {
			out = append(out, v)
		}
	}
	return append(out, name+"="+value)
}
