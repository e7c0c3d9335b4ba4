package e2e

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// A shelf is an origin on loopback, behind TLS, whose files a test puts there and changes.
type shelf struct {
	*httptest.Server
	ca    string // file with its certificate
	token string // what clients must say in Authorization, "" for nothing

	mu     sync.Mutex
	files  map[string][]byte // by path, with its query if it has one, and without the first slash
	made   map[string]time.Time
	head   map[string]http.Header // further fields of the answer
	wrong  map[string]bool        // answered with other bytes of the same length
	asked  []string               // paths with the first slash, in order, since it was last looked at
	counts map[string]int         // how often each file was asked for
	// secrets counts requests with a credential, which get more than others unless that is token.
	secrets map[string]int
}

// privately is how answers to requests with a credential begin.
const privately = "private: "

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{files: map[string][]byte{}, made: map[string]time.Time{}, head: map[string]http.Header{}, wrong: map[string]bool{},
		counts: map[string]int{}, secrets: map[string]int{}}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	s.ca = t.TempDir() + "/origin.pem"
	write(t, s.ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	return s
}

// ServeHTTP serves files with validators and ranges, as static servers do.
func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	credential := r.Header.Get("Authorization")
	body, made, ok := s.answer(w, r, credential)
	switch {
	case s.token != "" && credential != s.token:
		w.Header().Set("WWW-Authenticate", "Cargo")
		w.WriteHeader(http.StatusUnauthorized)
	case !ok:
		http.NotFound(w, r)
	default:
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum(body)))
		http.ServeContent(w, r, "", made, bytes.NewReader(body))
	}
}

// answer notes a request and returns what it gets, with its fields set.
func (s *shelf) answer(w http.ResponseWriter, r *http.Request, credential string) (body []byte, made time.Time, ok bool) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if r.URL.RawQuery != "" {
		name += "?" + r.URL.RawQuery
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.URL.Path)
	s.counts[name]++
	body, ok = s.files[name]
	maps.Copy(w.Header(), s.head[name])
	if credential != "" && s.token == "" {
		s.secrets[name]++
		body = []byte(privately + string(body))
	}
	if s.wrong[name] {
		body = bytes.Repeat([]byte("x"), len(body))
	}
	return body, s.made[name], ok
}

// put makes or replaces a file.
func (s *shelf) put(path string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := strings.TrimPrefix(path, "/")
	s.files[name], s.made[name] = body, time.Now()
}

// tamper makes the shelf answer with wrong bytes, or with right ones again.
func (s *shelf) tamper(path string, wrong bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong[strings.TrimPrefix(path, "/")] = wrong
}

// count returns how often a file was asked for.
func (s *shelf) count(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[strings.TrimPrefix(path, "/")]
}

// since returns what was asked for since it was last called.
func (s *shelf) since() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.asked
	s.asked = nil
	return out
}

// settings make a daemon find what lies under the URLs at folders of the shelf, and nowhere
// else: "https://public.example/" at "/folder/".
func (s *shelf) settings(places map[string]string) []string {
	var mirrors []string
	for of, at := range places {
		mirrors = append(mirrors, of+"="+s.URL+at)
	}
	return []string{"UPSTREAM_ALLOW_LOOPBACK=" + strings.TrimPrefix(s.URL, "https://"), "UPSTREAM_CA_FILE=" + s.ca,
		"UPSTREAM_MIRRORS=" + strings.Join(mirrors, ","), "UPSTREAM_MIRRORS_ONLY=true"}
}

// A publicOrigin is a shelf that stands in for registries by their public names: what HOST
// has at PATH is the file HOST/PATH.
type publicOrigin struct{ *shelf }

func newPublicOrigin(t *testing.T) *publicOrigin {
	t.Helper()
	return &publicOrigin{newShelf(t)}
}

// settings make a daemon fetch what the hosts have from the origin, and from nowhere else.
func (o *publicOrigin) settings(t *testing.T, hosts ...string) []string {
	t.Helper()
	places := map[string]string{}
	for _, h := range hosts {
		places["https://"+h+"/"] = "/" + h + "/"
	}
	return o.shelf.settings(places)
}

// spoil returns bytes of the same length that differ in the middle.
func spoil(b []byte) []byte {
	out := bytes.Clone(b)
	out[len(out)/2] ^= 1
	return out
}

// sha256Of returns the digest of bytes in hexadecimal form.
func sha256Of(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
