package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"sutler/internal/database"
	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/index"
	"sutler/internal/index/indextest"
	"sutler/internal/index/sqlite"
)

const (
	damagedEntries = 150
	repository     = "https://packages.example/apt/"
)

// generation returns the entry n as it was put at some time; each is another one.
func generation(n, g int) index.Entry {
	e := indextest.Entry("apt", n)
	e.Version = fmt.Sprint(g)
	e.Blob = digest.OfBytes(fmt.Appendf(nil, "%d %d", n, g))
	e.Size = int64(1000*n + g)
	if n%10 == 0 {
		e.Kind = ecosystem.Document
		e.Repository = repository
		e.Table = digest.OfBytes(fmt.Appendf(nil, "table %d %d", n, g))
	}
	return e
}

func generations(g int) []index.Entry {
	all := make([]index.Entry, damagedEntries)
	for n := range all {
		all[n] = generation(n, g)
	}
	return all
}

// stored is the bytes of a database and its log.
type stored struct{ file, log []byte }

// snapshot returns a database of several generations as a kill would leave it: the older
// ones in the file, the newest in the log.
func snapshot(t *testing.T) stored {
	t.Helper()
	path := file(t)
	for g := range 3 {
		x, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Put(t.Context(), generations(g)...); err != nil {
			t.Fatal(err)
		}
		if g < 2 {
			if err := x.Close(); err != nil { // moves the log into the file
				t.Fatal(err)
			}
			continue
		}
		t.Cleanup(func() {
			if err := x.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	s := stored{read(t, path), read(t, path+"-wal")}
	if len(s.file) < 10*4096 || len(s.log) < 10*4096 {
		t.Fatalf("database of %d bytes, log of %d bytes: too small to be a test", len(s.file), len(s.log))
	}
	return s
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// damage returns a damaged copy of b and what was done to it.
func damage(r *rand.Rand, b []byte) ([]byte, string) {
	const page = 4096
	b = append([]byte(nil), b...)
	at := r.IntN(len(b))
	if r.IntN(4) == 0 {
		at = r.IntN(2 * page) // the header, the schema and the first root are rare otherwise
	}
	n := min(1+r.IntN(3*page), len(b)-at)
	from, to := page*r.IntN(len(b)/page), page*r.IntN(len(b)/page)
	switch r.IntN(7) {
	case 0:
		b[at] ^= 1 << r.IntN(8)
		return b, fmt.Sprintf("bit of byte %d flipped", at)
	case 1:
		for range 1 + r.IntN(50) {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
		return b, "many bits flipped"
	case 2:
		clear(b[at : at+n])
		return b, fmt.Sprintf("%d bytes from %d zero", n, at)
	case 3:
		for i := range b[at : at+n] {
			b[at+i] = byte(r.Uint32())
		}
		return b, fmt.Sprintf("%d bytes from %d random", n, at)
	case 4:
		return b[:at], fmt.Sprintf("cut at %d", at)
	case 5:
		copy(b[to:to+page], b[from:from+page])
		return b, fmt.Sprintf("page at %d copied to %d", from, to)
	default:
		clear(b[to : to+page])
		return b, fmt.Sprintf("page at %d zero", to)
	}
}

// TestDamage opens databases that were damaged at random. Whatever was done to one, no
// entry comes out that was not put under its key, nothing but ErrNotFound stands for one
// that is lost, and what is put afterwards is found again.
func TestDamage(t *testing.T) {
	whole := snapshot(t)
	dir := scratch(t)
	var tally struct{ rebuilt, bad, lost, intact, newer int }
	for seed := range uint64(damages) {
		r := rand.New(rand.NewPCG(seed, 0))
		s, what := whole, ""
		switch r.IntN(3) {
		case 0:
			s.log, what = damage(r, s.log)
			what = "log: " + what
		case 1: // the log may hide the damage, so it is left out
			s.file, what = damage(r, s.file)
			s.log, what = nil, "file alone: "+what
		default:
			s.file, what = damage(r, s.file)
			what = "file: " + what
		}
		path := filepath.Join(dir, fmt.Sprint(seed), "index.db")
		lay(t, path, s)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		x, err := sqlite.Open(ctx, path, sqlite.Options{})
		if errors.Is(err, database.ErrNewer) {
			tally.newer++ // refused, which loses nothing
			cancel()
			continue
		}
		if err != nil {
			t.Fatalf("seed %d: %s: Open: %v", seed, what, err)
		}
		found, err := examine(ctx, x)
		if err != nil {
			t.Errorf("seed %d: %s: %v", seed, what, err)
		}
		cancel()
		switch {
		case len(x.Rebuilt()) > 0:
			tally.rebuilt++
		case x.BadRows() > 0:
			tally.bad++
		case found < damagedEntries:
			tally.lost++
		default:
			tally.intact++
		}
		_ = x.Close() // a damage that was not met yet may be met now
		if err := os.RemoveAll(filepath.Dir(path)); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("of %d damages: %d rebuilt, %d with damaged rows, %d with entries missing, %d without effect, %d refused as newer",
		damages, tally.rebuilt, tally.bad, tally.lost, tally.intact, tally.newer)
	if tally.rebuilt < damages/10 || tally.bad == 0 {
		t.Error("the damages were too harmless to be a test")
	}
}

// lay writes the files of a database.
func lay(t *testing.T, path string, s stored) {
	t.Helper()
	err := os.Mkdir(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, s.file, 0o600)
	}
	if err == nil && s.log != nil {
		err = os.WriteFile(path+"-wal", s.log, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// examine uses a damaged index and reports how many entries it had, and what was wrong.
func examine(ctx context.Context, x *sqlite.Index) (found int, err error) {
	for n := range damagedEntries {
		e, err := x.Entry(ctx, generation(n, 0).Key)
		if errors.Is(err, index.ErrNotFound) {
			continue
		}
		if err == nil {
			err = genuine(e)
		}
		if err == nil && e.Key != generation(n, 0).Key {
			err = errors.New("another's entry")
		}
		if err != nil {
			return found, fmt.Errorf("Entry %d: %w", n, err)
		}
		found++
	}
	for e, err := range x.All(ctx) {
		if err == nil {
			err = genuine(e)
		}
		if err != nil {
			return found, fmt.Errorf("All: %w", err)
		}
	}
	if err := questions(ctx, x); err != nil {
		return found, err
	}
	return found, again(ctx, x)
}

// questions asks the index what it does not answer by key.
func questions(ctx context.Context, x *sqlite.Index) error {
	vouchers, err := x.Vouchers(ctx, "apt", repository)
	if err != nil {
		return fmt.Errorf("Vouchers: %w", err)
	}
	list, err := x.List(ctx, index.Query{Match: "file"})
	if err != nil {
		return fmt.Errorf("List: %w", err)
	}
	for _, e := range append(vouchers, list...) {
		if err := genuine(e); err != nil {
			return fmt.Errorf("Vouchers or List: %w", err)
		}
	}
	if _, err := x.Usage(ctx); err != nil {
		return fmt.Errorf("Usage: %w", err)
	}
	if _, err := x.Refers(ctx, generation(3, 1).Blob); err != nil {
		return fmt.Errorf("Refers: %w", err)
	}
	return nil
}

// again writes to the index and expects its own writing back, or nothing if the damage
// was met later.
func again(ctx context.Context, x *sqlite.Index) error {
	if _, err := x.DropBlob(ctx, generation(7, 2).Blob); err != nil {
		return fmt.Errorf("DropBlob: %w", err)
	}
	if err := x.Delete(ctx, generation(8, 2).Key); err != nil {
		return fmt.Errorf("Delete: %w", err)
	}
	if err := x.Touch(ctx, generation(9, 2).Key, generation(9, 2).Checked, 0); err != nil {
		return fmt.Errorf("Touch: %w", err)
	}
	for n := 0; n < damagedEntries; n += 3 {
		before := len(x.Rebuilt())
		want := generation(n, 3)
		if err := x.Put(ctx, want); err != nil {
			return fmt.Errorf("Put %d: %w", n, err)
		}
		got, err := x.Entry(ctx, want.Key)
		if errors.Is(err, index.ErrNotFound) && len(x.Rebuilt()) > before {
			continue
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			return fmt.Errorf("Entry %d after Put: %+v, %w", n, got, err)
		}
	}
	return nil
}

// genuine returns an error if e was never put.
func genuine(e index.Entry) error {
	var n, g int
	if _, err := fmt.Sscanf(e.Package+" "+e.Version, "file-%d %d", &n, &g); err != nil {
		return fmt.Errorf("wrong entry %+v: %w", e, err)
	}
	if g < 0 || g > 3 || !reflect.DeepEqual(e, generation(n, g)) {
		return fmt.Errorf("wrong entry %+v", e)
	}
	return nil
}
