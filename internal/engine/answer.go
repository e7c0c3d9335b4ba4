package engine

import (
	"io"
	"time"

	"sutler/internal/blob"
	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/index"
)

// An Outcome says how an answer came about. It is the one word used in logs, metrics,
// receipts and the Cache-Status field. Every request ends in exactly one.
type Outcome string

// The outcomes.
const (
	Hit         Outcome = "hit"         // stored and fresh
	Revalidated Outcome = "revalidated" // stored, confirmed by the origin just now
	Miss        Outcome = "miss"        // fetched for this request
	Joined      Outcome = "joined"      // fetched for another request at the same time
	Stale       Outcome = "stale"       // stored, standing in for a failing origin
	Bypass      Outcome = "bypass"      // passed through unstored
	Refused     Outcome = "refused"     // by policy
	Bad         Outcome = "bad"         // bytes contradict what was promised
	Error       Outcome = "error"       // no answer could be had
)

// An Answer is a body and how it was obtained. The caller reads it and then calls Close
// exactly once, which writes the receipt line.
type Answer struct {
	Outcome  Outcome
	Resource ecosystem.Resource
	Type     string        // Content-Type
	Digest   digest.Digest // SHA-256 of the body, "" while it is being fetched
	ETag     string        // strong, with quotes; "" while it is being fetched
	Modified time.Time
	Age      time.Duration // since the origin confirmed it
	Lifetime time.Duration // freshness left; for max-age towards clients
	Trust    index.Trust
	Voucher  string
	Signer   string
	Size     int64               // bytes, -1 while it is not known
	Header   []ecosystem.Setting // further fields for the client

	// Bytes is the whole body if it is small and in memory, else nil.
	Bytes []byte
	// Body reads the body; nil if Bytes is set. Reads of a body that is being fetched
	// wait for it; a read that fails means that the transfer must be broken off, never
	// completed. If Size is -1, Body cannot seek.
	Body io.ReadSeeker
	// Blob is set if Body is a stored blob: Blob.File may then be sent by sendfile.
	Blob blob.Reader

	sent  int64
	err   error
	close func(*Answer)
}

// Sent tells how many bytes went to the client, and the error that ended the transfer, if any.
func (a *Answer) Sent(n int64, err error) { a.sent, a.err = n, err }

// Close releases the body and writes the receipt line.
func (a *Answer) Close() {
	if a.close != nil {
		a.close(a)
		a.close = nil
	}
}
