package e2e

import (
	"archive/zip"
	"bytes"
	"crypto/sha1" //nolint:gosec // what the protocol states
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sutler/internal/ecosystem/composer"
)

// phpHost is a private repository; it has dists of its own, with digests.
const phpHost = "php.example"

// phpPackage returns the dist archive of a package.
func phpPackage(t *testing.T, name, version string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for file, text := range map[string]string{
		"pad-1/composer.json": `{"name":"` + name + `","autoload":{"classmap":["src/"]}}`,
		"pad-1/src/Pad.php":   "<?php class Pad { const VERSION = '" + version + "'; }\n",
	} {
		w, err := z.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// phpMetadata returns the metadata of a package with the versions given, each with the URL
// and the archive of its dist, whose digest is stated if the URL is of the repository.
func phpMetadata(t *testing.T, name string, dists map[string]string, archives map[string][]byte) []byte {
	t.Helper()
	var versions []map[string]any
	for version, at := range dists {
		dist := map[string]any{"type": "zip", "url": at, "reference": strings.Repeat("0123456789", 4), "shasum": ""}
		if strings.HasPrefix(at, "https://"+phpHost+"/") {
			sum := sha1.Sum(archives[version]) //nolint:gosec // as above
			dist["shasum"] = hex.EncodeToString(sum[:])
		}
		versions = append(versions, map[string]any{"name": name, "version": version, "type": "library", "dist": dist, "autoload": map[string]any{"classmap": []string{"src/"}}})
	}
	b, err := json.Marshal(map[string]any{"packages": map[string]any{name: versions}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// phpProject makes a folder with a manifest and, if given, a lock file. Clients that work
// in it start with an empty cache.
func phpProject(t *testing.T, repository, lock string) (dir string, env []string) {
	t.Helper()
	dir = t.TempDir()
	write(t, dir+"/composer.json", `{"repositories":[{"type":"composer","url":"`+repository+`"},{"packagist.org":false}],`+
		`"require":{"acme/pad":"^1.0","acme/box":"^1.0"},"config":{"secure-http":false}}`)
	if lock != "" {
		b, err := os.ReadFile(lock)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir+"/composer.lock", string(b))
	}
	return dir, []string{"COMPOSER_HOME=" + dir + "/.home", "COMPOSER_CACHE_DIR=" + dir + "/.cache", "COMPOSER_ALLOW_SUPERUSER=1", "COMPOSER_NO_INTERACTION=1"}
}

// phpOrigin starts an origin that has two packages, for the private and the public
// repository, and says where their dists are.
func phpOrigin(t *testing.T, public, codeHost string) (origin *publicOrigin, padAt, boxAt string) {
	t.Helper()
	origin = newPublicOrigin(t)
	padAt, boxAt = phpHost+"/dist/acme/pad/acme-pad-1.0.0.zip", codeHost+"/repos/acme/box/zipball/"+strings.Repeat("0123456789", 4)
	pad, box := phpPackage(t, "acme/pad", "1.0.0"), phpPackage(t, "acme/box", "1.2.0")
	for _, h := range []string{phpHost, public} {
		origin.put(h+"/packages.json", []byte(`{"packages":[],"metadata-url":"/p2/%package%.json"}`))
		origin.put(h+"/p2/acme/pad.json", phpMetadata(t, "acme/pad", map[string]string{"1.0.0": "https://" + padAt}, map[string][]byte{"1.0.0": pad}))
		origin.put(h+"/p2/acme/box.json", phpMetadata(t, "acme/box", map[string]string{"1.2.0": "https://" + boxAt}, nil))
	}
	origin.put(padAt, pad)
	origin.put(boxAt, box)
	return origin, padAt, boxAt
}

// TestComposer resolves and installs two packages: one whose dist the repository has
// itself, and one that the code host makes of a commit. Cold, warm with an empty client
// cache, from a lying origin, at the native endpoint and with the origin gone.
func TestComposer(t *testing.T) {
	need(t, "composer")
	hosts := composer.New(composer.Options{}).Profile().Hosts
	public, codeHost := hosts[0], hosts[2]
	origin, padAt, boxAt := phpOrigin(t, public, codeHost)
	d := start(t, append(origin.settings(t, phpHost, public, codeHost), "HOSTS=composer="+phpHost)...)
	run := func(env []string, dir string, args ...string) (result, summary) {
		t.Helper()
		r := d.run(dir, env, binary, append([]string{"exec", "--", "composer", "--no-plugins", "--no-progress"}, args...)...)
		return r, d.last()
	}

	origin.tamper(padAt, true)
	dir, env := phpProject(t, "https://"+phpHost, "")
	if r, s := run(env, dir, "update"); r.code == 0 || s.Failed == 0 {
		t.Fatalf("composer took a dist with the wrong digest: %s\n%s\n%+v", r.out, r.err, s)
	}
	origin.tamper(padAt, false)
	dir, env = phpProject(t, "https://"+phpHost, "")
	r, s := run(env, dir, "update")
	if _, err := os.Stat(filepath.Join(dir, "vendor/acme/box/src/Pad.php")); r.code != 0 || err != nil || s.Failed > 0 || s.Tunnelled > 0 {
		t.Fatalf("composer update: exit %d\n%s\n%s\n%v %+v", r.code, r.out, r.err, err, s)
	}
	stated := func(l line) bool {
		return l.URL == "https://"+padAt && l.Outcome == "miss" && strings.HasSuffix(l.Voucher, "/p2/acme/pad.json")
	}
	if !slices.ContainsFunc(s.Lines, stated) {
		t.Errorf("nobody states the digest of %s: %+v", padAt, s.Lines)
	}
	lock := dir + "/composer.lock"
	if text, err := os.ReadFile(lock); err != nil || strings.Contains(string(text), d.addr) || !strings.Contains(string(text), padAt) {
		t.Errorf("lock file: %v\n%s", err, text)
	}
	asked := origin.count(padAt) + origin.count(boxAt)
	dir, env = phpProject(t, "https://"+phpHost, lock)
	r, s = run(env, dir, "install")
	if s.allFromStore(t, 1); r.code != 0 || s.Files < 2 || origin.count(padAt)+origin.count(boxAt) != asked {
		t.Errorf("composer install: exit %d, %+v\n%s", r.code, s, r.err)
	}

	dir, env = phpProject(t, "http://"+d.addr+"/composer", "")
	native := d.run(dir, env, "composer", "--no-plugins", "--no-progress", "update", "--no-install")
	if text, err := os.ReadFile(dir + "/composer.lock"); native.code != 0 || err != nil || !strings.Contains(string(text), padAt) || origin.count(public+"/p2/acme/pad.json") == 0 {
		t.Errorf("composer at the native endpoint: exit %d, %v\n%s", native.code, err, native.err)
	}

	d.stop()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	dir, env = phpProject(t, "https://"+phpHost, lock)
	if r, s = run(env, dir, "install"); r.code != 0 || s.FromStore != s.Bytes {
		t.Errorf("composer install offline: exit %d, %+v\n%s", r.code, s, r.err)
	}
}
