package maven

import (
	"bytes"
	"errors"
	"net/url"
	"strings"
	"testing"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// classify returns the resource at a URL.
func classify(t *testing.T, e *Ecosystem, address string) (ecosystem.Resource, error) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return e.Classify(ecosystem.Request{Method: "GET", URL: u})
}

// TestChecksumFormats reads what tools have written in the course of time.
func TestChecksumFormats(t *testing.T) {
	e := New(Options{})
	res, err := classify(t, e, "https://repo.example/maven2/g/a/1/a-1.jar.sha1")
	if err != nil {
		t.Fatal(err)
	}
	const sum = "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3"
	for text, good := range map[string]bool{
		sum:                                 true,
		sum + "\r\n":                        true,
		strings.ToUpper(sum):                true,
		"\ufeff" + sum:                      true,
		sum + "  a-1.jar":                   true,
		sum + " */home/x/a-1.jar":           true,
		"SHA1(a-1.jar)= " + sum:             true,
		"SHA1 (a-1.jar) = " + sum:           true,
		sum + " " + sum:                     true,
		"":                                  false,
		sum[1:]:                             false,
		"sha1:" + sum:                       false,
		sum + " " + strings.Repeat("0", 40): false,
		sum + strings.Repeat(" ", maxSum):   false,
	} {
		doc := ecosystem.Body{Resource: res, ReaderAt: bytes.NewReader([]byte(text)), Size: int64(len(text))}
		var got []ecosystem.Claim
		_, err := e.Inspect(t.Context(), doc, nil, func(c ecosystem.Claim) error { got = append(got, c); return nil })
		switch {
		case good && (err != nil || len(got) != 1 || got[0].Digest != digest.Digest("sha1:"+sum)):
			t.Errorf("%q: %v, %v", text, got, err)
		case !good && !errors.Is(err, ecosystem.ErrInvalid):
			t.Errorf("%q: %v, %v; want it to be invalid", text, got, err)
		}
	}
}

func TestVersions(t *testing.T) {
	for _, tt := range []struct{ rest, version, named, tail string }{
		{"1.2.jar", "1.2", "1.2", ".jar"},
		{"1.2-sources.jar", "1.2", "1.2", "-sources.jar"},
		{"1.3-SNAPSHOT.jar", "1.3-SNAPSHOT", "1.3-SNAPSHOT", ".jar"},
		{"1.3-20240102.030405-7.jar", "1.3-SNAPSHOT", "1.3-20240102.030405-7", ".jar"},
		{"20240102.030405-7-x.jar", "SNAPSHOT", "20240102.030405-7", "-x.jar"},
		{"1.3-2024.jar", "1.3-SNAPSHOT", "", ""},
		{"1.4.jar", "1.3-SNAPSHOT", "", ""},
		{"1.4.jar", "1.3", "", ""},
	} {
		named, tail, ok := cutVersion(tt.rest, tt.version)
		if ok != (tt.named != "") || ok && (named != tt.named || tail != tt.tail) {
			t.Errorf("cutVersion(%s, %s) = %q, %q, %t", tt.rest, tt.version, named, tail, ok)
		}
	}
}

// TestPublicRepositories checks that the group is found below the path of each.
func TestPublicRepositories(t *testing.T) {
	e := New(Options{})
	for _, r := range publicRepositories() {
		base := "https://" + strings.ReplaceAll(r, "*", "releases")
		res, err := classify(t, e, base+"/org/example/lib/1.2/lib-1.2.tar.gz")
		if err != nil || res.Package != "org.example:lib" {
			t.Errorf("%s: %q, %v", r, res.Package, err)
		}
	}
	// A host with other things on it too is asked only for what lies in its repository.
	e = New(Options{Hosts: []string{"shared.example/maven"}})
	if res, err := classify(t, e, "https://shared.example/files/tool/1.2/tool-1.2.tar.gz"); !errors.Is(err, ecosystem.ErrUnknown) {
		t.Errorf("beside a repository: %+v, %v", res, err)
	}
}
