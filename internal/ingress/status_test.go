package ingress

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/engine"
	"sutler/internal/policy"
	"sutler/internal/upstream"
)

// said returns the error for a status of the origin, wrapped as a Fetcher does.
func said(status int, after time.Duration) error {
	return fmt.Errorf("fetch: %w", &upstream.StatusError{URL: "https://npm.example/x", Status: status, RetryAfter: after})
}

func TestStatus(t *testing.T) {
	untrusted := fmt.Errorf("%w: https://npm.example/x: %w", upstream.ErrUnavailable,
		&tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "npm.example"}})
	for _, tt := range []struct {
		name  string
		err   error
		want  int
		npm   int // 0 if the same
		after string
	}{
		{"not found", said(404, 0), 404, 0, ""},
		{"gone", said(410, 0), 410, 0, ""},
		{"not found, no status", fmt.Errorf("%w: x", upstream.ErrNotFound), 404, 0, ""},
		{"unauthorised", said(401, 0), 401, 0, ""},
		{"payment", said(402, 0), 402, 0, ""},
		{"forbidden", said(403, 0), 403, 0, ""},
		{"legal reasons", said(451, 0), 451, 0, ""},
		{"forbidden, no status", fmt.Errorf("%w: x", upstream.ErrForbidden), 403, 0, ""},
		{"too many requests", said(429, 1500*time.Millisecond), 429, 0, "2"},
		{"origin in trouble", said(500, 0), 502, 0, ""},
		{"origin asks for patience", said(503, 7*time.Second), 502, 0, "7"},
		{"unreachable", fmt.Errorf("%w: refused", upstream.ErrUnavailable), 504, 0, ""},
		{"untrusted", untrusted, 502, 0, ""},
		{"offline", fmt.Errorf("%w: %w: x", upstream.ErrOffline, upstream.ErrUnavailable), 504, 403, ""},
		{"too slow", context.DeadlineExceeded, 504, 0, ""},
		{"nonsense", fmt.Errorf("%w: x", upstream.ErrInvalid), 502, 0, ""},
		{"blocked", fmt.Errorf("%w: 127.0.0.1", upstream.ErrBlocked), 403, 0, ""},
		{"mismatch", &engine.MismatchError{}, 502, 422, ""},
		{"mismatch, bare", digest.ErrMismatch, 502, 422, ""},
		{"invalid document", ecosystem.ErrInvalid, 502, 422, ""},
		{"rolled back", engine.ErrRolledBack, 502, 422, ""},
		{"too large", engine.ErrTooLarge, 502, 422, ""},
		{"too deep", engine.ErrTooDeep, 502, 0, ""},
		{"policy", &policy.RefusedError{Rule: "r"}, 403, 0, ""},
		{"refused", ecosystem.ErrRefused, 403, 0, ""},
		{"unknown", ecosystem.ErrUnknown, 404, 0, ""},
		{"anything else", errors.New("disk on fire at /var/lib"), 500, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, _ := explain(tt.err); got != tt.want {
				t.Errorf("Status = %d, want %d", got, tt.want)
			}
			g := newRig(t, map[string]func(ecosystem.Request) (*engine.Answer, error){"/x": fixed(engine.Answer{}, tt.err)}, policy.Rules{})
			if errors.Is(tt.err, ecosystem.ErrUnknown) {
				return // passed through: see TestUnknown
			}
			for host, want := range map[string]int{"deb.example": tt.want, "npm.example": cmp.Or(tt.npm, tt.want)} {
				resp, body, err := do(t, serve(t, g.front(host), false), "GET", "/x")
				if err != nil || resp.StatusCode != want || resp.Header.Get("Retry-After") != tt.after || resp.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: %v, %v, want %d, Retry-After %q", host, resp, err, want, tt.after)
					continue
				}
				readable(t, host, body)
			}
		})
	}
}

// TestUntrusted: trying again does not help where a proxy that nobody named opens TLS.
func TestUntrusted(t *testing.T) {
	err := fmt.Errorf("%w: https://npm.example/x: %w", upstream.ErrUnavailable, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}})
	if _, hint := explain(err); !strings.Contains(hint, "upstream.ca_file") || strings.Contains(hint, "try again") {
		t.Errorf("hint: %q", hint)
	}
}

// readable checks that the body is one sentence in the form that clients of the host show.
func readable(t *testing.T, host, body string) {
	t.Helper()
	text := body
	if host == "npm.example" {
		var v struct {
			Error string `json:"error"`
		}
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Errorf("body %q: %v", body, err)
		}
		text = v.Error + "\n"
	}
	if !strings.HasPrefix(text, "sutler: ") || strings.Count(text, "\n") != 1 || !strings.Contains(text, "; ") {
		t.Errorf("body %q is not one sentence with a hint", body)
	}
	if strings.Contains(text, "/var/lib") {
		t.Errorf("body %q tells what is inside", body)
	}
}

// TestFieldsOfARefusal checks that clients get the fields of an origin's refusal that are kept.
func TestFieldsOfARefusal(t *testing.T) {
	err := fmt.Errorf("fetch: %w", &upstream.StatusError{Status: 404, Header: []ecosystem.Setting{{Name: "X-Error-Code", Value: "EntryNotFound"}}})
	g := newRig(t, map[string]func(ecosystem.Request) (*engine.Answer, error){"/x": fixed(engine.Answer{}, err)}, policy.Rules{})
	resp, _, err := do(t, serve(t, g.front("deb.example"), false), "GET", "/x")
	if err != nil || resp.StatusCode != 404 || resp.Header.Get("X-Error-Code") != "EntryNotFound" {
		t.Errorf("%v, %v, want 404 with X-Error-Code", resp, err)
	}
}

func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                    "plain",
		"a\r\nSet-Cookie: x\x00\t": "a  Set-Cookie: x  ",
		"bad\xff":                  "bad?",
		strings.Repeat("ä", 600):   strings.Repeat("ä", 500) + "…",
	} {
		if got := oneLine(in); got != want {
			t.Errorf("oneLine(%.20q) = %.40q (%d bytes), want %.40q", in, got, len(got), want)
		}
	}
}

// TestOCIErrors tells clients of container registries in the words of their specification.
func TestOCIErrors(t *testing.T) {
	for status, want := range map[int]string{404: "MANIFEST_UNKNOWN", 401: "UNAUTHORIZED", 403: "DENIED", 405: "UNSUPPORTED", 429: "TOOMANYREQUESTS", 502: "UNKNOWN"} {
		b, err := json.Marshal(ociErrors(status, "/v2/a/manifests/1", "sutler: x"))
		if text := `{"errors":[{"code":"` + want + `","message":"sutler: x"}]}`; err != nil || string(b) != text {
			t.Errorf("%d: %s, %v; want %s", status, b, err, text)
		}
	}
	b, err := json.Marshal(ociErrors(404, "/v2/a/blobs/sha256:0", "x"))
	if err != nil || !strings.Contains(string(b), "BLOB_UNKNOWN") {
		t.Errorf("%s, %v", b, err)
	}
}
