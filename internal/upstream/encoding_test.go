package upstream_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/freshness"
	"sutler/internal/upstream"
	"sutler/internal/upstream/origintest"
)

// zipped returns what text is compressed.
func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := io.WriteString(z, text)
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// coded says that what b answers is compressed.
func coded(b origintest.Behaviour) origintest.Behaviour {
	return func(a *origintest.Answer) {
		a.W.Header().Set("Content-Encoding", "gzip")
		b(a)
	}
}

// A document that comes compressed, whoever asks, is what it unpacks to; an artifact is refused.
func TestPackedDocument(t *testing.T) {
	t.Parallel()
	serve := func(a *origintest.Answer) { a.Serve() }
	packed := zipped(t, long)
	damaged := packed[:len(packed)-8] + "\x00" + packed[len(packed)-7:]
	for _, tt := range []struct {
		name, path string
		kind       ecosystem.Kind
		body       string
		behave     origintest.Behaviour
		want       error
		text       string
	}{
		{"whole", "/x.json", ecosystem.Document, packed, coded(serve), nil, long},
		{"continued", "/x.json", ecosystem.Document, packed, coded(origintest.Truncate(20)), nil, long},
		{"its name says so", "/x.gz", ecosystem.Document, packed, coded(serve), nil, packed},
		{"continued without its encoding", "/x.json", ecosystem.Document, packed, origintest.Sequence(coded(origintest.TruncateAlways(20)), serve), upstream.ErrUnavailable, ""},
		{"another encoding", "/x.json", ecosystem.Document, packed, origintest.Fields("Content-Encoding", "br"), upstream.ErrInvalid, ""},
		{"not packed at all", "/x.json", ecosystem.Document, long, coded(serve), upstream.ErrInvalid, ""},
		{"cut off", "/x.json", ecosystem.Document, packed[:len(packed)-9], coded(serve), upstream.ErrInvalid, ""},
		{"nothing", "/x.json", ecosystem.Document, "", coded(serve), upstream.ErrInvalid, ""},
		{"damaged", "/x.json", ecosystem.Document, damaged, coded(serve), upstream.ErrInvalid, ""},
		{"more after it", "/x.json", ecosystem.Document, packed + "more", coded(serve), upstream.ErrInvalid, ""},
		{"artifact", "/x.json", ecosystem.Artifact, packed, coded(serve), upstream.ErrInvalid, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := origintest.New(t)
			c := newClient(t, o)
			o.Put(tt.path, origintest.Content{Body: tt.body, ETag: `"v1"`})
			o.Behave(tt.path, tt.behave)
			resp, err := c.Fetch(t.Context(), ecosystem.Resource{URL: o.URL(tt.path), Kind: tt.kind}, freshness.Validator{})
			var got []byte
			if err == nil {
				got, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close() // it always returns nil
			}
			if !errors.Is(err, tt.want) || err == nil && string(got) != tt.text {
				t.Errorf("Fetch = %d bytes, %v, want %d, %v", len(got), err, len(tt.text), tt.want)
			}
			if err == nil && resp.Size >= 0 && resp.Size != int64(len(got)) {
				t.Errorf("announced %d bytes, got %d", resp.Size, len(got))
			}
		})
	}
}
