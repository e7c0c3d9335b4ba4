package ingress

import (
	"errors"
	"net"
	"sync"
)

// ErrStopping means that no further connection is taken.
var ErrStopping = errors.New("sutler is stopping")

// A Door is a listener through which connections that came in elsewhere reach a server.
type Door struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewDoor returns an open door.
func NewDoor() *Door { return &Door{conns: make(chan net.Conn), closed: make(chan struct{})} }

// Admit lets a connection in; false if the door is closed.
func (d *Door) Admit(c net.Conn) bool {
	select {
	case d.conns <- c:
		return true
	case <-d.closed:
		return false
	}
}

// Accept waits for the next connection.
func (d *Door) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.closed:
		return nil, ErrStopping
	}
}

// Close closes the door.
func (d *Door) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

// Addr names the door.
func (d *Door) Addr() net.Addr { return doorAddr{} }

// doorAddr is the address of what has none.
type doorAddr struct{}

// Network returns "door".
func (doorAddr) Network() string { return "door" }

// String returns "intercepted".
func (doorAddr) String() string { return "intercepted" }
