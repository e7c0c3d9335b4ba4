package gomod_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/gomod"
)

// emptyH1 is the hash of no file.
const emptyH1 = "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

// A database is a checksum database that an Ecosystem knows, and its Source.
type database struct {
	e      *gomod.Ecosystem
	server http.Handler
	tamper func(path string, answer []byte) []byte // returns nil for "not found"
}

// newDatabase returns a database with n records of modules a.example/m0, m1, ….
func newDatabase(t testing.TB, n int) *database {
	t.Helper()
	signer, key, err := note.GenerateKey(rand.Reader, "sum.test.example")
	if err != nil {
		t.Fatal(err)
	}
	ops := sumdb.NewTestServer(signer, func(path, version string) ([]byte, error) {
		return fmt.Appendf(nil, "%s %s %s\n%s %s/go.mod %s\n", path, version, emptyH1, path, version, emptyH1), nil
	})
	db := &database{e: with(t, key), server: sumdb.NewServer(ops)}
	for i := range n {
		db.get(fmt.Sprintf("/lookup/a.example/m%d@v1.0.0", i))
	}
	return db
}

// get returns what the database answers, nil if it is not 200.
func (db *database) get(path string) []byte {
	answer := db.serve(path)
	if db.tamper != nil {
		answer = db.tamper(path, answer)
	}
	return answer
}

func (db *database) serve(path string) []byte {
	defer func() { _ = recover() }() // the test server does so for a tile that is not full yet
	w := httptest.NewRecorder()
	db.server.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	if w.Code != http.StatusOK {
		return nil
	}
	return w.Body.Bytes()
}

var errGone = errors.New("not found")

// Document answers for the tiles.
func (db *database) Document(_ context.Context, res ecosystem.Resource) (ecosystem.Body, error) {
	path, ok := strings.CutPrefix(res.URL, root+"sumdb/sum.test.example")
	answer := db.get(path)
	if !ok || answer == nil {
		return ecosystem.Body{}, errGone
	}
	return ecosystem.Body{Resource: res, ReaderAt: bytes.NewReader(answer), Size: int64(len(answer))}, nil
}

// lookup inspects the record of module i and returns what it claims.
func (db *database) lookup(t testing.TB, i int) ([]ecosystem.Claim, ecosystem.Evidence, error) {
	t.Helper()
	path := fmt.Sprintf("/lookup/a.example/m%d@v1.0.0", i)
	res, err := db.e.Classify(request(t, "GET", root+"sumdb/sum.test.example"+path))
	if err != nil {
		t.Fatal(err)
	}
	answer := db.get(path)
	var claims []ecosystem.Claim
	ev, err := db.e.Inspect(t.Context(), ecosystem.Body{Resource: res, ReaderAt: bytes.NewReader(answer), Size: int64(len(answer))}, db,
		func(c ecosystem.Claim) error { claims = append(claims, c); return nil })
	return claims, ev, err
}

// TestProof proves records in a tree with several tiles, some of them not full.
func TestProof(t *testing.T) {
	db := newDatabase(t, 700)
	for _, i := range []int{0, 255, 256, 511, 512, 699} {
		claims, ev, err := db.lookup(t, i)
		if err != nil || len(claims) != 2 || !strings.HasPrefix(ev.Signer, "sum.test.example+") {
			t.Errorf("record %d: %d claims, signer %q, %v", i, len(claims), ev.Signer, err)
		}
	}
}

// TestProofWithoutPartialTiles checks that the whole tile is asked for where a part of it
// is not to be had any more.
func TestProofWithoutPartialTiles(t *testing.T) {
	db := newDatabase(t, 300)
	old := db.get("/lookup/a.example/m7@v1.0.0") // under a head of 300
	for i := 300; i < 512; i++ {
		db.get(fmt.Sprintf("/lookup/a.example/m%d@v1.0.0", i))
	}
	db.tamper = func(path string, answer []byte) []byte {
		switch {
		case strings.Contains(path, "/8/0/001.p/"):
			return nil
		case strings.HasPrefix(path, "/lookup/a.example/m7@"):
			return old
		}
		return answer
	}
	if claims, _, err := db.lookup(t, 7); err != nil || len(claims) != 2 {
		t.Errorf("%d claims, %v", len(claims), err)
	}
}

