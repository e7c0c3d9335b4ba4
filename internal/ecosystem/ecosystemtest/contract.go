package ecosystemtest

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// refusals are all errors that Classify may return.
var refusals = []error{ecosystem.ErrUnknown, ecosystem.ErrBypass, ecosystem.ErrRefused}

// refused reports whether err is one of the errors that Classify may return.
func refused(err error) bool {
	for _, r := range refusals {
		if errors.Is(err, r) {
			return true
		}
	}
	return false
}

// checkOdd checks that requests which are no proper ones are refused.
func checkOdd(t *testing.T, e ecosystem.Ecosystem) {
	for _, raw := range []string{"", "/", "http:///x", "ftp://ftp.example/x", "mailto:a@b", "file:///etc/passwd", "//host.example/x"} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"GET", "CONNECT", ""} {
			if res, err := e.Classify(ecosystem.Request{Method: method, URL: u}); !refused(err) {
				t.Errorf("Classify(%s %q) = %+v, %v; want ErrUnknown, ErrBypass or ErrRefused", method, raw, res, err)
			}
		}
	}
	if res, err := e.Classify(ecosystem.Request{Method: "GET"}); !refused(err) {
		t.Errorf("Classify without URL = %+v, %v; want ErrUnknown, ErrBypass or ErrRefused", res, err)
	}
}

// checkClassified checks what must hold of every answer of Classify.
func checkClassified(t *testing.T, e ecosystem.Ecosystem, req ecosystem.Request, res ecosystem.Resource, err error) {
	t.Helper()
	again, againErr := e.Classify(req)
	if !reflect.DeepEqual(res, again) || fmt.Sprint(err) != fmt.Sprint(againErr) {
		t.Errorf("Classify answers differently the second time: %+v, %v, then %+v, %v", res, err, again, againErr)
	}
	if err != nil {
		if !refused(err) {
			t.Errorf("Classify: %v, which is none of ErrUnknown, ErrBypass, ErrRefused", err)
		}
		return
	}
	checkResource(t, e, req, res)
	checkMethods(t, e, req, res)
	checkPaths(t, e, req)
}

// checkResource checks that a resource makes sense, and names what was asked for.
func checkResource(t *testing.T, e ecosystem.Ecosystem, req ecosystem.Request, res ecosystem.Resource) {
	t.Helper()
	u, err := url.Parse(res.URL)
	if err != nil {
		t.Fatalf("canonical URL: %v", err)
	}
	if origin(u) != origin(req.URL) {
		t.Errorf("Classify(%s) left the origin: %s", req.URL, res.URL)
	}
	if u.User != nil || u.Fragment != "" {
		t.Errorf("canonical URL %s holds credentials or a fragment", res.URL)
	}
	if hostilePath(u) {
		t.Errorf("canonical URL %s has a path that servers may read in two ways", res.URL)
	}
	if res.Ecosystem != e.Profile().Name {
		t.Errorf("resource of ecosystem %q, want %q", res.Ecosystem, e.Profile().Name)
	}
	if res.Scope != "" {
		t.Errorf("Scope is %q; it is the engine's to set", res.Scope)
	}
	canonical := req
	canonical.URL = u
	if again, err := e.Classify(canonical); err != nil || again.Key() != res.Key() {
		t.Errorf("Classify(%s) = %q, %v; its own canonical URL must mean the same: %q", u, again.Key(), err, res.Key())
	}
	checkKind(t, res)
	checkStated(t, res)
	for _, v := range res.VouchedBy {
		checkVoucher(t, e, res, v)
	}
}

// checkKind checks the fields that only make sense together.
func checkKind(t *testing.T, res ecosystem.Resource) {
	t.Helper()
	artifact := res.Kind == ecosystem.Artifact
	if artifact && (res.Root || res.Sealed || res.Form != "" || res.Floor != 0 || res.Proof) {
		t.Errorf("an artifact has a field that is only for documents: %+v", res)
	}
	if res.Root && (res.Floor <= 0 || len(res.VouchedBy) > 0 || !res.Sealed) {
		t.Errorf("a root must be sealed, have a floor, and nobody vouches for it: %+v", res)
	}
	if res.Sealed && res.Form != "" {
		t.Errorf("a sealed document has no forms: %+v", res)
	}
	if r := res.Repository; r != "" && (!strings.HasSuffix(r, "/") || !strings.HasPrefix(res.URL, r)) {
		t.Errorf("Repository %q must end in / and be a prefix of the URL %q", r, res.URL)
	}
}

// checkStated checks the claims that the URL makes.
func checkStated(t *testing.T, res ecosystem.Resource) {
	t.Helper()
	for _, c := range res.Claims {
		d, err := digest.Parse(string(c.Digest))
		if err != nil || d != c.Digest || c.URL != res.URL || c.Variant != res.Variant || c.By != ecosystem.ByURL || c.Size < -1 {
			t.Errorf("claim of the URL %s: %+v, %v", res.URL, c, err)
		}
	}
}

// checkVoucher checks that a voucher is what its URL means.
func checkVoucher(t *testing.T, e ecosystem.Ecosystem, res, v ecosystem.Resource) {
	t.Helper()
	u, err := url.Parse(v.URL)
	if err != nil {
		t.Fatalf("voucher: %v", err)
	}
	got, err := e.Classify(ecosystem.Request{Method: "GET", URL: u})
	if err != nil {
		t.Errorf("Classify(%s), which vouches for %s: %v", v.URL, res.URL, err)
		return
	}
	got.Form, got.FormType, v.Form, v.FormType = "", "", "", "" // they depend on the client
	if !reflect.DeepEqual(got, v) {
		t.Errorf("voucher is\n%sbut its URL means\n%s", formatResource(v), formatResource(got))
	}
	if v.Kind != ecosystem.Document {
		t.Errorf("voucher %s is no document", v.URL)
	}
}

