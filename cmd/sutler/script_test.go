package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"sutler": main}) }

// TestScript runs each script with folders, a socket and a port of its own; $PORT is free
// when the script starts. A daemon that a script leaves running is stopped.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		Setup: func(e *testscript.Env) error {
			// The path of a socket is short by nature, that of a script's folder is not.
			run, err := os.MkdirTemp("", "sutler-")
			if err != nil {
				return err
			}
			port, err := freePort()
			if err != nil {
				return err
			}
			for name, value := range map[string]string{
				"PORT": port, "RUN": run, "HOME": e.WorkDir, "XDG_CONFIG_HOME": e.WorkDir + "/.config",
				"SUTLER_CONFIG": os.DevNull, "SUTLER_SOCKET": run + "/s", "SUTLER_LISTEN": "127.0.0.1:" + port, "SUTLER_BRIDGES": "false",
				"SUTLER_ATTACH_ROOT": e.WorkDir + "/root", "XDG_RUNTIME_DIR": "", "SUTLER_STEPS": e.WorkDir + "/steps",
				"SUTLER_STORE_DIR": e.WorkDir + "/cache", "SUTLER_STORE_STATE": e.WorkDir + "/state", "SUTLER_STORE_MIN_FREE": "0",
			} {
				e.Setenv(name, value)
			}
			e.Defer(func() {
				if err := os.RemoveAll(run); err != nil {
					t.Error(err)
				}
			})
			return nil
		},
	})
}

// exits runs a command that must end with a code: exits 3 sutler status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG…]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = codeOf(err)
	}
	if got != args[0] {
		ts.Fatalf("%q ended with %s, want %s", args[1:], got, args[0])
	}
}

// codeOf returns the exit code in the error of a command.
func codeOf(err error) string {
	var ended *exec.ExitError
	if !errors.As(err, &ended) {
		return err.Error()
	}
	return strconv.Itoa(ended.ExitCode())
}

// freePort returns a port on loopback that nobody listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return "", err
	}
	return port, l.Close()
}
