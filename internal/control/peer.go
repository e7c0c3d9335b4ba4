package control

import (
	"net"
	"os"
)

// Private returns a listener of the unix socket l that only lets in the user who runs this
// process, and root. The permissions of the socket say the same; this holds also while it
// is being made, and in a folder that somebody opened to others. Closing it closes l.
func Private(l net.Listener) net.Listener { return private{l} }

type private struct{ net.Listener }

// Accept returns the next connection of a peer that may come in, and closes the others.
func (p private) Accept() (net.Conn, error) {
	for {
		c, err := p.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if u, ok := c.(*net.UnixConn); ok && allowed(u) {
			return c, nil
		}
		_ = c.Close() // a stranger's
	}
}

// allowed reports whether the peer of a connection may come in. If the system does not
// say who it is, it may not.
func allowed(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	uid, known := -1, false
	err = raw.Control(func(fd uintptr) { uid, known = peer(int(fd)) })
	return err == nil && known && admits(os.Geteuid(), uid)
}

// admits reports whether a daemon that runs as owner answers to a peer.
func admits(owner, peer int) bool { return peer == owner || peer == 0 }
