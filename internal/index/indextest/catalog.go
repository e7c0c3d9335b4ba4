package indextest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/index"
)

// A Catalog is an index that keeps both contracts.
type Catalog interface {
	index.Index
	index.Catalog
}

// RunCatalog checks index.Catalog. open returns an empty index and closes it when the
// test ends.
func RunCatalog(t *testing.T, open func(*testing.T) Catalog) {
	for _, tt := range []struct {
		name string
		test func(*testing.T, Catalog)
	}{
		{"DropBlobDeletesWhatRefersToIt", dropBlob},
		{"DropBlobOfUnknownIsZero", dropUnknown},
		{"RefersByBlobOrTable", refersBoth},
		{"RefersFollowsReplacement", refersReplaced},
		{"UsageAddsUpByEcosystemAndKind", usage},
		{"ListSelects", list},
		{"ListIsOrderedAndLimited", listLimit},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

// shared returns entries of which a and b have one blob, c has it as its table, d has none of it.
func shared() (a, b, c, d index.Entry) {
	a, b, d = Entry("npm", 1), Entry("apt", 2), Entry("npm", 4)
	b.Blob = a.Blob
	c = document("apt", debian, "Packages", epoch())
	c.Table = a.Blob
	return a, b, c, d
}

func dropBlob(t *testing.T, x Catalog) {
	a, b, c, d := shared()
	both := document("apt", debian, "both", epoch())
	both.Blob, both.Table = a.Blob, a.Blob // counts once
	mustPut(t, x, a, b, c, d, both)
	if n, err := x.DropBlob(t.Context(), a.Blob); n != 4 || err != nil {
		t.Errorf("DropBlob = %d, %v, want 4", n, err)
	}
	if got, want := keysOf(t, x), []string{d.Key}; !slices.Equal(got, want) {
		t.Errorf("All yields %q, want %q", got, want)
	}
	wantVouchers(t, x, "apt", debian)
}

func dropUnknown(t *testing.T, x Catalog) {
	mustPut(t, x, Entry("npm", 1), index.Entry{Key: "without blob"})
	for _, d := range []digest.Digest{digest.OfBytes(nil), ""} {
		if n, err := x.DropBlob(t.Context(), d); n != 0 || err != nil {
			t.Errorf("DropBlob(%q) = %d, %v, want 0", d, n, err)
		}
	}
	if got := keysOf(t, x); len(got) != 2 {
		t.Errorf("All yields %q, want two entries", got)
	}
}

func wantRefers(t *testing.T, x Catalog, d digest.Digest, want bool) {
	t.Helper()
	if got, err := x.Refers(t.Context(), d); got != want || err != nil {
		t.Errorf("Refers(%q) = %v, %v, want %v", d, got, err, want)
	}
}

func refersBoth(t *testing.T, x Catalog) {
	c := document("apt", debian, "Packages", epoch())
	mustPut(t, x, Entry("npm", 7), c, index.Entry{Key: "without blob"})
	wantRefers(t, x, Entry("npm", 7).Blob, true)
	wantRefers(t, x, c.Table, true)
	wantRefers(t, x, digest.OfBytes(nil), false)
	wantRefers(t, x, "", false)
}

func refersReplaced(t *testing.T, x Catalog) {
	a, b, _, _ := shared()
	mustPut(t, x, a, b)
	old := a.Blob
	a.Blob = digest.OfBytes([]byte("newer"))
	mustPut(t, x, a)
	wantRefers(t, x, old, true) // b still does
	if err := x.Delete(t.Context(), b.Key); err != nil {
		t.Fatal(err)
	}
	wantRefers(t, x, old, false)
	wantRefers(t, x, a.Blob, true)
}

func usage(t *testing.T, x Catalog) {
	if got, err := x.Usage(t.Context()); len(got) != 0 || err != nil {
		t.Errorf("Usage = %v, %v, want nothing", got, err)
	}
	doc := document("apt", debian, "Packages", epoch())
	doc.Size = 1000
	mustPut(t, x, Entry("npm", 1), Entry("npm", 2), doc, Entry("apt", 9))
	got, err := x.Usage(t.Context())
	want := []index.Usage{
		{Ecosystem: "apt", Kind: ecosystem.Artifact, Entries: 1, Bytes: 10},
		{Ecosystem: "apt", Kind: ecosystem.Document, Entries: 1, Bytes: 1000},
		{Ecosystem: "npm", Kind: ecosystem.Artifact, Entries: 2, Bytes: 5},
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("Usage, %v, differs (-want +got):\n%s", err, d)
	}
}

func list(t *testing.T, x Catalog) {
	named := func(url, pkg string) index.Entry {
		e := Entry("npm", 1)
		e.URL, e.Package = "https://packages.example/"+url, pkg
		e.Key = ecosystem.Key("npm", e.URL, "") + " scope=secret"
		return e
	}
	left, percent, under := named("left-pad", "Left-Pad"), named("100%25/x", ""), named("a_b", "")
	back, alone := named(`c\d`, ""), named("1", "only-a-name")
	apt := document("apt", debian, "Packages", epoch())
	mustPut(t, x, left, percent, under, back, alone, apt)
	for _, tt := range []struct {
		name string
		q    index.Query
		want []index.Entry
	}{
		{"all", index.Query{}, []index.Entry{apt, alone, percent, under, back, left}},
		{"one ecosystem", index.Query{Ecosystem: "apt"}, []index.Entry{apt}},
		{"unknown ecosystem", index.Query{Ecosystem: "Apt"}, nil},
		{"part of the URL", index.Query{Match: "eft-p"}, []index.Entry{left}},
		{"case does not matter", index.Query{Match: "LEFT-pad"}, []index.Entry{left}},
		{"beginning of the URL", index.Query{Match: "http://packages.example/deb"}, []index.Entry{apt}},
		{"package", index.Query{Match: "a-NAME"}, []index.Entry{alone}},
		{"both", index.Query{Ecosystem: "npm", Match: "debian"}, nil},
		{"percent is itself", index.Query{Match: "0%2"}, []index.Entry{percent}},
		{"percent stands for nothing", index.Query{Match: "l%d"}, nil},
		{"underscore is itself", index.Query{Match: "a_b"}, []index.Entry{under}},
		{"backslash is itself", index.Query{Match: `C\D`}, []index.Entry{back}},
		{"the rest of the key does not count", index.Query{Match: "secret"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := x.List(t.Context(), tt.q)
			if d := cmp.Diff(tt.want, got); d != "" || err != nil {
				t.Errorf("List(%+v), %v, differs (-want +got):\n%s", tt.q, err, d)
			}
		})
	}
}

func listLimit(t *testing.T, x Catalog) {
	const n = 1300
	all := make([]index.Entry, n)
	for i := range all {
		all[i] = Entry("npm", i)
	}
	mustPut(t, x, all...)
	for _, limit := range []int{0, 1, 512, 513, 1299, 1300, 5000} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			got, err := x.List(t.Context(), index.Query{Match: "FILE-", Limit: limit})
			want := all
			if limit > 0 && limit < n {
				want = all[:limit]
			}
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Errorf("List, %v, differs (-want +got):\n%s", err, d)
			}
		})
	}
}
