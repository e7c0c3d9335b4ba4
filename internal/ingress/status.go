package ingress

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/engine"
	"sutler/internal/policy"
	"sutler/internal/upstream"
)

// failures maps errors to statuses, the first that matches, with what the user can do.
// Policy is 403 and never 404, which many clients take for "ask the next registry".
var failures = []struct {
	is     error
	status int
	hint   string
}{
	{errTunnel, http.StatusForbidden, "put the host into the client's NO_PROXY, or run the client by `sutler exec` on sutler's machine"},
	{policy.ErrRefused, http.StatusForbidden, "change the rule that is named if this is wanted"},
	{ecosystem.ErrRefused, http.StatusForbidden, "talk to the registry itself for this operation"},
	{upstream.ErrBlocked, http.StatusForbidden, "if sutler may reach it, list host:port under upstream.allow_private_hosts, or upstream.allow_loopback for this machine"},
	{ecosystem.ErrUnknown, http.StatusNotFound, "check the path against the ecosystem's documentation; a host of your own is named by hosts = [\"ECOSYSTEM=HOST\"]"},
	{digest.ErrMismatch, http.StatusBadGateway, "nothing was stored; if it stays so, ask whoever runs the origin"},
	{ecosystem.ErrInvalid, http.StatusBadGateway, "nothing was stored; if it stays so, ask whoever runs the origin"},
	{engine.ErrRolledBack, http.StatusBadGateway, "wait for the mirror to catch up, or use another"},
	{engine.ErrTooLarge, http.StatusBadGateway, "raise the limit if a body of this size is expected"},
	{engine.ErrTooDeep, http.StatusBadGateway, "please report it"},
	{upstream.ErrNotFound, http.StatusNotFound, "check name and version"},
	{upstream.ErrForbidden, http.StatusForbidden, "check the credentials configured for the origin"},
	{upstream.ErrInvalid, http.StatusBadGateway, "nothing was stored; if it stays so, ask whoever runs the origin"},
	{upstream.ErrOffline, http.StatusGatewayTimeout, "build once while online to store it"},
	{upstream.ErrUnavailable, http.StatusGatewayTimeout, "try again when the origin can be reached"},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, "try again when the origin can be reached"},
}

// explain returns the HTTP status for an error of the engine, and a hint. An origin's own
// refusal keeps its status; an origin that answers nonsense or breaks its promise is 502,
// one that cannot be asked 504. What is not known is 500.
func explain(err error) (int, string) {
	if untrusted(err) { // the origin was reached, and is not who it should be
		return http.StatusBadGateway, "if a proxy opens the TLS of this network, name its root as upstream.ca_file, or add it to this machine's roots and restart sutler"
	}
	for _, f := range failures {
		if errors.Is(err, f.is) {
			return refine(err, f.status), f.hint
		}
	}
	return http.StatusInternalServerError, "see sutler's log"
}

