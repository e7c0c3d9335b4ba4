package e2e

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A publicOrigin is an origin over TLS on loopback that stands in for registries by their
// public names: /HOST/PATH is what HOST has at PATH.
type publicOrigin struct {
	server *httptest.Server

	mu    sync.Mutex
	files map[string][]byte      // by "HOST/PATH?QUERY"
	head  map[string]http.Header // further fields of the answer
	wrong map[string]bool        // answered with other bytes of the same length
	asked map[string]int
	// secrets counts requests with a credential, which get more than others.
	secrets map[string]int
}

// privately is how answers to requests with a credential begin.
const privately = "private: "

// newPublicOrigin starts an origin that ends with the test.
func newPublicOrigin(t *testing.T) *publicOrigin {
	t.Helper()
	r := &publicOrigin{files: map[string][]byte{}, head: map[string]http.Header{}, wrong: map[string]bool{}, asked: map[string]int{}, secrets: map[string]int{}}
	r.server = httptest.NewTLSServer(r)
	t.Cleanup(r.server.Close)
	return r
}

// ServeHTTP answers with a file.
func (r *publicOrigin) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	name := strings.TrimPrefix(req.URL.RequestURI(), "/")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked[name]++
	body, ok := r.files[name]
	if !ok {
		http.NotFound(w, req)
		return
	}
	for field, values := range r.head[name] {
		w.Header()[field] = values
	}
	if req.Header.Get("Authorization") != "" {
		r.secrets[name]++
		body = []byte(privately + string(body))
	}
	if r.wrong[name] {
		body = []byte(strings.Repeat("x", len(body)))
	}
	_, _ = w.Write(body) // whoever is gone does not read it
}

// put makes the origin have a file at a URL without its scheme.
func (r *publicOrigin) put(name string, body []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files[name] = body
}

// tamper makes the origin answer with wrong bytes, or with right ones again.
func (r *publicOrigin) tamper(name string, wrong bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong[name] = wrong
}

// count returns how often a file was asked for.
func (r *publicOrigin) count(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[name]
}

// settings make a daemon fetch what the hosts have from the origin, and from nowhere else.
func (r *publicOrigin) settings(t *testing.T, hosts ...string) []string {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "origin.pem")
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.server.Certificate().Raw})))
	addr := r.server.Listener.Addr().String()
	var mirrors []string
	for _, h := range hosts {
		mirrors = append(mirrors, "https://"+h+"/=https://"+addr+"/"+h+"/")
	}
	return []string{
		"UPSTREAM_CA_FILE=" + ca, "UPSTREAM_ALLOW_LOOPBACK=" + addr,
		"UPSTREAM_MIRRORS=" + strings.Join(mirrors, ","), "UPSTREAM_MIRRORS_ONLY=true",
	}
}
