package ecosystemtest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/tools/txtar"

	"sutler/internal/ecosystem"
)

// goldens are the parts that -update writes, in this order.
var goldens = []string{"resource", "claims", "evidence", "view", "error"}

// A testCase is one recorded case.
type testCase struct {
	file     string
	archive  *txtar.Archive // without golden parts
	request  ecosystem.Request
	document []byte            // nil if there is none
	sources  map[string][]byte // by URL
	golden   map[string][]byte
}

// readCase reads a case from its file.
func readCase(file string) (*testCase, error) {
	arc, err := txtar.ParseFile(file)
	if err != nil {
		return nil, err
	}
	c := &testCase{file: file, archive: &txtar.Archive{Comment: arc.Comment}, sources: map[string][]byte{}, golden: map[string][]byte{}}
	for _, f := range arc.Files {
		if slices.Contains(goldens, f.Name) {
			c.golden[f.Name] = f.Data
			continue
		}
		c.archive.Files = append(c.archive.Files, f)
		if err := c.input(f); err != nil {
			return nil, fmt.Errorf("%s: part %q: %w", file, f.Name, err)
		}
	}
	switch {
	case c.request.URL == nil:
		return nil, fmt.Errorf("%s: no part \"request\"", file)
	case len(bytes.TrimSpace(arc.Comment)) == 0:
		return nil, fmt.Errorf("%s: no comment that says what the case shows", file)
	}
	return c, nil
}

// input takes in a part that is no golden one.
func (c *testCase) input(f txtar.File) (err error) {
	name, arg, _ := strings.Cut(f.Name, " ")
	name, encodings, _ := strings.Cut(name, ".")
	data, err := encode(f.Data, encodings)
	if err != nil {
		return err
	}
	switch {
	case name == "request" && arg == "":
		c.request, err = parseRequest(string(data))
	case name == "document" && arg == "":
		c.document = append([]byte{}, data...)
	case name == "source" && arg != "":
		c.sources[arg] = data
	default:
		err = errors.New("unknown part")
	}
	return err
}

// parseRequest reads the request part.
func parseRequest(s string) (ecosystem.Request, error) {
	line, fields, _ := strings.Cut(strings.TrimSpace(s), "\n")
	r := ecosystem.Request{Method: "GET"}
	raw := line
	if method, rest, ok := strings.Cut(line, " "); ok {
		r.Method, raw = method, rest
	}
	u, err := url.Parse(raw)
	if err != nil {
		return r, err
	}
	r.URL = u
	for f := range strings.Lines(fields) {
		name, value, _ := strings.Cut(f, ":")
		value = strings.TrimSpace(value)
		switch name {
		case "Accept":
			r.Accept = value
		case "User-Agent":
			r.Client = value
		case "Base":
			r.Base = value
		default:
			return r, fmt.Errorf("unknown field %q", f)
		}
	}
	return r, nil
}

// encode turns the text of a part into the bytes that its name says.
func encode(data []byte, encodings string) ([]byte, error) {
	for e := range strings.SplitSeq(encodings, ".") {
		var b bytes.Buffer
		var w io.WriteCloser
		var err error
		switch e {
		case "":
			continue
		case "nonl":
			data = bytes.TrimSuffix(data, []byte("\n"))
			continue
		case "base64":
			if data, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(data)), "")); err != nil {
				return nil, err
			}
			continue
		case "gz":
			w = gzip.NewWriter(&b)
		case "xz":
			w, err = xz.NewWriter(&b)
		case "zst":
			w, err = zstd.NewWriter(&b)
		default:
			return nil, fmt.Errorf("unknown encoding %q", e)
		}
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(data); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		data = b.Bytes()
	}
	return data, nil
}

// rewrite replaces the golden parts.
func (c *testCase) rewrite(got map[string][]byte) { c.golden = got }

// format returns the case as a file.
func (c *testCase) format() []byte {
	arc := *c.archive
	arc.Files = slices.Clone(arc.Files)
	for _, name := range goldens {
		if data, ok := c.golden[name]; ok {
			arc.Files = append(arc.Files, txtar.File{Name: name, Data: data})
		}
	}
	return txtar.Format(&arc)
}

// formatResource lists the fields of a resource that are not zero, all of them, so that
// a new field cannot be missing from the cases.
func formatResource(res ecosystem.Resource) []byte {
	var b bytes.Buffer
	v := reflect.ValueOf(res)
	for i := range v.NumField() {
		name, f := v.Type().Field(i).Name, v.Field(i)
		switch x := f.Interface().(type) {
		case []ecosystem.Claim:
			for _, c := range x {
				fmt.Fprintf(&b, "%s: %s by %s\n", name, formatClaim(c), c.By)
			}
		case []ecosystem.Resource:
			for _, r := range x {
				fmt.Fprintf(&b, "%s: %s\n", name, r.ClaimKey())
			}
		case []byte:
			if x != nil {
				fmt.Fprintf(&b, "%s: %s\n", name, x)
			}
		case ecosystem.Kind:
			fmt.Fprintf(&b, "%s: %s\n", name, x)
		default:
			if !f.IsZero() {
				fmt.Fprintf(&b, "%s: %v\n", name, x)
			}
		}
	}
	return b.Bytes()
}

// formatClaims writes one line for each claim, in the order in which they were made.
func formatClaims(claims []ecosystem.Claim) []byte {
	var b bytes.Buffer
	for _, c := range claims {
		fmt.Fprintln(&b, formatClaim(c))
	}
	return b.Bytes()
}

func formatClaim(c ecosystem.Claim) string {
	s := fmt.Sprintf("%s %d %s", c.Digest, c.Size, c.URL)
	if c.Variant != "" {
		s += " variant " + c.Variant
	}
	if c.Type != "" {
		s += " type " + c.Type
	}
	if c.Via != "" {
		s += " via " + c.Via
	}
	if !c.Published.IsZero() {
		s += " published " + c.Published.UTC().Format(time.RFC3339Nano)
	}
	return s
}

// formatEvidence writes evidence as JSON, as receipts show it.
func formatEvidence(e ecosystem.Evidence) []byte {
	b, err := json.MarshalIndent(e, "", "\t")
	if err != nil {
		return []byte(err.Error()) // a time outside of the years 0 to 9999
	}
	return append(b, '\n')
}
