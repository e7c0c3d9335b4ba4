// Package ecosystemtest checks that an ecosystem keeps its contract: with recorded
// cases, with properties that hold for all ecosystems, and with fuzz targets.
//
// A case is a file testdata/*.txtar. Its comment says what it shows. Its parts are
//
//	request         first line "URL" or "METHOD URL"; then fields "Accept:", "User-Agent:", "Base:"
//	document        what the origin answers; none if only Classify is of interest
//	source URL      what the origin answers for a sibling document, such as a signature
//
// and the golden parts, which "go test -update" writes:
//
//	resource        what Classify returns, fields that are not zero
//	claims          one line for each claim that Inspect emits
//	evidence        what Inspect returns
//	view            what View writes, where a link to URL is LINK(URL); not for sealed documents
//	error           instead of the others: what Classify or Inspect refuses it with
//
// The name of a document or source part may end in an encoding: ".gz", ".xz" and ".zst"
// compress the text that stands in the file, ".base64" decodes it, ".nonl" drops the last
// newline. A source part has it before the URL: "source.gz URL".
package ecosystemtest

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"sutler/internal/ecosystem"
)

var update = flag.Bool("update", false, "rewrite the golden parts of the cases")

// minCases is how many recorded cases an ecosystem must have.
const minCases = 6

// Run checks the profile of e and every case of the package under test. e must answer for
// hosts of the cases as the daemon's would: it is used by several tests at once.
func Run(t *testing.T, e ecosystem.Ecosystem) {
	t.Run("Profile", func(t *testing.T) { checkProfile(t, e) })
	t.Run("NoURL", func(t *testing.T) { checkOdd(t, e) })
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < minCases {
		t.Errorf("%d cases in testdata, want at least %d", len(files), minCases)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			c, err := readCase(file)
			if err != nil {
				t.Fatal(err)
			}
			c.run(t, e)
		})
	}
}

// run compares what e makes of a case with its golden parts, or rewrites them.
func (c *testCase) run(t *testing.T, e ecosystem.Ecosystem) {
	got := c.outcome(t, e)
	if *update {
		c.rewrite(got)
		if err := os.WriteFile(c.file, c.format(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, name := range goldens {
		want, ok := c.golden[name]
		have, made := got[name]
		switch {
		case made && !ok:
			t.Errorf("the case has no part %q; run go test -update. It would be:\n%s", name, have)
		case ok && !made:
			t.Errorf("the case has a part %q, but this was not reached; got %v", name, got)
		case !bytes.Equal(want, have):
			t.Errorf("%s is\n%s\nwant\n%s", name, have, want)
		}
	}
}

// outcome runs the case and returns its golden parts as they are now.
func (c *testCase) outcome(t *testing.T, e ecosystem.Ecosystem) map[string][]byte {
	res, err := e.Classify(c.request)
	checkClassified(t, e, c.request, res, err)
	if err != nil {
		return map[string][]byte{"error": []byte("Classify: " + err.Error() + "\n")}
	}
	got := map[string][]byte{"resource": formatResource(res)}
	if c.document == nil {
		return got
	}
	body := bodyOf(res, c.document)
	claims, evidence, err := collect(t.Context(), e, body, c)
	if err != nil {
		if !errors.Is(err, ecosystem.ErrInvalid) {
			t.Errorf("Inspect: %v, which does not wrap ErrInvalid", err)
		}
		got["error"] = []byte("Inspect: " + err.Error() + "\n")
		return got
	}
	checkClaims(t, e, c.request, res, claims)
	checkEmit(t, e, body, c, len(claims))
	got["claims"], got["evidence"] = formatClaims(claims), formatEvidence(evidence)
	if view := c.view(t, e, body); !res.Sealed {
		got["view"] = view
	}
	return got
}

// view writes the document as the client of the case sees it. A sealed one must not change.
func (c *testCase) view(t *testing.T, e ecosystem.Ecosystem, body ecosystem.Body) []byte {
	var view bytes.Buffer
	link := func(u string) string { return "LINK(" + u + ")" }
	if err := e.View(&view, body, ecosystem.View{Form: body.Resource.Form, Link: link}); err != nil {
		t.Errorf("View: %v", err)
	}
	if body.Resource.Sealed && !bytes.Equal(view.Bytes(), c.document) {
		t.Error("View changed a sealed document")
	}
	return view.Bytes()
}

// collect inspects a document and returns what it claims.
func collect(ctx context.Context, e ecosystem.Ecosystem, body ecosystem.Body, src ecosystem.Source) ([]ecosystem.Claim, ecosystem.Evidence, error) {
	var claims []ecosystem.Claim
	evidence, err := e.Inspect(ctx, body, src, func(c ecosystem.Claim) error {
		claims = append(claims, c)
		return nil
	})
	return claims, evidence, err
}

// bodyOf returns bytes as the body of a resource.
func bodyOf(res ecosystem.Resource, b []byte) ecosystem.Body {
	return ecosystem.Body{Resource: res, ReaderAt: bytes.NewReader(b), Size: int64(len(b))}
}

// errAbsent is what the source of a case says of a document that the case does not have.
var errAbsent = errors.New("the origin has no such document")

// Document returns a sibling document of the case, which is its own Source.
func (c *testCase) Document(_ context.Context, res ecosystem.Resource) (ecosystem.Body, error) {
	b, ok := c.sources[res.URL]
	if !ok {
		return ecosystem.Body{}, fmt.Errorf("%w: %s", errAbsent, res.URL)
	}
	return bodyOf(res, b), nil
}

// errStop is what checkEmit makes emit return.
var errStop = errors.New("stop")

// checkEmit checks that an error of emit ends the inspection and is returned as it is.
func checkEmit(t *testing.T, e ecosystem.Ecosystem, body ecosystem.Body, src ecosystem.Source, claims int) {
	if claims == 0 {
		return
	}
	calls := 0
	_, err := e.Inspect(t.Context(), body, src, func(ecosystem.Claim) error {
		calls++
		return errStop
	})
	if !errors.Is(err, errStop) || errors.Is(err, ecosystem.ErrInvalid) || calls != 1 {
		t.Errorf("emit failed: Inspect called it %d times and returned %v, want once and that error", calls, err)
	}
	body.ReaderAt = failing{}
	if _, err := e.Inspect(t.Context(), body, src, func(ecosystem.Claim) error { return nil }); err == nil {
		t.Error("Inspect accepted a document that could not be read")
	}
}

// failing cannot be read.
type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errors.New("disk on fire") }
