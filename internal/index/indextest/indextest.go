// Package indextest checks that an index keeps its contract: one sentence of it, one
// subtest. [Run] and [RunCatalog] are for tests, [Benchmark] is for numbers.
package indextest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/freshness"
	"sutler/internal/index"
)

// Run checks index.Index. open returns an empty index and closes it when the test ends.
func Run(t *testing.T, open func(*testing.T) index.Index) {
	for _, tt := range []struct {
		name string
		test func(*testing.T, index.Index)
	}{
		{"UnknownKeyIsNotFound", unknownKey},
		{"EntryReturnsWhatWasPut", roundTrip},
		{"KeysDifferByEachByte", keys},
		{"PutReplacesWholeEntry", replace},
		{"PutStoresAllEntries", putMany},
		{"PutOfNothingIsNoError", putNothing},
		{"LastOfEqualKeysWins", equalKeys},
		{"PutIsBigToo", putBig},
		{"PutWithDoneContextStoresNothing", putDone},
		{"ReadsWithDoneContextFail", readDone},
		{"TouchChangesOnlyCheckedAndLifetime", touch},
		{"TouchOfUnknownIsNoError", touchUnknown},
		{"DeleteRemoves", deletes},
		{"DeleteOfAbsentIsNoError", deleteAbsent},
		{"VouchersAreTheDocumentsThatClaim", vouchersClaim},
		{"VouchersAreOfOneEcosystemAndRepository", vouchersScope},
		{"VouchersComeLastStoredFirst", vouchersOrder},
		{"VouchersFollowReplacement", vouchersReplaced},
		{"AllOfNothingYieldsNothing", allEmpty},
		{"AllIsOrderedByKey", allOrder},
		{"AllStopsWhenAsked", allStops},
		{"AllMayBeInterruptedByItsContext", allDone},
		{"AllLetsTheCallerWrite", allWrites},
		{"ReadsDuringReplacementAreWhole", wholeReads},
		{"PutIsOneTransactionForReaders", wholePuts},
		{"WritersDoNotLoseEachOther", writers},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

// epoch is when the tests happen; its nanoseconds must survive.
func epoch() time.Time { return time.Date(2026, 3, 1, 12, 30, 15, 123456789, time.UTC) }

// Entry returns the n-th entry of an ecosystem with only what must be set, for tests of
// implementations too. Its URL, digest, size and times follow from n.
func Entry(eco string, n int) index.Entry {
	url := fmt.Sprintf("https://packages.example/%s/pool/file-%06d.bin", eco, n)
	return index.Entry{
		Key:       ecosystem.Key(eco, url, ""),
		Ecosystem: eco,
		URL:       url,
		Package:   fmt.Sprintf("file-%06d", n),
		Version:   "1.0",
		Blob:      digest.OfBytes(fmt.Appendf(nil, "%s %d", eco, n)),
		Size:      int64(n) + 1,
		Type:      "application/octet-stream",
		Origin:    url,
		Modified:  epoch().Truncate(time.Second),
		Stored:    epoch().Add(time.Duration(n) * time.Second),
		Checked:   epoch().Add(time.Duration(n) * time.Second),
		Voucher:   voucherKey(eco),
		Trust:     index.Signed,
	}
}

// voucherKey is the key of the document that vouches for the entries of an ecosystem.
func voucherKey(eco string) string {
	return ecosystem.Key(eco, "https://packages.example/"+eco+"/index", "")
}

// document returns a document under a repository root that makes claims.
func document(eco, repository, name string, stored time.Time) index.Entry {
	e := Entry(eco, 0)
	e.URL = repository + name
	e.Key = ecosystem.Key(eco, e.URL, "")
	e.Kind = ecosystem.Document
	e.Repository = repository
	e.Table = digest.OfBytes([]byte("claims of " + e.Key))
	e.Stored = stored
	return e
}

// full returns an entry in which nothing is zero.
func full() index.Entry {
	e := document("apt", "http://packages.example/debian/", "dists/stable/Release", epoch())
	e.Variant = "gzip"
	e.Key = ecosystem.Key(e.Ecosystem, e.URL, e.Variant) + " scope=token"
	e.Validator = freshness.Validator{ETag: `W/"é-1"`, LastModified: "Sun, 01 Mar 2026 12:30:15 GMT"}
	e.Lifetime = 7*time.Minute + 3
	e.Evidence = ecosystem.Evidence{
		Signer: "0123ABCD Example Archive Key", Note: "line\nbreak",
		Dated: epoch().Add(-time.Hour), Expires: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	e.Voucher = ecosystem.ByURL
	e.Trust = index.Stated
	return e
}

func mustPut(t testing.TB, x index.Index, entries ...index.Entry) {
	t.Helper()
	if err := x.Put(t.Context(), entries...); err != nil {
		t.Fatalf("Put: %v", err)
	}
}

// wantEntry checks that e is stored as it is.
func wantEntry(t testing.TB, x index.Index, want index.Entry) {
	t.Helper()
	got, err := x.Entry(t.Context(), want.Key)
	if err != nil {
		t.Fatalf("Entry(%q) = %v", want.Key, err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Entry(%q) differs (-want +got):\n%s", want.Key, d)
	}
}

func wantNone(t testing.TB, x index.Index, key string) {
	t.Helper()
	if e, err := x.Entry(t.Context(), key); !errors.Is(err, index.ErrNotFound) {
		t.Errorf("Entry(%q) = %+v, %v, want ErrNotFound", key, e, err)
	}
}

// keysOf returns what All yields.
func keysOf(t testing.TB, x index.Index) []string {
	t.Helper()
	var keys []string
	for e, err := range x.All(t.Context()) {
		if err != nil {
			t.Fatalf("All: %v", err)
		}
		keys = append(keys, e.Key)
	}
	return keys
}

func unknownKey(t *testing.T, x index.Index) {
	mustPut(t, x, Entry("npm", 1))
	for _, key := range []string{"", "npm", Entry("npm", 2).Key, Entry("npm", 1).Key + " "} {
		wantNone(t, x, key)
	}
}

func roundTrip(t *testing.T, x index.Index) {
	foreign := full()
	foreign.Key = "a key that does not begin with the identity"
	bare := index.Entry{Key: "bare"}
	long := Entry("npm", 3)
	long.Evidence.Note = strings.Repeat("long ", 20_000)
	odd := Entry("npm", 4)
	odd.URL = "https://packages.example/\xff\xfe%00"
	odd.Key = ecosystem.Key(odd.Ecosystem, odd.URL, "")
	odd.Size, odd.Lifetime = 1<<62, -1
	odd.Blob = digest.Digest("sha512:" + strings.Repeat("0f", 64))
	spaced := Entry("npm", 5) // an identity in which blanks are no separators
	spaced.URL, spaced.Variant = "https://packages.example/a b", " c "
	spaced.Key = ecosystem.Key(spaced.Ecosystem, spaced.URL, spaced.Variant)
	short := Entry("npm", 6) // as many letters as a SHA-256 has bytes
	short.Blob = digest.Digest("sha256:" + strings.Repeat("0", 32-len("sha256:")))
	for _, e := range []index.Entry{full(), foreign, bare, long, odd, spaced, short} {
		mustPut(t, x, e)
		wantEntry(t, x, e)
	}
}

func keys(t *testing.T, x index.Index) {
	a, b, c := Entry("npm", 1), Entry("npm", 2), Entry("npm", 3)
	a.Key, b.Key, c.Key = "npm https://x.example/A", "npm https://x.example/a", "npm https://x.example/a "
	mustPut(t, x, a, b, c)
	wantEntry(t, x, a)
	wantEntry(t, x, b)
	wantEntry(t, x, c)
}

func replace(t *testing.T, x index.Index) {
	old := full()
	mustPut(t, x, old)
	e := index.Entry{Key: old.Key, Ecosystem: "apt", Blob: digest.OfBytes([]byte("new"))}
	mustPut(t, x, e)
	wantEntry(t, x, e)
	if got := keysOf(t, x); len(got) != 1 {
		t.Errorf("All yields %q, want one entry", got)
	}
}

func putMany(t *testing.T, x index.Index) {
	mustPut(t, x, Entry("npm", 1), Entry("apt", 1), full())
	wantEntry(t, x, Entry("npm", 1))
	wantEntry(t, x, Entry("apt", 1))
	wantEntry(t, x, full())
}

func putNothing(t *testing.T, x index.Index) {
	mustPut(t, x)
	if got := keysOf(t, x); len(got) != 0 {
		t.Errorf("All yields %q, want nothing", got)
	}
}

func equalKeys(t *testing.T, x index.Index) {
	first, last := full(), full()
	last.Size++
	mustPut(t, x, first, last)
	wantEntry(t, x, last)
}

func putBig(t *testing.T, x index.Index) {
	const n = 5000
	entries := make([]index.Entry, n)
	for i := range entries {
		entries[i] = Entry("apt", i)
	}
	mustPut(t, x, entries...)
	if got := len(keysOf(t, x)); got != n {
		t.Errorf("All yields %d entries, want %d", got, n)
	}
	wantEntry(t, x, entries[n-1])
}

func putDone(t *testing.T, x index.Index) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := x.Put(ctx, full()); !errors.Is(err, context.Canceled) {
		t.Errorf("Put = %v, want context.Canceled", err)
	}
	wantNone(t, x, full().Key)
}

func readDone(t *testing.T, x index.Index) {
	mustPut(t, x, full())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := x.Entry(ctx, full().Key); !errors.Is(err, context.Canceled) {
		t.Errorf("Entry = %v, want context.Canceled", err)
	}
	if _, err := x.Vouchers(ctx, "apt", full().Repository); !errors.Is(err, context.Canceled) {
		t.Errorf("Vouchers = %v, want context.Canceled", err)
	}
}

func touch(t *testing.T, x index.Index) {
	e, other := full(), Entry("apt", 1)
	mustPut(t, x, e, other)
	e.Checked, e.Lifetime = epoch().Add(time.Hour), 9*time.Second
	if err := x.Touch(t.Context(), e.Key, e.Checked, e.Lifetime); err != nil {
		t.Fatalf("Touch: %v", err)
	}
	wantEntry(t, x, e)
	wantEntry(t, x, other)
}

func touchUnknown(t *testing.T, x index.Index) {
	if err := x.Touch(t.Context(), "unknown", epoch(), time.Second); err != nil {
		t.Errorf("Touch = %v, want nil", err)
	}
	wantNone(t, x, "unknown")
}

func deletes(t *testing.T, x index.Index) {
	mustPut(t, x, Entry("npm", 1), Entry("npm", 2), Entry("npm", 3))
	if err := x.Delete(t.Context(), Entry("npm", 1).Key, Entry("npm", 3).Key); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	if got, want := keysOf(t, x), []string{Entry("npm", 2).Key}; !slices.Equal(got, want) {
		t.Errorf("All yields %q, want %q", got, want)
	}
	wantNone(t, x, Entry("npm", 1).Key)
}

func deleteAbsent(t *testing.T, x index.Index) {
	mustPut(t, x, full())
	if err := x.Delete(t.Context(), "absent", full().Key, full().Key); err != nil {
		t.Errorf("Delete = %v, want nil", err)
	}
	wantNone(t, x, full().Key)
	if err := x.Delete(t.Context()); err != nil {
		t.Errorf("Delete of nothing = %v, want nil", err)
	}
}

// wantVouchers checks the keys that Vouchers returns, in order.
func wantVouchers(t *testing.T, x index.Index, eco, repository string, want ...index.Entry) {
	t.Helper()
	got, err := x.Vouchers(t.Context(), eco, repository)
	if err != nil {
		t.Fatalf("Vouchers: %v", err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Vouchers(%q, %q) differ (-want +got):\n%s", eco, repository, d)
	}
}

const debian, ubuntu = "http://packages.example/debian/", "http://packages.example/ubuntu/"

func vouchersClaim(t *testing.T, x index.Index) {
	claims := document("apt", debian, "Packages", epoch())
	silent := document("apt", debian, "Translation", epoch())
	silent.Table = ""
	mustPut(t, x, silent, claims)
	wantVouchers(t, x, "apt", debian, claims)
}

func vouchersScope(t *testing.T, x index.Index) {
	a, b := document("apt", debian, "Packages", epoch()), document("apt", ubuntu, "Packages", epoch())
	c, d := document("rpm", debian, "repomd", epoch()), document("apt", "", "http://packages.example/Packages", epoch())
	mustPut(t, x, a, b, c, d)
	wantVouchers(t, x, "apt", debian, a)
	wantVouchers(t, x, "apt", ubuntu, b)
	wantVouchers(t, x, "rpm", debian, c)
	wantVouchers(t, x, "apt", "", d)
	wantVouchers(t, x, "apt", strings.TrimSuffix(debian, "/"))
	wantVouchers(t, x, "npm", debian)
}

func vouchersOrder(t *testing.T, x index.Index) {
	a := document("apt", debian, "a", epoch().Add(time.Nanosecond))
	b := document("apt", debian, "b", epoch().Add(2*time.Nanosecond))
	c := document("apt", debian, "c", epoch())
	d := document("apt", debian, "d", time.Time{})
	mustPut(t, x, a, b, c, d)
	wantVouchers(t, x, "apt", debian, b, a, c, d)
}

func vouchersReplaced(t *testing.T, x index.Index) {
	a, b := document("apt", debian, "a", epoch()), document("apt", debian, "b", epoch().Add(time.Second))
	mustPut(t, x, a, b)
	a.Stored = epoch().Add(time.Minute)
	mustPut(t, x, a)
	wantVouchers(t, x, "apt", debian, a, b)
	a.Table = ""
	b.Repository = ubuntu
	mustPut(t, x, a, b)
	wantVouchers(t, x, "apt", debian)
	wantVouchers(t, x, "apt", ubuntu, b)
	if err := x.Delete(t.Context(), b.Key); err != nil {
		t.Fatal(err)
	}
	wantVouchers(t, x, "apt", ubuntu)
}

func allEmpty(t *testing.T, x index.Index) {
	if got := keysOf(t, x); len(got) != 0 {
		t.Errorf("All yields %q, want nothing", got)
	}
}

func allOrder(t *testing.T, x index.Index) {
	const n = 1300 // more than an implementation is likely to read at a time
	var want []string
	for i := range n {
		e := Entry([]string{"npm", "apt", "Zeta", "é"}[i%4], (i*7919)%n)
		mustPut(t, x, e)
		want = append(want, e.Key)
	}
	slices.Sort(want)
	if d := cmp.Diff(want, keysOf(t, x)); d != "" {
		t.Errorf("All differs (-want +got):\n%s", d)
	}
}

func allStops(t *testing.T, x index.Index) {
	mustPut(t, x, Entry("npm", 1), Entry("npm", 2), Entry("npm", 3))
	n := 0
	for range x.All(t.Context()) {
		if n++; n == 2 {
			break
		}
	}
	mustPut(t, x, Entry("npm", 4)) // must not wait for the iteration left behind
	if got := len(keysOf(t, x)); n != 2 || got != 4 {
		t.Errorf("%d entries before the break, %d after; want 2, 4", n, got)
	}
}

func allDone(t *testing.T, x index.Index) {
	mustPut(t, x, Entry("npm", 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var errs []error
	for _, err := range x.All(ctx) {
		errs = append(errs, err)
	}
	if len(errs) != 1 || !errors.Is(errs[0], context.Canceled) {
		t.Errorf("All yields %v, want context.Canceled once", errs)
	}
}

func allWrites(t *testing.T, x index.Index) {
	for i := range 20 {
		mustPut(t, x, Entry("npm", i))
	}
	n := 0
	for e, err := range x.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Delete(t.Context(), e.Key); err != nil {
			t.Fatal(err)
		}
		wantNone(t, x, e.Key)
		n++
	}
	if got := keysOf(t, x); n != 20 || len(got) != 0 {
		t.Errorf("%d entries seen, %q left; want 20, none", n, got)
	}
}
