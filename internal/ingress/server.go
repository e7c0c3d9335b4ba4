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
// them with Shutdown. Listeners are those of Listener, or hand out bare TCP connections:
// one in another wrapper cannot be used by sendfile. What clients do wrong goes to log, at debug level.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true) // inside TLS only
	return &http.Server{
		Handler:           guard(h),
		ConnContext:       withConn,
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		// net/http adds 4 KiB of its own.
		MaxHeaderBytes: headerSize - 4<<10,
		Protocols:      protocols,
		HTTP2:          &http.HTTP2Config{MaxConcurrentStreams: streams},
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// guard handles two things that net/http leaves to handlers.
func guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == "PRI": // the beginning of HTTP/2 without TLS
			Refuse(w, http.StatusHTTPVersionNotSupported, "HTTP/2 is spoken inside TLS only; use HTTP/1.1")
			return
		case len(r.TransferEncoding) > 0:
			// If the request had a Content-Length as well, net/http has dropped it without a
			// word. Some other program on the way may have believed it, so that what follows
			// on this connection could be the body of this request.
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}
