package control

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// strangerSocket is the variable that makes the test program a stranger: it asks for the
// status on that socket and prints what it is told.
const strangerSocket = "TEST_STRANGER_SOCKET"

// nobody is a user that is not root.
const nobody = 65534

func TestMain(m *testing.M) {
	if socket := os.Getenv(strangerSocket); socket != "" {
		s, err := NewClient(socket).Status(context.Background())
		fmt.Println(s.Version, err)
		if err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// asNobody asks for the status as another user. The program is copied to where that user
// can read it.
func asNobody(t *testing.T, socket string) (string, error) {
	t.Helper()
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.CreateTemp("", "stranger-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(program.Name()) }) // a file in the temporary folder
	if _, err := program.Write(self); err != nil {
		t.Fatal(err)
	}
	if err := program.Chmod(0o755); err != nil {
		t.Fatal(err)
	}
	if err := program.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program.Name())
	cmd.Env = []string{strangerSocket + "=" + socket}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
