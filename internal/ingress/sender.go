package ingress

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// A client must take piece bytes within patience: 9 kB/s. Who reads more slowly holds a
// file and a connection for nothing.
const (
	piece    = 1 << 20
	patience = 2 * time.Minute
)

// A sender is the response writer for bodies that are not small. It counts, keeps the
// first error, bounds the time that a client may take, and sends nothing before the first
// byte of the body is there: until then the answer can still become an error. It passes
// files on as they are, so that net/http can use sendfile.
type sender struct {
	http.ResponseWriter
	control   *http.ResponseController
	head      bool
	status    int  // 0 until WriteHeader
	committed bool // the head was handed over
	sent      int64
	err       error
}

// newSender returns a sender for the answer to r.
func newSender(w http.ResponseWriter, r *http.Request) *sender {
	return &sender{ResponseWriter: w, control: http.NewResponseController(w), head: r.Method == http.MethodHead}
}

// Unwrap gives http.ResponseController what it needs.
func (s *sender) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// WriteHeader notes the status; it is sent with the first byte of the body, or by finish.
func (s *sender) WriteHeader(status int) {
	if s.status == 0 {
		s.status = status
	}
}

// commit sends the head.
func (s *sender) commit() {
	if s.committed {
		return
	}
	s.committed = true
	if s.status != 0 {
		s.ResponseWriter.WriteHeader(s.status)
	}
}

// Write sends p.
func (s *sender) Write(p []byte) (int, error) {
	s.commit()
	s.extend()
	n, err := s.ResponseWriter.Write(p)
	s.sent += int64(n)
	return n, s.note(err)
}

// ReadFrom sends what src holds.
func (s *sender) ReadFrom(src io.Reader) (int64, error) {
	limited, ok := src.(*io.LimitedReader)
	if !ok {
		limited = &io.LimitedReader{R: src, N: 1<<63 - 1}
	}
	if _, file := limited.R.(*os.File); file {
		s.commit()
		return s.sendFile(limited)
	}
	return s.copy(limited)
}

// sendFile sends a file piece by piece. Each piece is a LimitedReader of the bare file:
// the shape for which net uses sendfile.
func (s *sender) sendFile(src *io.LimitedReader) (int64, error) {
	to, ok := s.ResponseWriter.(io.ReaderFrom)
	if !ok { // HTTP/2
		return s.copy(src)
	}
	var total int64
	for src.N > 0 {
		s.extend()
		part := &io.LimitedReader{R: src.R, N: min(src.N, piece)}
		n, err := to.ReadFrom(part)
		src.N -= n
		total += n
		s.sent += n
		if err != nil || n == 0 {
			return total, s.note(err)
		}
	}
	return total, nil
}

// copy sends what a reader gives, as it comes: a body that is being fetched must reach the
// client at the speed of its origin.
func (s *sender) copy(src *io.LimitedReader) (int64, error) {
	buf := make([]byte, min(32<<10, max(1, src.N)))
	var total int64
	for src.N > 0 {
		n, err := src.Read(buf)
		if n > 0 {
			m, werr := s.Write(buf[:n])
			total += int64(m)
			if werr != nil {
				return total, werr
			}
		}
		if n < len(buf) && err == nil {
			// All there is yet was sent: do not let the rest of it sit in a buffer. A writer
			// that cannot flush has none.
			_ = s.control.Flush()
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return total, s.note(err)
		}
	}
	return total, nil
}

// extend gives the client the time for one more piece. Writers that know no deadlines
// (those of tests) are left alone.
func (s *sender) extend() { _ = s.control.SetWriteDeadline(time.Now().Add(patience)) }

// note keeps the first error.
func (s *sender) note(err error) error {
	if s.err == nil {
		s.err = err
	}
	return err
}

// finish ends the answer: it sends the head of one without a body, takes the deadline
// off the connection, which may serve other requests, and returns the error that ended
// the body, err if there was none before. A body shorter than was announced is an error.
func (s *sender) finish(err error) error {
	if s.err != nil {
		err = s.err
	}
	if err == nil && !s.head && (s.status == http.StatusOK || s.status == http.StatusPartialContent) {
		if want, perr := strconv.ParseInt(s.Header().Get("Content-Length"), 10, 64); perr == nil && want > s.sent {
			err = shortBy(s.sent, want)
		}
	}
	if err != nil {
		return err
	}
	s.commit()
	_ = s.control.SetWriteDeadline(time.Time{}) // see extend
	return nil
}
