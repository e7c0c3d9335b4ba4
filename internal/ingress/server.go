package ingress

import (
	"log/slog"
	"net/http"
	"time"
)

// Limits of what a client may do before it has sent a request.
const (
	headerTime = 30 * time.Second
	idleTime   = 5 * time.Minute
	// headerSize is what a request line and its fields may take, bytes.
	headerSize = 64 << 10
	// streams is how many requests may run on one HTTP/2 connection: cargo and go ask for
	// hundreds of files at once.
	streams = 1000
)

// NewServer returns a server for h, with the time-outs that every listener of sutler has.
// There is none for a whole answer: a large layer takes as long as it takes; see sender.
// The caller calls Serve with a listener of its own, one goroutine each, and ends all of
// them with Shutdown. Listeners must hand out bare TCP connections: one in a wrapper
// cannot be used by sendfile. What clients do wrong goes to log, at debug level.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true) // inside TLS only
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		// net/http adds 4 KiB of its own.
		MaxHeaderBytes: headerSize - 4<<10,
		Protocols:      protocols,
		HTTP2:          &http.HTTP2Config{MaxConcurrentStreams: streams},
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
