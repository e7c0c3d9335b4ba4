package ingress

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/engine"
	"sutler/internal/upstream"
)

// hopByHop are the fields that end at the next hop (RFC 9110, section 7.6.1), besides
// those that Connection names.
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// pass sends r to its origin and the answer back, storing nothing. note says why, for the
// receipt, if the ecosystem did not want it so.
func (p *Responder) pass(w http.ResponseWriter, r *http.Request, req ecosystem.Request, note string) (res result, whole bool) {
	line := p.line(req, engine.Bypass, nil)
	line.Note = note
	passer := p.Passer
	if req.Offline {
		passer = upstream.Offline{}
	}
	ctx := r.Context()
	if from, err := netip.ParseAddr(req.Peer); err == nil && p.Local(req.Build, from) {
		ctx = upstream.Behalf(ctx, from)
	}
	resp, err := passer.Pass(ctx, outgoing(r, req))
	if err != nil {
		line.Outcome, line.Error = string(engine.Fails(err)), err.Error()
		p.Receipts.Append(line)
		p.fail(w, r, req, err)
		return result{ecosystem: line.Ecosystem, outcome: engine.Fails(err), err: err}, true
	}
	n, err := relay(w, r, resp)
	line.Bytes, line.Upstream = n, n
	if err != nil {
		line.Error = err.Error()
	}
	p.Receipts.Append(line)
	return result{ecosystem: line.Ecosystem, outcome: engine.Bypass, bytes: n, err: err}, err == nil
}

// outgoing returns r as it is sent on: to the origin, and without the fields that were for
// the proxy. The build id among them is nobody else's business.
func outgoing(r *http.Request, req ecosystem.Request) *http.Request {
	out := r.WithContext(r.Context())
	out.URL, out.Host, out.RequestURI = req.URL, "", ""
	out.Header = r.Header.Clone()
	dropHops(out.Header)
	if r.ContentLength == 0 {
		out.Body = http.NoBody
	}
	return out
}

// dropHops removes the fields that concern one connection only.
func dropHops(h http.Header) {
	for _, field := range h["Connection"] {
		for name := range strings.SplitSeq(field, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
}

// relay sends an origin's answer on and closes it.
func relay(w http.ResponseWriter, r *http.Request, resp *http.Response) (int64, error) {
	defer func() { _ = resp.Body.Close() }() // all that mattered of it was read
	dropHops(resp.Header)
	h := w.Header()
	for name, values := range resp.Header {
		h[name] = values
	}
	h["Cache-Status"] = cacheStatus[engine.Bypass]
	s := newSender(w, r)
	s.WriteHeader(resp.StatusCode)
	s.commit()
	_, err := s.ReadFrom(resp.Body)
	if errors.Is(err, http.ErrBodyNotAllowed) {
		err = nil // a status that has no body: the origin sent one nevertheless
	}
	return s.sent, s.finish(err)
}
