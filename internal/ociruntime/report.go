package ociruntime

import (
	"encoding/json"
	"net"
	"path/filepath"
	"time"
)

// A Report says that a step begins or has ended. It is one datagram.
type Report struct {
	ID        string   `json:"id,omitempty"` // of the step, the user name of its proxy; none if it has ended
	Container string   `json:"container"`    // id in the engine
	Builder   string   `json:"builder,omitempty"`
	Args      []string `json:"args,omitempty"`   // command of the step, perhaps shortened
	Cgroup    string   `json:"cgroup,omitempty"` // of the container, as the engine asked for it
	Rootfs    string   `json:"rootfs,omitempty"`
	PID       int      `json:"pid,omitempty"` // of the runtime
}

// maxArgs bounds the command in a report, bytes; MaxReport bounds all of it.
const (
	maxArgs   = 4 << 10
	MaxReport = 32 << 10
)

// sendWithin bounds how long a report may take. Nobody waits for an answer: it is about a
// socket whose queue is full.
const sendWithin = 5 * time.Millisecond

// dial connects to the daemon. The kernel refuses if no process listens, so that this is
// also how to know that the daemon is alive.
func dial(steps string) (net.Conn, error) {
	return net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: filepath.Join(steps, SocketName)})
}

// send sends a report. A lost one costs the name of a step, and nothing else.
func (r Report) send(c net.Conn) {
	room := maxArgs
	args := r.Args
	r.Args = nil
	for _, a := range args {
		if len(a) > room {
			a = a[:room] + " …"
		}
		room = max(0, room-len(a))
		r.Args = append(r.Args, a)
		if room == 0 {
			break
		}
	}
	data, err := json.Marshal(r)
	if err != nil || len(data) > MaxReport || c.SetWriteDeadline(time.Now().Add(sendWithin)) != nil {
		return
	}
	_, _ = c.Write(data) // as said above
}
