package ecosystemtest

import (
	"net/url"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sutler/internal/ecosystem"
)

var (
	namePattern        = regexp.MustCompile(`^[a-z][a-z0-9]*$`)
	hostPattern        = regexp.MustCompile(`^(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$`)
	placeholderPattern = regexp.MustCompile(`\{[a-z]+\}`)
	placeholders       = []string{"{proxy}", "{native}", "{dir}"}
)

// checkProfile checks that all that is derived from a profile can be.
func checkProfile(t *testing.T, e ecosystem.Ecosystem) {
	p := e.Profile()
	if !namePattern.MatchString(p.Name) {
		t.Errorf("Name %q: want lower-case letters and digits", p.Name)
	}
	if p.Title == "" || p.Verified == "" {
		t.Error("Title or Verified is empty")
	}
	seen := map[string]bool{}
	for _, h := range p.Hosts {
		if !hostPattern.MatchString(h) || seen[h] {
			t.Errorf("host %q: want a lower-case name, or *.name, once", h)
		}
		seen[h] = true
	}
	checkMounts(t, p.Mounts)
	checkSettings(t, p)
	for i := range p.Hosts {
		p.Hosts[i] = "overwritten.example"
	}
	if again := e.Profile(); slices.Contains(again.Hosts, "overwritten.example") {
		t.Error("who changes a profile changes that of others")
	}
	a, b := e.Profile(), e.Profile()
	for i := range min(len(a.Mounts), len(b.Mounts)) {
		a.Mounts[i].Resolve, b.Mounts[i].Resolve = nil, nil // functions cannot be compared
		a.Mounts[i].Name, b.Mounts[i].Name = nil, nil
	}
	if !reflect.DeepEqual(a, b) {
		t.Error("Profile changes from call to call")
	}
}

// checkMounts checks that the mount table can be read in both directions.
func checkMounts(t *testing.T, mounts []ecosystem.Mount) {
	for i, m := range mounts {
		if !strings.HasPrefix(m.Path, "/") || !strings.HasSuffix(m.Path, "/") || !strings.HasSuffix(m.Origin, "/") {
			t.Errorf("mount %q at %q: the path starts and ends with /, the origin ends with it", m.Origin, m.Path)
		}
		if strings.Contains(m.Path, "{host}") != strings.Contains(m.Origin, "{host}") {
			t.Errorf("mount %q at %q: only one of them has {host}", m.Origin, m.Path)
		}
		for _, before := range mounts[:i] {
			if strings.HasPrefix(m.Path, before.Path) {
				t.Errorf("mount %q is hidden by %q, which stands before it", m.Path, before.Path)
			}
		}
		checkMount(t, m)
	}
}

// checkMount checks that Native and URL are inverse to each other.
func checkMount(t *testing.T, m ecosystem.Mount) {
	base := strings.Replace(m.Path, "{host}", "host.example", 1)
	for _, rest := range []string{"", "a", "a/b-1.0~x%2By.tgz", "@s%2fn", "d/"} {
		u, ok := m.URL(base+rest, "")
		if !ok {
			t.Errorf("mount %q: no URL for %q", m.Path, base+rest)
			continue
		}
		if _, err := url.Parse(u.String()); err != nil || u.Host == "" {
			t.Errorf("mount %q: %q is %q: %v", m.Path, base+rest, u, err)
		}
		if back, ok := m.Native(u.String()); !ok || back != base+rest {
			t.Errorf("mount %q: %q is %s, which is %q, %v", m.Path, base+rest, u, back, ok)
		}
	}
	if u, ok := m.URL("/nowhere-else/x", ""); ok {
		t.Errorf("mount %q answers for another path: %s", m.Path, u)
	}
}

// checkSettings checks what clients are given.
func checkSettings(t *testing.T, p ecosystem.Profile) {
	var names []string
	for _, s := range p.Env {
		names = append(names, s.Name)
		if s.Name == "" || strings.ContainsAny(s.Name, "= ") {
			t.Errorf("variable %q: not a name", s.Name)
		}
		checkPlaceholders(t, s.Name, s.Value)
	}
	for _, f := range p.Files {
		names = append(names, f.Name)
		if f.Name == "" || f.Name == "ca.pem" || path.Base(f.Name) != f.Name {
			t.Errorf("file %q: want a plain name other than ca.pem", f.Name)
		}
		checkPlaceholders(t, f.Name, f.Content)
		if strings.Contains(f.Content, "{proxy}") {
			// The port and the identity of the build change from build to build, and the
			// steps of a build must not.
			t.Errorf("file %q holds {proxy}, which differs from build to build", f.Name)
		}
	}
	slices.Sort(names)
	if len(slices.Compact(names)) != len(p.Env)+len(p.Files) {
		t.Error("a variable or file stands twice")
	}
}

func checkPlaceholders(t *testing.T, name, value string) {
	for _, ph := range placeholderPattern.FindAllString(value, -1) {
		if !slices.Contains(placeholders, ph) {
			t.Errorf("%s: unknown placeholder %s", name, ph)
		}
	}
}
