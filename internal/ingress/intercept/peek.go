package intercept

import (
	"errors"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// peek waits for the first byte of a connection and leaves it there, so that the kernel
// can still move files into what turns out to be plain HTTP. The read deadline holds.
func peek(c *net.TCPConn) (byte, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var b [1]byte
	var n int
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		n, _, failed = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK)
		return !errors.Is(failed, unix.EAGAIN) && !errors.Is(failed, unix.EINTR)
	})
	if err = errors.Join(err, failed); err == nil && n == 0 {
		err = io.EOF
	}
	return b[0], err
}
