package generic

import (
	"slices"
	"strings"
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/ecosystemtest"
)

// example returns an ecosystem that knows one host of each kind.
func example() *Ecosystem {
	e := New(Options{Hosts: []string{"Downloads.example", "*.cdn.example"}})
	for _, h := range []host{
		{"code.example", byRelease, releaseSums},
		{"raw.example", byCommit, nil},
		{"archives.example", onRequest, nil},
		{"dist.example", byName, listed("SHASUMS256.txt")},
		{"products.example", byName, productSums},
		{"bucket.example", byName, below("/tools/", beside(".sha256"))},
	} {
		e.known[h.name] = h
	}
	return e
}

// request returns a request for a URL.
func request(t testing.TB, method, address string) ecosystem.Request {
	t.Helper()
	return ecosystemtest.Request(t, method, address, "")
}

const commit = "0123456789abcdef0123456789abcdef01234567"

func TestClassify(t *testing.T) {
	const (
		stays = ecosystem.Artifact
		moves = ecosystem.Document
	)
	for _, tt := range []struct {
		url  string
		kind ecosystem.Kind
		hold bool
		by   string // names of the checksum files, after the directory of the URL
	}{
		{"https://dist.example/dist/v20.11.1/node-v20.11.1-linux-x64.tar.xz", stays, false, "SHASUMS256.txt"},
		{"https://dist.example/dist/latest/node-v20.11.1-linux-x64.tar.xz", moves, false, ""},
		{"https://dist.example/dist/latest-v20.x/node-v20.11.1-linux-x64.tar.xz", moves, false, ""},
		{"https://dist.example/dist/v20.11.1/SHASUMS256.txt", moves, true, ""},
		{"https://dist.example/dist/index.json", moves, true, ""},
		{"https://dist.example/dist/v20.11.1/", moves, true, ""},
		{"https://dist.example", moves, true, ""},
		{"https://code.example/o/tool/releases/download/v1.2.0/tool-linux-amd64", stays, true, "tool-linux-amd64.sha256 tool_1.2.0_checksums.txt checksums.txt"},
		{"https://code.example/o/tool/releases/download/v1.2.0/tool_linux.zip", stays, false, "tool_linux.zip.sha256 tool_1.2.0_checksums.txt checksums.txt"},
		{"https://code.example/o/tool/releases/download/v1.2.0/tool_linux.zip.sha256", moves, true, ""},
		{"https://code.example/o/tool/releases/download/v1.2.0/tool_linux.zip.asc", stays, true, ""},
		{"https://code.example/o/tool/releases/download/nightly/tool_linux.zip", moves, false, ""},
		{"https://code.example/o/tool/releases/download/nightly-2026.1.1/tool_linux.zip", moves, false, ""},
		{"https://code.example/o/tool/releases/download/stable/tool_linux.zip", moves, false, ""},
		{"https://code.example/o/tool/releases/latest/download/tool-1.2.0.zip", moves, false, ""},
		{"https://code.example/o/tool/archive/refs/tags/v1.2.0.tar.gz", moves, false, ""},
		{"https://code.example/o/tool/raw/" + commit + "/install.sh", stays, true, ""},
		{"https://code.example/o/tool/raw/v1.2.0/install.sh", moves, true, ""},
		{"https://code.example/o/tool", moves, true, ""},
		{"https://raw.example/o/tool/" + commit + "/install.sh", stays, true, ""},
		{"https://raw.example/o/tool/v1.2.0/install.sh", moves, true, ""},
		{"https://raw.example/o/tool/main/tool-1.2.0.tar.gz", moves, false, ""},
		{"https://archives.example/o/tool/tar.gz/refs/tags/v1.2.0", moves, true, ""},
		{"https://archives.example/o/tool/zip/v1.2.0.zip", moves, false, ""},
		{"https://products.example/tool/1.7.0/tool_1.7.0_linux_amd64.zip", stays, false, "tool_1.7.0_SHA256SUMS"},
		{"https://products.example/tool/1.7.0/tool_1.7.0_SHA256SUMS", moves, true, ""},
		{"https://products.example/deep/tool/1.7.0/tool_1.7.0_linux_amd64.zip", stays, false, ""},
		{"https://bucket.example/tools/tool-1.7.tar.gz", stays, false, "tool-1.7.tar.gz.sha256"},
		{"https://bucket.example/other/tool-1.7.tar.gz", stays, false, ""},
		{"https://downloads.example/release/v1.30.0/bin/linux/amd64/kubectl", stays, true, "kubectl.sha256 SHA256SUMS"},
		{"https://downloads.example/release/v1.30/bin/linux/amd64/kubectl", moves, true, ""},
		{"https://downloads.example/release/stable.txt", moves, true, ""},
		{"https://downloads.example/v1.30.0/notes.txt", moves, true, ""},
		{"https://downloads.example/go1.22.linux-amd64.tar.gz", stays, false, "go1.22.linux-amd64.tar.gz.sha256 SHA256SUMS"},
		{"https://downloads.example/static/stable/x86_64/docker-24.0.7.tgz", stays, false, "docker-24.0.7.tgz.sha256 SHA256SUMS"},
		{"https://downloads.example/Miniconda3-py311_24.1.2-0-Linux-x86_64.sh", stays, true, "Miniconda3-py311_24.1.2-0-Linux-x86_64.sh.sha256 SHA256SUMS"},
		{"https://downloads.example/Miniconda3-latest-Linux-x86_64.sh", moves, true, ""},
		{"https://downloads.example/redis-stable.tar.gz", moves, false, ""},
		{"https://downloads.example/awscli-exe-linux-x86_64.zip", moves, false, ""},
		{"https://downloads.example/tool_linux_glibc2.17.tar.gz", moves, false, ""},
		{"https://downloads.example/tool-ubuntu22.04.tar.gz", moves, false, ""},
		{"https://downloads.example/glibc-2.38.tar.xz", stays, false, "glibc-2.38.tar.xz.sha256 SHA256SUMS"},
		{"https://downloads.example/python/3.12.1/Python-3.12.1.tgz", stays, false, "Python-3.12.1.tgz.sha256 SHA256SUMS"},
		{"https://downloads.example/pip/3.7/get-pip.py", moves, true, ""},
		{"https://downloads.example/install.sh", moves, true, ""},
		{"https://downloads.example/tool-1.2.3.zip?os=linux", moves, false, ""},
		{"http://a.cdn.example/tool-1.2.3.zip", stays, false, "tool-1.2.3.zip.sha256 SHA256SUMS"},
	} {
		e := example()
		res, err := e.Classify(request(t, "GET", tt.url))
		if err != nil {
			t.Errorf("Classify(%s): %v", tt.url, err)
			continue
		}
		above, _ := splitPath(tt.url)
		var by []string
		for _, v := range res.VouchedBy {
			by = append(by, strings.TrimPrefix(v.URL, above))
			direct, err := e.Classify(request(t, "GET", v.URL))
			if err != nil || direct.Key() != v.Key() || direct.Floor != v.Floor || direct.Kind != v.Kind {
				t.Errorf("voucher %+v is classified as %+v, %v", v, direct, err)
			}
		}
		if res.Kind != tt.kind || res.Hold != tt.hold || strings.Join(by, " ") != tt.by {
			t.Errorf("Classify(%s) = %v, hold %v, by %q, want %v, %v, %q", tt.url, res.Kind, res.Hold, by, tt.kind, tt.hold, tt.by)
		}
		if len(by) > 3 || len(by) > 0 && !res.Optional {
			t.Errorf("Classify(%s): %d vouchers, optional %v", tt.url, len(by), res.Optional)
		}
	}
}

