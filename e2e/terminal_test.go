//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sutler/internal/pty"
)

// A console is a terminal with a program on it.
type console struct {
	t     *testing.T
	keys  *os.File
	cmd   *exec.Cmd
	ended chan error

	mu   sync.Mutex
	text bytes.Buffer
}

// onTerminal starts the program under test in the foreground of a terminal of its own.
func (d *daemon) onTerminal(args ...string) *console {
	d.t.Helper()
	keys, screen, err := pty.Open()
	if err != nil {
		lacks(d.t, "no terminals: "+err.Error())
	}
	defer screen.Close()
	command := append(append([]string{}, d.in...), append([]string{binary}, args...)...)
	c := &console{t: d.t, keys: keys, cmd: exec.Command(command[0], command[1:]...), ended: make(chan error, 1)}
	c.cmd.Env, c.cmd.Dir = append(d.env, "TERM=xterm", "NO_COLOR=1"), d.dir
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = screen, screen, screen
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	var reader sync.WaitGroup
	reader.Go(func() { _, _ = io.Copy(c, keys) }) // ends when nobody has the terminal open any more
	go func() { err := c.cmd.Wait(); reader.Wait(); c.ended <- err }()
	d.t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it has ended, as a rule
		_ = keys.Close()
	})
	return c
}

// Write keeps what the program shows.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(p)
}

// shown returns what was on the screen so far.
func (c *console) shown() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// await waits until a text is on the screen.
func (c *console) await(text string) {
	c.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !strings.Contains(c.shown(), text); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("the screen never shows %q:\n%s", text, c.shown())
		}
	}
}

// press types keys.
func (c *console) press(keys string) {
	c.t.Helper()
	if _, err := io.WriteString(c.keys, keys); err != nil {
		c.t.Fatal(err)
	}
}

// end waits until the program has ended, and returns its exit code and how long that took.
func (c *console) end() (code int, took time.Duration) {
	c.t.Helper()
	began := time.Now()
	select {
	case <-c.ended:
		return c.cmd.ProcessState.ExitCode(), time.Since(began)
	case <-time.After(time.Minute):
		c.t.Fatalf("it does not end:\n%s", c.shown())
		return 0, 0
	}
}

const ctrlC = "\x03"

// insist presses Ctrl-C again and again until the program has ended: a second one that
// comes before the first was noticed is none.
func (c *console) insist() (code int, took time.Duration) {
	c.t.Helper()
	stop := make(chan struct{})
	var typist sync.WaitGroup
	defer typist.Wait()
	defer close(stop)
	typist.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			_, _ = io.WriteString(c.keys, ctrlC) // it fails once nobody has the terminal open
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	})
	return c.end()
}

// TestInterruptedBuild presses Ctrl-C during a build: once ends it in order, more end it at once.
func TestInterruptedBuild(t *testing.T) {
	d := inEngine(t, "docker28")
	dir := t.TempDir()
	write(t, dir+"/Dockerfile", "FROM debian:bookworm-slim\nRUN echo step is running && sleep 120\n")
	for name, interrupt := range map[string]func(c *console) (int, time.Duration){
		"once":  func(c *console) (int, time.Duration) { c.press(ctrlC); return c.end() },
		"often": (*console).insist,
	} {
		before := d.sutler("receipt", "ls", "--json").out
		c := d.onTerminal("build", "--no-cache", "--progress=plain", dir)
		c.await("step is running\r\n")
		code, took := interrupt(c)
		if code == 0 || took > 20*time.Second || !strings.Contains(c.shown(), "receipt ") {
			t.Errorf("Ctrl-C %s: exit %d after %s\n%s", name, code, took, c.shown())
		}
		after := d.sutler("receipt", "ls", "--json").out
		if before == after || !strings.Contains(after, fmt.Sprintf(`"exitCode": %d`, code)) {
			t.Errorf("Ctrl-C %s, exit %d: receipts\n%s", name, code, after)
		}
	}
}

// TestInterruptedCommand: the command that exec runs decides what the first Ctrl-C means,
// the second ends it.
func TestInterruptedCommand(t *testing.T) {
	d := start(t)
	c := d.onTerminal("exec", "--", "sh", "-c", "trap 'echo asked; exit 9' INT; echo ready; sleep 60 & wait")
	c.await("ready\r\n")
	c.press(ctrlC)
	if code, _ := c.end(); code != 9 || !strings.Contains(c.shown(), "asked") || !strings.Contains(c.shown(), "receipt ") {
		t.Errorf("exit %d\n%s", code, c.shown())
	}
	c = d.onTerminal("exec", "--", "sh", "-c", "trap '' INT; echo ready; exec sleep 60")
	c.await("ready\r\n")
	if code, took := c.insist(); code != 137 || took > 20*time.Second {
		t.Errorf("twice: exit %d after %s\n%s", code, took, c.shown())
	}
}
