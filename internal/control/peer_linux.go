package control

import "golang.org/x/sys/unix"

// peer returns the user on the other side of a unix socket, as it was when it connected.
func peer(fd int) (uid int, known bool) {
	c, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return -1, false
	}
	return int(c.Uid), true
}