func TestCanonicalURL(t *testing.T) {
	const host = "https://downloads.example"
	for _, tt := range []struct{ url, want string }{
		{"https://DOWNLOADS.example:443/a", host + "/a"},
		{"http://downloads.example:80/a", "http://downloads.example/a"},
		{host + ":8443/a", host + ":8443/a"},
		{host, host + "/"},
		{host + "/a?z=1&b=2&b=1&a", host + "/a?a&b=2&b=1&z=1"},
		{host + "/%61%2fb%2d", host + "/a%2Fb-"},
		{host + "/a+b%2bc", host + "/a+b%2Bc"},
		{host + "/a//b", host + "/a//b"},
		{host + "/a%25b", host + "/a%25b"},
		{host + "/a#part", host + "/a"},
	} {
		res, err := example().Classify(request(t, "HEAD", tt.url))
		if err != nil || res.URL != tt.want {
			t.Errorf("Classify(%s) = %q, %v, want %q", tt.url, res.URL, err, tt.want)
		}
	}
}

func TestClassifyOthers(t *testing.T) {
	const host = "https://downloads.example"
	ecosystemtest.CheckRefused(t, example(), "", []ecosystemtest.Refused{
		{"GET", "https://other.example/tool-1.2.3.zip", ecosystem.ErrUnknown},
		{"GET", "https://cdn.example/tool-1.2.3.zip", ecosystem.ErrUnknown},
		{"POST", "https://other.example/", ecosystem.ErrUnknown},
		{"GET", "ftp://downloads.example/a", ecosystem.ErrUnknown},
		{"POST", host + "/a", ecosystem.ErrBypass},
		{"PUT", host + "/a", ecosystem.ErrBypass},
		{"OPTIONS", host + "/a", ecosystem.ErrBypass},
		{"GET", "https://me:secret@downloads.example/a", ecosystem.ErrBypass},
		{"GET", host + "/a?token=secret", ecosystem.ErrBypass},
		{"GET", host + "/a?x=1&X-Amz-Signature=secret", ecosystem.ErrBypass},
		{"GET", host + "/a?X-Goog-Signature=secret", ecosystem.ErrBypass},
		{"GET", host + "/a?sv=2020&si%67=secret", ecosystem.ErrBypass},
		{"GET", "https://code.example/o/tool.git/info/refs?service=git-upload-pack", ecosystem.ErrBypass},
		{"GET", "https://code.example/o/tool/info/refs?service=git-upload-pack", ecosystem.ErrBypass},
		{"POST", "https://code.example/o/tool.git/git-upload-pack", ecosystem.ErrBypass},
		{"GET", "https://code.example/o/tool.git/objects/info/packs", ecosystem.ErrBypass},
		{"TRACE", host + "/a", ecosystem.ErrRefused},
		{"GET", host + "/a/../b", ecosystem.ErrRefused},
		{"GET", host + "/a/%2e%2E/b", ecosystem.ErrRefused},
		{"GET", host + "/a%2f..%2fb", ecosystem.ErrRefused},
		{"GET", host + "/a%00", ecosystem.ErrRefused},
		{"GET", host + "/a%5cb", ecosystem.ErrRefused},
		{"GET", host + "/a%252fb", ecosystem.ErrRefused},
	})
}

func TestProfile(t *testing.T) {
	p := New(Options{Hosts: []string{"Own.example"}}).Profile()
	if !p.Owns("own.example") {
		t.Error("a configured host is missing in the profile")
	}
	hosts := slices.Clone(p.Hosts)
	slices.Sort(hosts)
	if n := len(hosts); n != len(slices.Compact(hosts)) {
		t.Error("a host stands twice in the profile")
	}
	for _, h := range p.Hosts {
		if h != strings.ToLower(h) || strings.ContainsAny(h, "/: ") {
			t.Errorf("host %q", h)
		}
	}
	u, ok := p.Mounts[0].URL("/https/own.example/a%2Fb/c", "x=1")
	if !ok || u.String() != "https://own.example/a%2Fb/c?x=1" {
		t.Errorf("mount: %v, %v", u, ok)
	}
}