// checkMethods checks that HEAD means what GET does, and that nothing else is a resource.
func checkMethods(t *testing.T, e ecosystem.Ecosystem, req ecosystem.Request, res ecosystem.Resource) {
	t.Helper()
	for _, m := range []string{"GET", "HEAD"} {
		req.Method = m
		if got, err := e.Classify(req); err != nil || !reflect.DeepEqual(got, res) {
			t.Errorf("Classify(%s %s) = %+v, %v; want %+v", m, req.URL, got, err, res)
		}
	}
	for _, m := range []string{"PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", ""} {
		req.Method = m
		if got, err := e.Classify(req); !refused(err) {
			t.Errorf("Classify(%q %s) = %+v, %v; want a refusal", m, req.URL, got, err)
		}
	}
}

// checkPaths checks that no spelling of the path that servers may read in two ways is a resource.
func checkPaths(t *testing.T, e ecosystem.Ecosystem, req ecosystem.Request) {
	t.Helper()
	dir, file := path.Split(req.URL.EscapedPath())
	if file == "" {
		return
	}
	for _, p := range []string{
		dir + "../" + file, dir + "x/../" + file, dir + "%2e%2e/" + file, dir + "%2E./" + file, dir + "x%2f..%2f" + file,
		dir + "%252e%252e/" + file, dir + "x%252f" + file, dir + "x%255c" + file,
		dir + "%5c" + file, dir + "..%5c" + file, dir + file + "%00", dir + "%00/" + file, dir + file + "%0d%0aX:%20y",
	} {
		u, err := url.Parse(origin(req.URL) + p)
		if err != nil {
			t.Fatal(err)
		}
		hostile := req
		hostile.URL = u
		if got, err := e.Classify(hostile); !refused(err) {
			t.Errorf("Classify(%s) = %s, %v; want a refusal", u, got.URL, err)
		}
	}
	backslash := req
	raw := *req.URL
	raw.Path, raw.RawPath = raw.Path+`\..\x`, ""
	backslash.URL = &raw
	if got, err := e.Classify(backslash); !refused(err) {
		t.Errorf("Classify(%s) = %s, %v; want a refusal", backslash.URL, got.URL, err)
	}
}

// checkClaims checks that a document claims only what it may, in canonical form.
func checkClaims(t *testing.T, e ecosystem.Ecosystem, req ecosystem.Request, res ecosystem.Resource, claims []ecosystem.Claim) {
	t.Helper()
	for _, c := range claims {
		if d, err := digest.Parse(string(c.Digest)); err != nil || d != c.Digest || c.Size < -1 || c.By != "" {
			t.Errorf("claim %+v: %v", c, err)
		}
		for _, u := range []string{c.URL, cmp.Or(c.Via, c.URL)} {
			checkScope(t, e, res, u)
			checkCanonical(t, e, req, u, c.Variant)
		}
	}
}

// checkScope checks that a document may speak of a URL: of its own origin and repository,
// or one that names it as its voucher.
func checkScope(t *testing.T, e ecosystem.Ecosystem, res ecosystem.Resource, claimed string) {
	t.Helper()
	u, err := url.Parse(claimed)
	doc, docErr := url.Parse(res.URL)
	if err != nil || docErr != nil {
		t.Errorf("claim about %q: %v", claimed, err)
		return
	}
	of, err := e.Classify(ecosystem.Request{Method: "GET", URL: u})
	named := err == nil && slices.ContainsFunc(of.VouchedBy, func(v ecosystem.Resource) bool { return v.URL == res.URL && v.Variant == res.Variant })
	switch {
	case !(origin(u) == origin(doc) || named) || !strings.HasPrefix(claimed, res.Repository):
		t.Errorf("%s speaks of %s, which is not its own", res.URL, claimed)
	case hostilePath(u):
		t.Errorf("%s speaks of %q, a path that servers may read in two ways", res.URL, claimed)
	}
}

// checkCanonical checks that who asks for a URL that is claimed finds the claim. It is no
// error to claim what clients of the ecosystem never ask for.
func checkCanonical(t *testing.T, e ecosystem.Ecosystem, req ecosystem.Request, claimed, variant string) {
	t.Helper()
	u, err := url.Parse(claimed)
	if err != nil {
		t.Errorf("claim about %q: %v", claimed, err)
		return
	}
	got, err := e.Classify(ecosystem.Request{Method: "GET", URL: u, Accept: req.Accept, Client: req.Client})
	if err != nil {
		return
	}
	if want := ecosystem.Key(e.Profile().Name, claimed, variant); got.Variant == variant && got.ClaimKey() != want {
		t.Errorf("the claim about %q is not found by who asks for it: that is %q", want, got.ClaimKey())
	}
}

// hostilePath reports whether servers may read the path of u in two ways.
func hostilePath(u *url.URL) bool {
	for _, p := range []string{u.Path, u.EscapedPath()} {
		for s := range strings.SplitSeq(p, "/") {
			if s == ".." || s == "." {
				return true
			}
		}
		if strings.ContainsAny(p, "\\\x00\r\n") {
			return true
		}
	}
	escaped := strings.ToLower(u.EscapedPath())
	return strings.Contains(escaped, "%252f") || strings.Contains(escaped, "%255c") || strings.Contains(escaped, "%252e%252e")
}

// origin returns scheme, host and port of u, the same for all spellings.
func origin(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "https":
		host = strings.TrimSuffix(host, ":443")
	}
	return u.Scheme + "://" + host
}
