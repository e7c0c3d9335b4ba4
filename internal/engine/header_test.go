package engine_test

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"testing"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/engine"
	"sutler/internal/policy"
)

// TestHeader gives clients the fields that the ecosystem asks for, from the store too.
func TestHeader(t *testing.T) {
	const body = "signer k\n"
	b := newBench(t, map[string]string{"field/a": body}, policy.Rules{})
	raw := sha256.Sum256([]byte(body))
	want := []ecosystem.Setting{{Name: "X-Commit", Value: "c0ffee"}, {Name: "X-Sum", Value: string(sum(body))},
		{Name: "Repr-Digest", Value: "sha-256=:" + base64.StdEncoding.EncodeToString(raw[:]) + ":"}}
	for i := range 3 {
		if i == 2 {
			b.start(policy.Rules{}) // from the index
		}
		a, err := b.Serve(t.Context(), b.request("field/a"))
		if err != nil {
			t.Fatal(err)
		}
		if etag := fmt.Sprintf("%q", fmt.Sprintf("%x", md5.Sum([]byte(body)))); a.ETag != etag || !slices.Equal(a.Header, want) {
			t.Errorf("request %d: %s, %v; want %s, %v", i, a.ETag, a.Header, etag, want)
		}
		a.Close()
	}
}

// TestLink makes the links of a field lead to the native endpoint, for who came by it, from
// the origin and from the store; what leads elsewhere stays. The origin's validator is kept too.
func TestLink(t *testing.T) {
	b := newBench(t, map[string]string{"list/a": "signer k\n"}, policy.Rules{})
	for _, base := range []string{"", "http://127.0.0.1:1", "http://127.0.0.1:2"} {
		want := toyLinks
		if base != "" {
			want = "<" + base + `/toy/list/a?from=2>; rel="next", <https://elsewhere.test/b>; rel="help"`
		}
		req := b.request("list/a")
		req.Base = base
		for range 2 {
			a, err := b.Serve(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if i := slices.IndexFunc(a.Header, func(f ecosystem.Setting) bool { return f.Name == "Link" }); i < 0 || a.Header[i].Value != want {
				t.Errorf("at %q: %v, want %s", base, a.Header, want)
			}
			if a.ETag != `"of-the-origin"` {
				t.Errorf("at %q: ETag %s", base, a.ETag)
			}
			a.Close()
		}
	}
}

// TestLiteral answers by itself, and leaves no trace in the receipt.
func TestLiteral(t *testing.T) {
	b := newBench(t, nil, policy.Rules{})
	b.want("ping", "{}", engine.Hit)
	if b.origin.asked("ping") != 0 {
		t.Error("the origin was asked")
	}
}

// TestStated refuses a body that is not what its origin says it is.
func TestStated(t *testing.T) {
	b := newBench(t, map[string]string{"field/a": "signer k\n"}, policy.Rules{})
	b.origin.stated = map[string]string{"field/a": string(sum("other"))}
	if _, _, err := b.get("field/a"); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("get = %v, want a mismatch", err)
	}
	b.origin.stated["field/a"] = string(sum("signer k\n"))
	b.want("field/a", "signer k\n", engine.Miss)
}

// TestAnonymous drops the credential of a client where the ecosystem says so, and only there.
func TestAnonymous(t *testing.T) {
	b := newBench(t, map[string]string{"field/a": "signer k\n", "open/a": "x"}, policy.Rules{})
	req := b.request("field/a")
	req.Credential = "client"
	if _, outcome, err := b.do(req); err != nil || outcome != engine.Miss {
		t.Errorf("get = %s, %v", outcome, err)
	}
	req = b.request("open/a")
	req.Credential = "client"
	if _, _, err := b.do(req); !errors.Is(err, ecosystem.ErrBypass) {
		t.Errorf("get = %v, want a bypass", err)
	}
}
