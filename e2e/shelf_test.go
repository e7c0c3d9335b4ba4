package e2e

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
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

	mu    sync.Mutex
	files map[string][]byte
	made  map[string]time.Time
	asked []string // paths, in order
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{files: map[string][]byte{}, made: map[string]time.Time{}}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	s.ca = t.TempDir() + "/origin.pem"
	write(t, s.ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	return s
}

// ServeHTTP serves files with validators and ranges, as static servers do.
func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	body, ok := s.files[r.URL.Path]
	made := s.made[r.URL.Path]
	s.asked = append(s.asked, r.URL.Path)
	s.mu.Unlock()
	if s.token != "" && r.Header.Get("Authorization") != s.token {
		w.Header().Set("WWW-Authenticate", "Cargo")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum(body)))
	http.ServeContent(w, r, "", made, bytes.NewReader(body))
}

// put makes or replaces a file.
func (s *shelf) put(path string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[path], s.made[path] = body, time.Now()
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