// TestProofFails checks what is made of records that cannot be proven, or are not in the tree.
func TestProofFails(t *testing.T) {
	for name, tt := range map[string]struct {
		broken  func(path string, answer []byte) []byte
		invalid bool
	}{
		"no tiles": {func(path string, answer []byte) []byte {
			if strings.HasPrefix(path, "/tile/") {
				return nil
			}
			return answer
		}, false},
		"wrong tile": {func(path string, answer []byte) []byte {
			if strings.HasPrefix(path, "/tile/8/0/000") {
				answer[40] ^= 1
			}
			return answer
		}, true},
		"short tile": {func(path string, answer []byte) []byte {
			if strings.HasPrefix(path, "/tile/8/0/000") {
				return answer[:32]
			}
			return answer
		}, true},
		"wrong hash": {func(path string, answer []byte) []byte {
			return bytes.Replace(answer, []byte("h1:47DE"), []byte("h1:57DE"), 1)
		}, true},
		"another record's place": {func(path string, answer []byte) []byte {
			return bytes.Replace(answer, []byte("5\n"), []byte("6\n"), 1)
		}, true},
		"beyond the tree": {func(path string, answer []byte) []byte {
			return bytes.Replace(answer, []byte("5\n"), []byte("5000\n"), 1)
		}, true},
		"no hash": {func(path string, answer []byte) []byte {
			return bytes.ReplaceAll(answer, []byte("h1:47DE"), []byte("h2:47DE"))
		}, true},
		"no record": {func(path string, answer []byte) []byte {
			if strings.HasPrefix(path, "/lookup/") {
				return []byte("<html>")
			}
			return answer
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			db := newDatabase(t, 300)
			db.tamper = tt.broken
			claims, ev, err := db.lookup(t, 5)
			if err == nil || errors.Is(err, ecosystem.ErrInvalid) != tt.invalid || len(claims) > 0 || ev.Signer != "" {
				t.Errorf("%d claims, signer %q, %v", len(claims), ev.Signer, err)
			}
			if !tt.invalid && !errors.Is(err, errGone) {
				t.Errorf("%v hides why the tile could not be had", err)
			}
		})
	}
}

// TestUnknownDatabase checks that a database of which no key is known claims nothing.
func TestUnknownDatabase(t *testing.T) {
	db := newDatabase(t, 3)
	db.e = example(t)
	claims, ev, err := db.lookup(t, 1)
	if err != nil || len(claims) > 0 || ev.Signer != "" || ev.Note == "" {
		t.Errorf("%d claims, %+v, %v", len(claims), ev, err)
	}
}

// TestView checks that versions which must not be shown are left out of a list.
func TestView(t *testing.T) {
	e := example(t)
	res, err := e.Classify(request(t, "GET", root+"a.example/m/@v/list"))
	if err != nil {
		t.Fatal(err)
	}
	const text = "v1.0.0\nv1.1.0 2020-01-01T00:00:00Z\nv2.0.0\n"
	doc := ecosystem.Body{Resource: res, ReaderAt: strings.NewReader(text), Size: int64(len(text))}
	for want, show := range map[string]func(string, time.Time) bool{
		text:               nil,
		"v1.0.0\nv2.0.0\n": func(v string, at time.Time) bool { return v != "v1.1.0" && at.IsZero() },
	} {
		var b bytes.Buffer
		if err := e.View(&b, doc, ecosystem.View{Show: show}); err != nil || b.String() != want {
			t.Errorf("View = %q, %v; want %q", b.String(), err, want)
		}
	}
}
