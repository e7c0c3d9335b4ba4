package netfilter

import (
	"os/exec"
	"runtime"
	"syscall"
)

// bind has the kernel kill a program, not started yet, when this process ends, however it
// ends: a renewal must not land after the death that it is to tell. The caller calls
// release when the program has ended. Until then the goroutine has a thread of its own: what
// the kernel looks at is the end of the thread that started the program (prctl(2),
// PR_SET_PDEATHSIG).
func bind(cmd *exec.Cmd) (release func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}
