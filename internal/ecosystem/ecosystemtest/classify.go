package ecosystemtest

import (
	"cmp"
	"errors"
	"net/url"
	"strings"
	"testing"

	"sutler/internal/ecosystem"
)

// A Classified is a URL and the resource that it names: a row of a table, whose type has no
// name of its own so that rows need not name their members.
type Classified = struct {
	URL, Want        string // as asked for; canonical, "" for the same
	Package, Version string
	By               string // URLs of the first vouchers, with spaces between; "" for a document
}

// A Refused is a request for what is no resource, likewise.
type Refused = struct {
	Method, URL string
	Want        error // as Classify returns it
}

// Request returns a request for a URL by the client of that name.
func Request(t testing.TB, method, address, client string) ecosystem.Request {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return ecosystem.Request{Method: method, URL: u, Client: client}
}

// CheckClassified checks what a client's GETs are requests for.
func CheckClassified(t *testing.T, e ecosystem.Ecosystem, client string, rows []Classified) {
	t.Helper()
	for _, row := range rows {
		res, err := e.Classify(Request(t, "GET", row.URL, client))
		if err != nil {
			t.Errorf("Classify(%s): %v", row.URL, err)
			continue
		}
		var by []string
		for _, v := range res.VouchedBy {
			by = append(by, v.URL)
		}
		got, want := strings.Join(by, " ")+" ", cmp.Or(row.Want, row.URL)
		if res.URL != want || res.Package != row.Package || res.Version != row.Version || !strings.HasPrefix(got, row.By+" ") {
			t.Errorf("Classify(%s) = %s %q %q by %q, want %s %q %q by %q",
				row.URL, res.URL, res.Package, res.Version, by, want, row.Package, row.Version, row.By)
		}
		if artifact := res.Kind == ecosystem.Artifact; artifact != (row.By != "") {
			t.Errorf("Classify(%s).Kind = %v", row.URL, res.Kind)
		}
	}
}

// CheckRefused checks that a client's requests are no resources, each for its reason.
func CheckRefused(t *testing.T, e ecosystem.Ecosystem, client string, rows []Refused) {
	t.Helper()
	for _, row := range rows {
		if res, err := e.Classify(Request(t, row.Method, row.URL, client)); !errors.Is(err, row.Want) {
			t.Errorf("Classify(%s %s) = %s, %v, want %v", row.Method, row.URL, res.URL, err, row.Want)
		}
	}
}
