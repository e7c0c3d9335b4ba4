package all_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/all"
)

var update = flag.Bool("update", false, "rewrite docs/ecosystems.md")

const docs = "../../../docs/"

// TestDocs compares the table of ecosystems in the documentation with the profiles it is
// made from, and looks for the page of each.
func TestDocs(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Ecosystems\n\nMade by `make docs` from the profiles in the code. Each has a page with more.\n\n" +
		"Every ecosystem is served through the forward proxy (`sutler exec`, `sutler build`, `HTTP_PROXY`), over TLS by interception\n" +
		"inside `CONNECT` for the hosts it knows, and at its native paths on port 7885.\n")
	for _, e := range all.New(all.Options{}) {
		p := e.Profile()
		page := "ecosystems/" + p.Name + ".md"
		if _, err := os.Stat(docs + page); err != nil {
			t.Errorf("%s has no page: %v", p.Name, err)
		}
		fmt.Fprintf(&b, "\n## [%s](%s)\n\n", p.Title, page)
		fmt.Fprintf(&b, "- **native paths**: %s\n", list(mounts(p), "none"))
		fmt.Fprintf(&b, "- **verified**: %s\n", p.Verified)
		fmt.Fprintf(&b, "- **clients in the end-to-end tests**: %s\n", list(p.Clients, "none; recorded cases of their requests only"))
		fmt.Fprintf(&b, "- **hosts known by name**: %s\n", hosts(p))
		for _, u := range p.Unsupported {
			fmt.Fprintf(&b, "- *not supported*: %s\n", u)
		}
	}
	if *update {
		if err := os.WriteFile(docs+"ecosystems.md", []byte(b.String()), 0o644); err != nil { //nolint:gosec // documentation
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(docs + "ecosystems.md"); err != nil || string(got) != b.String() {
		t.Errorf("docs/ecosystems.md is not what the profiles say (%v): run make docs", err)
	}
}

// mounts returns the native paths of a profile.
func mounts(p ecosystem.Profile) []string {
	var out []string
	for _, m := range p.Mounts {
		out = append(out, "`"+m.Path+"`")
	}
	return out
}

// hosts counts the hosts of a profile.
func hosts(p ecosystem.Profile) string {
	if len(p.Hosts) == 0 {
		return "none; all are recognised by the shape of the path"
	}
	return fmt.Sprint(len(p.Hosts))
}

// list joins words, or says what stands for none.
func list(words []string, none string) string {
	if len(words) == 0 {
		return none
	}
	return strings.Join(words, ", ")
}
