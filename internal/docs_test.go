package internal_test

import (
	"os"
	"path"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

// TestDependencies checks that docs/dependencies.md names what go.mod requires for itself.
func TestDependencies(t *testing.T) {
	text, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Require {
		if !r.Indirect && !strings.Contains(string(doc), r.Mod.Path) {
			t.Errorf("docs/dependencies.md does not say what %s is for", r.Mod.Path)
		}
	}
}

// TestMap checks that ARCHITECTURE.md has each package; an ecosystem is a folder among many.
func TestMap(t *testing.T) {
	doc, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range packages(t) {
		whole, last := "`internal/"+dir+"`", "`"+path.Base(dir)+"`"
		if path.Dir(dir) != "ecosystem" && !strings.Contains(string(doc), whole) && !strings.Contains(string(doc), last) {
			t.Errorf("ARCHITECTURE.md does not name internal/%s", dir)
		}
	}
}
