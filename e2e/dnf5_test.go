package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dnf5 returns the command that downloads the package into a folder with dnf 5, which keeps
// everything else there too. dnf reads no variable for its authorities.
func dnf5(t *testing.T, dir, base string) []string {
	t.Helper()
	write(t, dir+"/repos/test.repo", "[test]\nname=test\nenabled=1\ngpgcheck=0\nproxy_auth_method=basic\nbaseurl="+base+"\n")
	return append([]string{"sh", "-c", `exec "$@" --setopt=sslcacert="$SSL_CERT_FILE"`, "sh"},
		inSid(t, "dnf5", "-q", "-y", "--use-host-config", "--installroot="+dir+"/root", "--releasever=9", "--setopt=reposdir="+dir+"/repos",
			"--setopt=cachedir="+dir+"/cache", "--setopt=logdir="+dir+"/log", "--setopt=retries=1", "download", "--destdir="+dir+"/got", "tool+x")...)
}

// TestDNF5 downloads a package with dnf 5: with the package changed on the way, cold, warm, with
// a new generation, and with the repository gone. The index is compressed with zchunk too, which
// Debian's dnf does not read: curl asks for it.
func TestDNF5(t *testing.T) {
	r := newRPMRepo(t)
	r.publish("1.0", "--zck")
	d := start(t, r.settings()...)
	base := "https://" + rpmPublic() + "/os/"
	fetch := func() (string, result) {
		t.Helper()
		dir := t.TempDir()
		got := d.run(dir, nil, binary, append([]string{"exec", "--"}, dnf5(t, dir, base)...)...)
		files := found(t, dir+"/got/*.rpm")
		if len(files) != 1 {
			return "", got
		}
		return filepath.Base(files[0]), got
	}
	r.lie.Store(func(w http.ResponseWriter, q *http.Request) bool {
		evil := strings.HasSuffix(q.URL.Path, ".rpm")
		if evil {
			_, _ = w.Write([]byte(strings.Repeat("evil", 100_000))) // whoever is gone does not read it
		}
		return evil
	})
	if file, got := fetch(); got.code == 0 || file != "" {
		t.Errorf("dnf took a package that was changed: exit %d\n%s%s", got.code, got.out, got.err)
	}
	r.lie.Store(func(http.ResponseWriter, *http.Request) bool { return false })
	want := func(what, version string) summary {
		t.Helper()
		if file, got := fetch(); got.code != 0 || file != "tool+x-"+version+"-1.noarch.rpm" {
			t.Errorf("%s: exit %d, %q, want %s\n%s%s", what, got.code, file, version, got.out, got.err)
		}
		return d.last()
	}
	if s := want("cold", "1.0"); s.Failed > 0 || s.Unvouched > 0 {
		t.Errorf("cold: %+v", s)
	}
	packed := found(t, r.dir+"/os/repodata/*-primary.xml.zck")
	if len(packed) != 1 {
		t.Fatalf("createrepo_c made %v", packed)
	}
	_, s := d.through(d.dir, "curl", "-fsS", "-o", "zck", base+"repodata/"+filepath.Base(packed[0]))
	if len(s.Lines) != 1 || s.Lines[0].Trust != "signed" {
		t.Errorf("the index in zchunk: %+v", s)
	}
	whole, err := os.ReadFile(packed[0])
	if err != nil {
		t.Fatal(err)
	}
	parts, s := d.through(d.dir, "curl", "-fsS", "-r", "0-99,200-299", base+"repodata/"+filepath.Base(packed[0])) // as zchunk asks for chunks
	if !strings.Contains(parts.out, string(whole[:100])) || !strings.Contains(parts.out, string(whole[200:300])) || len(s.Lines) != 1 || s.Lines[0].Outcome != "hit" {
		t.Errorf("parts of the index in zchunk: %d bytes, %+v", len(parts.out), s)
	}
	want("warm", "1.0").allFromStore(t, 1)
	r.publish("2.0", "--zck")
	d.sutler("purge", "/repomd.xml")
	want("changed", "2.0")
	d.stop()
	r.srv.Close()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	want("offline", "2.0").allFromStore(t, 1)
}
