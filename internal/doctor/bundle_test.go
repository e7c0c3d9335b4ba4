package doctor

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestToken checks the way to an anonymous token, and that it is only taken over TLS.
func TestToken(t *testing.T) {
	w := newWorld(t)
	at := "https://hub.example/v2/ratelimitpreview/test/manifests/latest"
	asked := 0
	good := w.answers[at]
	realm := "https://auth.example/token"
	w.Do = func(r *http.Request) (*http.Response, error) {
		if strings.HasPrefix(r.URL.String(), "https://auth.example/token?") {
			a := answer(200)
			a.Body = io.NopCloser(strings.NewReader(`{"token":"abc"}`))
			return a, nil
		}
		asked++
		if r.Header.Get("Authorization") == "Bearer abc" {
			return good, nil
		}
		return answer(401, "WWW-Authenticate", `Bearer realm="`+realm+`",service="hub.example"`), nil
	}
	if f := w.of(t, "quota"); asked != 2 || f[0].Severity != OK || !strings.Contains(f[0].What, "76 of 100") {
		t.Errorf("%s", indent(f))
	}
	realm = "http://auth.example/token"
	if f := w.of(t, "quota"); f[0].Severity != Skipped {
		t.Errorf("%s", indent(f))
	}
}

// secrets is what must not leave, in the shapes in which logs and settings hold it.
var secrets = []string{
	"https://alice:s3cr3t@npm.example/x", `"proxy":"http://alice:s3cr3t@proxy.example:3128"`, "GET https://bucket.example/layer?X-Amz-Signature=s3cr3t&x=1 403",
	"Authorization: Bearer s3cr3ts3cr3t", `"Authorization":"Basic s3cr3ts3cr3t=="`, "authorization: token s3cr3ts3cr3t", "NPM_TOKEN=s3cr3t", `npm_config__authToken = "s3cr3t"`,
	`password = "s3cr3t"`, `{"password":"s3cr3t"}`, `{\"api_key\":\"s3cr3t\"}`, "Cookie: session=s3cr3t; a=b", "known-s3cr3t-value", "/home/alice/work/Dockerfile", "/Users/alice/x",
	"open /data/alice/.config/sutler: denied", `dir="/data/alice"`, "ssh://git@s3cr3t:x@host.example/y", "http://alice:s3@cr3t@proxy.example/", "https://host.example/a#access_token=s3cr3t",
	"-----BEGIN PRIVATE KEY-----\ns3cr3t\n-----END PRIVATE KEY-----", "-----BEGIN EC PRIVATE KEY-----\ns3cr3t",
}

func TestRedactor(t *testing.T) {
	r := NewRedactor([]string{"known-s3cr3t-value", "", "a"}, []string{"/data/alice", "/"})
	for _, s := range secrets {
		for _, text := range []string{s, "before " + s + " after\n", fmt.Sprintf("%q", s)} {
			got := r.Text(text)
			for _, bad := range []string{"s3cr3t", "cr3t", "alice"} {
				if strings.Contains(got, bad) {
					t.Errorf("%s\n becomes %s", text, got)
				}
			}
		}
	}
	for _, s := range []string{"https://npm.example/left-pad/-/left-pad-1.3.0.tgz", `"why":"there was none"`, "hit 12 files of apt", "sha256:0123456789abcdef", "127.0.0.1:7885"} {
		if got := r.Text(s); got != s {
			t.Errorf("%q becomes %q", s, got)
		}
	}
}

func TestBundle(t *testing.T) {
	var b bytes.Buffer
	if err := Bundle(&b, NewRedactor([]string{"known-s3cr3t-value"}, []string{"/data/alice"}), map[string]string{"log.txt": strings.Join(secrets, "\n"), "a.txt": "a"}, today); err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		text, err := io.ReadAll(r)
		if err != nil || strings.Contains(string(text), "s3cr3t") || strings.Contains(string(text), "alice") {
			t.Errorf("%s: %v %s", h.Name, err, text)
		}
	}
	if strings.Join(names, " ") != "sutler-doctor/a.txt sutler-doctor/log.txt" {
		t.Errorf("%q", names)
	}
}
