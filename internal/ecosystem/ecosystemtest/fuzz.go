package ecosystemtest

import (
	"bytes"
	"context"
	"net/url"
	"path/filepath"
	"reflect"
	"runtime/metrics"
	"testing"

	"sutler/internal/ecosystem"
)

// FuzzClassify fuzzes e.Classify, seeded from the cases: whatever is asked for, the answer
// is an error of the contract, or a resource of the same origin whose canonical URL means
// the same resource again.
func FuzzClassify(f *testing.F, e ecosystem.Ecosystem) {
	for _, c := range seeds(f) {
		f.Add(c.request.Method, c.request.URL.String(), c.request.Accept, c.request.Client)
	}
	f.Fuzz(func(t *testing.T, method, raw, accept, client string) {
		u, err := url.Parse(raw)
		if err != nil {
			t.Skip()
		}
		req := ecosystem.Request{Method: method, URL: u, Accept: accept, Client: client}
		res, err := e.Classify(req)
		if err != nil {
			if !refused(err) {
				t.Errorf("Classify(%s %q): %v", method, raw, err)
			}
			return
		}
		if again, err := e.Classify(req); err != nil || !reflect.DeepEqual(res, again) {
			t.Errorf("Classify(%q) = %+v, then %+v, %v", raw, res, again, err)
		}
		checkResource(t, e, req, res)
	})
}

// FuzzInspect fuzzes e.Inspect, seeded from the cases: whatever the origin answers, claims
// stay in the document's scope, memory is bounded, and a sealed document that is accepted
// is shown unchanged. The third argument answers for every sibling document.
func FuzzInspect(f *testing.F, e ecosystem.Ecosystem) {
	for _, c := range seeds(f) {
		if c.document == nil {
			continue
		}
		f.Add(c.request.URL.String(), c.document, []byte{})
		for _, s := range c.sources {
			f.Add(c.request.URL.String(), c.document, s)
		}
	}
	f.Fuzz(func(t *testing.T, raw string, doc, sibling []byte) {
		u, err := url.Parse(raw)
		if err != nil {
			t.Skip()
		}
		res, err := e.Classify(ecosystem.Request{Method: "GET", URL: u})
		if err != nil || res.Kind != ecosystem.Document {
			t.Skip()
		}
		body := bodyOf(res, doc)
		before := allocated()
		_, err = e.Inspect(t.Context(), body, everywhere(sibling), func(c ecosystem.Claim) error {
			checkScope(t, e, res, c.URL)
			return nil
		})
		if used := allocated() - before; used > memoryBase+memoryFactor*uint64(len(doc)+len(sibling)) {
			t.Errorf("Inspect of %d bytes allocated %d", len(doc), used)
		}
		if err == nil && res.Sealed {
			checkCopied(t, e, body, doc)
		}
	})
}

// Inspect may allocate memoryBase bytes for decoders and buffers, and memoryFactor for
// each byte of the document.
const (
	memoryBase   = 256 << 20
	memoryFactor = 1 << 10
)

// checkCopied checks that View copies a sealed document.
func checkCopied(t *testing.T, e ecosystem.Ecosystem, body ecosystem.Body, doc []byte) {
	var view bytes.Buffer
	if err := e.View(&view, body, ecosystem.View{Link: func(string) string { return "changed" }}); err != nil || !bytes.Equal(view.Bytes(), doc) {
		t.Errorf("View changed a sealed document: %v", err)
	}
}

// allocated returns how many bytes the process allocated so far.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// everywhere is a Source whose every document has the same bytes.
type everywhere []byte

// Document returns the bytes.
func (s everywhere) Document(_ context.Context, res ecosystem.Resource) (ecosystem.Body, error) {
	return bodyOf(res, s), nil
}

// seeds returns the cases of the package under test.
func seeds(f *testing.F) []*testCase {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	var cases []*testCase
	for _, file := range files {
		c, err := readCase(file)
		if err != nil {
			f.Fatal(err)
		}
		cases = append(cases, c)
	}
	return cases
}
