// Package internal_test checks the shape of the code: who may import whom.
package internal_test

import (
	"go/build"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layers lists, for each package, the packages of this module that it may import; "x/*"
// stands for all directly below x. A package that is missing here fails the test, so that a new one is a decision.
var layers = map[string]string{
	"adb":         "",
	"digest":      "adb",
	"freshness":   "",
	"database":    "",
	"metrics":     "",
	"ecosystem":   "digest",
	"pgp":         "ecosystem",
	"unpack":      "ecosystem",
	"urlpath":     "",
	"share":       "",
	"ecosystem/*": "digest ecosystem ecosystem/jsondoc ecosystem/site ecosystem/textdoc pgp unpack urlpath",
	// what several ecosystems share
	"ecosystem/jsondoc": "ecosystem",
	"ecosystem/textdoc": "ecosystem",
	"ecosystem/site":    "ecosystem urlpath",
	"ecosystem/apk":     "digest ecosystem adb urlpath",
	// the only one that names the ecosystems
	"ecosystem/all": "ecosystem ecosystem/*",
	"blob":          "digest",
	"blob/*":        "digest blob blob/blobtest",
	"index":         "digest ecosystem freshness",
	"index/*":       "digest ecosystem freshness index index/indextest database",
	"upstream":      "ecosystem freshness",
	"upstream/*":    "ecosystem freshness upstream",
	"policy":        "ecosystem",
	"receipt":       "digest",
	"receipt/*":     "digest receipt receipt/receipttest database",
	"engine":        "digest ecosystem freshness policy blob index upstream receipt",
	"gc":            "digest blob",
	"ca":            "",
	"ingress":       "digest ecosystem engine policy upstream receipt metrics blob index share",
	"ingress/*":     "digest ecosystem engine policy upstream receipt metrics ingress ca share",
	"config":        "",
	"netfilter":     "",
	"control":       "digest ecosystem index receipt",
	"frontend":      "",
	"builder":       "",
	"pty":           "",
	"edit":          "",
	"attach/tools":  "edit",
	"settings":      "ecosystem",
	"ociruntime":    "", // standard library only: it starts with every container
	"ociruntime/*":  "ociruntime",
	"probe":         "builder",
	"attach":        "edit attach/tools builder probe",
	"trust":         "",
	"doctor":        "config control builder probe ecosystem ecosystem/all ociruntime",
	"cli":           "config control netfilter attach attach/tools builder probe ecosystem ecosystem/all ecosystem/gomod ecosystem/npm ecosystem/oci ecosystem/pypi ociruntime ociruntime/program doctor settings receipt ca trust",
	"daemon": "netfilter ingress/dns config control database ingress ingress/native ingress/forward ingress/intercept ca engine metrics gc settings builder ecosystem ecosystem/all " +
		"ociruntime ecosystem/* pgp digest freshness policy blob blob/disk share index index/sqlite receipt receipt/sqlite upstream",
}

// closed lists packages of the standard library that an ecosystem must not reach directly.
var closed = []string{"net", "net/http", "os", "os/exec", "database/sql", "syscall"}

// exempt are the packages below ecosystem that are tests' tools.
var exempt = []string{"ecosystem/ecosystemtest"}

// maxChain bounds the longest chain of imports inside the module.
const maxChain = 8

func TestLayers(t *testing.T) {
	imports := map[string][]string{}
	for _, dir := range packages(t) {
		pkg, err := build.ImportDir(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		allowed, ok := layers[dir]
		if !ok {
			allowed, ok = layers[path.Dir(dir)+"/*"]
		}
		if !ok {
			t.Errorf("%s: not in the layer table", dir)
			continue
		}
		for _, imp := range pkg.Imports {
			if in, ok := strings.CutPrefix(imp, "sutler/internal/"); ok {
				imports[dir] = append(imports[dir], in)
				if may := strings.Fields(allowed); !slices.Contains(may, in) && !slices.Contains(may, path.Dir(in)+"/*") {
					t.Errorf("%s imports %s", dir, in)
				}
			}
			if path.Dir(dir) == "ecosystem" && !slices.Contains(exempt, dir) && slices.Contains(closed, imp) {
				t.Errorf("%s imports %s: ecosystems do no I/O", dir, imp)
			}
		}
	}
	for dir := range imports {
		if n := chain(imports, dir); n > maxChain {
			t.Errorf("%s: chain of %d imports, want at most %d", dir, n, maxChain)
		}
	}
}

// TestPackageComments checks that every package says what it is.
func TestPackageComments(t *testing.T) {
	for _, dir := range packages(t) {
		pkg, err := build.ImportDir(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		if pkg.Doc == "" {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

// packages returns the folders below this one that hold Go code besides tests.
func packages(t *testing.T) []string {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(p, ".go") && !strings.HasSuffix(p, "_test.go") {
			found[filepath.ToSlash(filepath.Dir(p))] = true
		}
		if d != nil && d.IsDir() && d.Name() == "testdata" {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(found, ".")
	var dirs []string
	for d := range found {
		if _, err := os.Stat(d); err == nil {
			dirs = append(dirs, d)
		}
	}
	slices.Sort(dirs)
	return dirs
}

// chain returns the length of the longest chain of imports from dir on.
func chain(imports map[string][]string, dir string) int {
	n := 0
	for _, next := range imports[dir] {
		n = max(n, chain(imports, next))
	}
	return n + 1
}