// untrusted reports whether the origin's certificate was refused.
func untrusted(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// refine replaces a status by the origin's own where clients need that one.
func refine(err error, status int) int {
	var said *upstream.StatusError
	switch {
	case !errors.As(err, &said):
		return status
	case status == http.StatusNotFound || status == http.StatusForbidden || said.Status == http.StatusTooManyRequests:
		if said.Status >= 400 && said.Status < 500 {
			return said.Status
		}
	case status == http.StatusGatewayTimeout:
		return http.StatusBadGateway // it answered, if only to say that it is in trouble
	}
	return status
}

// A dialect is how the clients of an ecosystem want to be told of a failure.
type dialect struct {
	contentType string
	body        func(status int, path, text string) any // is sent as JSON
	permanent   int                                     // instead of 502 for bytes that are not what was promised
	offline     int                                     // instead of 504 for what is not stored
}

// dialects has those that plain text does not serve. npm shows the member "error" of a
// JSON body, and asks again for over two minutes after any 5xx. Clients of container
// registries show the messages of the list that the distribution specification defines,
// but only those of a 4xx.
var dialects = map[string]dialect{
	"npm": {"application/json", npmError, http.StatusUnprocessableEntity, http.StatusForbidden},
	"oci": {"application/json", ociErrors, 0, http.StatusForbidden},
}

// npmError returns {"error": text}.
func npmError(_ int, _, text string) any { return map[string]string{"error": text} }

// ociErrors returns {"errors": [{"code": …, "message": text}]}.
func ociErrors(status int, path, text string) any {
	code := "UNKNOWN"
	switch status {
	case http.StatusNotFound:
		code = "MANIFEST_UNKNOWN"
		if strings.Contains(path, "/blobs/") {
			code = "BLOB_UNKNOWN"
		}
	case http.StatusUnauthorized:
		code = "UNAUTHORIZED"
	case http.StatusForbidden:
		code = "DENIED"
	case http.StatusMethodNotAllowed:
		code = "UNSUPPORTED"
	case http.StatusTooManyRequests:
		code = "TOOMANYREQUESTS"
	}
	return map[string]any{"errors": []map[string]string{{"code": code, "message": text}}}
}

// fail answers with an error: one sentence that says what, where, and what to do. The
// reason phrase, which is all that some clients show, cannot be set with net/http.
func (p *Responder) fail(w http.ResponseWriter, r *http.Request, req ecosystem.Request, err error) {
	status, hint := explain(err)
	if errors.Is(err, ecosystem.ErrRefused) && r.Method != http.MethodGet && r.Method != http.MethodHead {
		status = http.StatusMethodNotAllowed
	}
	text := fmt.Sprintf("%v; %s", err, hint)
	if status == http.StatusInternalServerError {
		text = "internal error at " + publicURL(req.URL) + "; " + hint
	}
	outcome := engine.Fails(err)
	d, special := dialects[p.ecosystem(req)]
	switch {
	case d.permanent != 0 && outcome == engine.Bad:
		status = d.permanent
	case d.offline != 0 && errors.Is(err, upstream.ErrOffline):
		status = d.offline
	}
	h := w.Header()
	undescribe(h)
	h["Cache-Status"], h["Cache-Control"] = cacheStatus[outcome], neverStored
	if status == http.StatusMethodNotAllowed {
		h.Set("Allow", "GET, HEAD")
	}
	if said, ok := errors.AsType[*upstream.StatusError](err); ok {
		if said.RetryAfter > 0 {
			h.Set("Retry-After", strconv.FormatInt(int64((said.RetryAfter+time.Second-1)/time.Second), 10))
		}
		for _, f := range said.Header {
			h.Add(f.Name, f.Value)
		}
	}
	if !special {
		refuse(w, status, text)
		return
	}
	body, err := json.Marshal(d.body(status, req.URL.Path, "sutler: "+oneLine(text)))
	if err != nil {
		body = []byte("{}") // strings always encode
	}
	send(w, status, d.contentType, string(body)+"\n")
}

// refuse answers with a status and one line of text.
func refuse(w http.ResponseWriter, status int, text string) {
	send(w, status, "text/plain; charset=utf-8", "sutler: "+oneLine(text)+"\n")
}

// Refuse answers, on behalf of a way in, a request that never became one for the engine:
// one sentence of text, not to be stored.
func Refuse(w http.ResponseWriter, status int, text string) {
	w.Header()["Cache-Control"] = neverStored
	refuse(w, status, text)
}

// RefuseTunnel answers a CONNECT that led nowhere. To a client of a proxy an origin that
// cannot be reached is 502.
func RefuseTunnel(w http.ResponseWriter, err error) {
	status, hint := explain(err)
	switch {
	case errors.Is(err, upstream.ErrOffline):
		status, hint = http.StatusBadGateway, "what goes through tunnels is not stored: build without --offline for it"
	case errors.Is(err, upstream.ErrUnavailable):
		status = http.StatusBadGateway
	}
	Refuse(w, status, fmt.Sprintf("%v; %s", err, hint))
}

// send writes a short answer. A client that is gone does not read it, and nothing depends
// on its having been read.
func send(w http.ResponseWriter, status int, contentType, body string) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

// oneLine returns text as one line of at most 1,000 bytes without control characters:
// parts of it come from outside.
func oneLine(text string) string {
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > 1000 {
		text = strings.ToValidUTF8(text[:1000], "") + "…"
	}
	return text
}
