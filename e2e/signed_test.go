package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sutler/internal/ecosystem/apk"
	"sutler/internal/ecosystem/apt"
	"sutler/internal/ecosystem/gomod"
	"sutler/internal/ecosystem/openpgp"
)

// goHost is a proxy for Go modules that no profile names: no database is asked about it.
const goHost = "goproxy.example"

// signed is one package of each ecosystem whose documents are signed, or which are their own
// proof, and the settings by which sutler knows the keys. Their repositories are made here.
func signed(t *testing.T) ([]thin, []string) {
	t.Helper()
	debian, debianKeys := signedApt(t)
	alpine, alpineKeys := signedApk(t)
	zip := goHost + "/acme.example/pad/@v/v1.2.0.zip"
	return []thin{
		debian, alpine, signedKey(t),
		{
			name: gomod.Name, agent: "Go-http-client/1.1", artifact: zip,
			files: map[string]string{zip: string(zipOf(t, "acme.example/pad@v1.2.0/go.mod", "module acme.example/pad\n"))},
		},
	}, []string{debianKeys, alpineKeys}
}

// signedApt returns an archive whose indexes clients have read before they ask for packages.
func signedApt(t *testing.T) (thin, string) {
	t.Helper()
	r := newRepo(t)
	r.publish("1.0")
	root := apt.New(apt.Options{}).Profile().Hosts[0] + "/debian/"
	dist := root + "dists/stable/"
	c := thin{
		name: apt.Name, agent: "Debian APT-HTTP/1.3 (2.6.1)", files: map[string]string{}, artifact: root + "pool/tool_1.0_all.deb",
		voucher: dist + "main/binary-amd64/Packages.gz", first: []string{dist + "InRelease", dist + "main/binary-amd64/Packages.gz"},
	}
	err := filepath.WalkDir(r.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		c.files[root+strings.TrimPrefix(path, r.dir+"/")] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, "APT_KEYRINGS=" + r.home
}

// signedApk returns a repository of Alpine's.
func signedApk(t *testing.T) (thin, string) {
	t.Helper()
	r := newAPKRepo(t)
	r.publish("1.0-r0", time.Now())
	root := apk.New(apk.Options{}).Profile().Hosts[0] + apkPath + "/x86_64/"
	c := thin{name: apk.Name, agent: "libfetch/2.0", files: map[string]string{}, artifact: root + "tool-1.0-r0.apk", voucher: root + "APKINDEX.tar.gz"}
	for path, b := range r.files {
		if file, ok := strings.CutPrefix(path, "/x86_64/"); ok {
			c.files[root+file] = string(b)
		}
	}
	return c, "APK_KEYS=" + r.keys
}

// signedKey returns a key of a keyserver, asked for by its fingerprint.
func signedKey(t *testing.T) thin {
	t.Helper()
	k, prints := keys(t)
	at := openpgp.New(openpgp.Options{}).Profile().Hosts[0] + "/pks/lookup?op=get&options=mr&search=0x" + prints[0]
	return thin{name: openpgp.Name, agent: "curl/7.88.1", artifact: at, files: map[string]string{at: k.keys[prints[0]]}, named: true}
}
