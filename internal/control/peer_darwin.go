package control

import "golang.org/x/sys/unix"

// peer returns the user on the other side of a unix socket, as it was when it connected.
func peer(fd int) (uid int, known bool) {
	c, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return -1, false
	}
	return int(c.Uid), true
}
