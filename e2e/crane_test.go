package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
)

// craneVersion is the release of crane that is tested.
const craneVersion = "v0.20.6"

// newReferring starts a registry that answers for referrers.
func newReferring(t *testing.T) *registry {
	t.Helper()
	need(t, "curl")
	r := &registry{t: t, addr: freeAddr(t)}
	background(t, "http://"+r.addr+"/v2/", goBuild(t, "testdata/registry", "build"), r.addr)
	return r
}

// An interposed stands between sutler and a registry: it asks for two tags at once, as if
// there were too many, and can change layers.
type interposed struct {
	registry string // address
	evil     atomic.Bool
	asked    atomic.Int64
}

// ServeHTTP answers with what the registry does.
func (i *interposed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.asked.Add(1)
	if strings.HasSuffix(r.URL.Path, "/tags/list") {
		query := r.URL.Query()
		query.Set("n", "2")
		r.URL.RawQuery = query.Encode()
	}
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(&url.URL{Scheme: "http", Host: i.registry}) },
		ModifyResponse: func(resp *http.Response) error {
			if i.evil.Load() && resp.ContentLength > 100_000 {
				resp.Body = io.NopCloser(io.MultiReader(io.LimitReader(resp.Body, resp.ContentLength-1), strings.NewReader("x")))
			}
			return nil
		},
	}
	proxy.ServeHTTP(w, r)
}

// TestCrane pulls, lists and asks for digests with crane, by the native endpoint and by the
// proxy: cold, warm, with a tag that moved, with layers changed on the way, and offline.
func TestCrane(t *testing.T) {
	crane := goProgram(t, "crane", "github.com/google/go-containerregistry/cmd/crane", craneVersion)
	r := newReferring(t)
	first := r.push("team/app", "a", 41)
	for _, tag := range []string{"b", "c", "d", "e"} {
		r.push("team/app", tag, 41)
	}
	origin := &interposed{registry: r.addr}
	server := httptest.NewServer(origin)
	t.Cleanup(server.Close)
	d := start(t, mirrors(map[string]string{"one.example": server.Listener.Addr().String()})...)
	native := d.addr + "/one.example/team/app"
	origin.evil.Store(true)
	for _, image := range []string{native + ":a", native + "@" + first.Digest} {
		if got := d.run(t.TempDir(), nil, crane, "pull", "--platform", "linux/amd64", image, "image.tar"); got.code == 0 {
			t.Errorf("crane pulled a layer of %s that was changed", image)
		}
	}
	if n := metric(t, d, "sutler_verify_failures_total"); n == 0 {
		t.Error("no failed verification was counted")
	}
	origin.evil.Store(false)
	pull := func(name string, command ...string) {
		t.Helper()
		if got := d.run(t.TempDir(), nil, command[0], append(command[1:], "pull", "--format", "oci", name, "image")...); got.code != 0 {
			t.Errorf("crane pull %s: exit %d\n%s%s", name, got.code, got.out, got.err)
		}
	}
	pull(native+":a", crane)
	before := origin.asked.Load()
	pull(native+":a", crane)
	pull("one.example/team/app:a", binary, "exec", "--", crane)
	if n := origin.asked.Load() - before; n != 0 {
		t.Errorf("warm, the registry was asked %d times", n)
	}
	if got := strings.TrimSpace(d.must(d.dir, nil, crane, "digest", native+":a").out); got != first.Digest {
		t.Errorf("crane digest is %s, want %s", got, first.Digest)
	}
	for _, command := range [][]string{{crane, "ls", native}, {binary, "exec", "--", crane, "ls", "one.example/team/app"}} {
		if got := strings.Join(strings.Fields(d.must(d.dir, nil, command[0], command[1:]...).out), " "); got != "a b c d e" {
			t.Errorf("%v: %q", command[1:], got)
		}
	}
	moved := r.push("team/app", "a", 42)
	d.sutler("purge", "/manifests/a")
	if got := strings.TrimSpace(d.must(d.dir, nil, crane, "digest", native+":a").out); got != moved.Digest {
		t.Errorf("of the tag that moved crane digest is %s, want %s", got, moved.Digest)
	}
	pull(native+":a", crane)
	d.stop()
	server.Close()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	pull(native+":a", crane)
	pull("one.example/team/app@"+first.Digest, binary, "exec", "--", crane)
	if got := d.run(t.TempDir(), nil, crane, "digest", native+":none"); got.code == 0 {
		t.Error("offline, a tag that is not stored has a digest")
	}
}

// TestConformance runs the reading half of the distribution specification's conformance
// program, pulling and discovery, against sutler in front of a registry with referrers. What
// the program uploads to read it goes to the registry itself. No archive that CI reaches has
// the program: SUTLER_E2E_CONFORMANCE names the folder "conformance" of release 1.1.1.
func TestConformance(t *testing.T) {
	src := os.Getenv("SUTLER_E2E_CONFORMANCE")
	if src == "" {
		t.Skip("SUTLER_E2E_CONFORMANCE names no source of the conformance program")
	}
	program := goBuild(t, src, "test", "-c")
	r := newReferring(t)
	const host = "one.example"
	d := start(t, mirrors(map[string]string{host: r.addr})...)
	var reads atomic.Int64
	split := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(&url.URL{Scheme: "http", Host: r.addr})
		if m := p.In.Method; m == http.MethodGet || m == http.MethodHead {
			reads.Add(1)
			p.Out.URL.Host = d.addr
			p.Out.URL.Path = strings.Replace(p.In.URL.Path, "/v2/team", "/v2/"+host+"/team", 1)
		}
	}})
	defer split.Close()
	got := d.run(t.TempDir(), []string{"OCI_ROOT_URL=" + split.URL, "OCI_NAMESPACE=team/app", "OCI_TEST_PULL=1", "OCI_TEST_CONTENT_DISCOVERY=1",
		"OCI_HIDE_SKIPPED_WORKFLOWS=1", "OCI_REPORT_DIR=none"}, program, "-ginkgo.no-color")
	if got.code != 0 || !strings.Contains(got.out, "0 Failed") || strings.Contains(got.out, "not implemented") {
		t.Errorf("exit %d\n%s%s", got.code, got.out, got.err)
	}
	if served := metric(t, d, `sutler_responses_total{ecosystem="oci"`); served < 15 || reads.Load() < 20 {
		t.Errorf("%d reads of the program, %d answers of sutler", reads.Load(), served)
	}
}
