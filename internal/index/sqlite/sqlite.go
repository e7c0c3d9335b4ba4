// Package sqlite keeps the index in one SQLite file.
//
// Reading an entry is one look-up by its key in one row; nothing is kept in memory, and
// nothing that opening does grows with the number of entries. Writers who come at the
// same time share a commit. Package database says what survives a crash and what happens
// to a damaged file: the index starts anew, because entries can be had again from their
// origins.
//
// SQLite's pages have no checksums, so each row has one. A row that fails it is not
// there: it is never returned, and counted by [Index.BadRows].
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"sutler/internal/database"
	"sutler/internal/index"
)

// pageSize is how many entries All and List read at a time. Between two pages nothing is
// held: the caller may write to the index, and the log can be merged into the file.
const pageSize = 512

// Options say what an Index does beside its contract. The zero Options work.
type Options struct {
	// Readers is how many connections read. If zero, there are four.
	Readers int
	// OnRebuilt, if set, is told of each damage, at Open or in use, after which the index is empty.
	// It may be called from any goroutine that uses the Index.
	OnRebuilt func(database.Rebuilt)
}

// An Index keeps entries in an SQLite file. Its methods are safe for concurrent use; they
// return database.ErrClosed after Close.
type Index struct {
	db  *database.DB
	bad atomic.Int64
}

var (
	_ index.Index   = (*Index)(nil)
	_ index.Catalog = (*Index)(nil)
)

// Open opens the index in the file path, whose folder must exist. It returns
// database.ErrNewer if a newer version wrote the file. If the file was damaged, the index
// is empty and Rebuilt says so. The caller closes the Index.
func Open(ctx context.Context, path string, o Options) (*Index, error) {
	db, err := database.Open(ctx, database.Options{
		Path: path, Migrations: migrations(), Readers: o.Readers, OnRebuilt: o.OnRebuilt,
	})
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	return &Index{db: db}, nil
}

// Rebuilt returns the damages met since Open, its own included, oldest first. After each
// the index was empty; the caller tells people.
func (x *Index) Rebuilt() []database.Rebuilt { return x.db.Rebuilt() }

// BadRows returns how many times a damaged row was met and left out since Open.
func (x *Index) BadRows() int64 { return x.bad.Load() }

// Close waits for calls under way and closes the file. Closing twice is no error.
func (x *Index) Close() error { return x.db.Close() }

// Entry returns the entry of a key, or index.ErrNotFound.
func (x *Index) Entry(ctx context.Context, key string) (index.Entry, error) {
	if err := ctx.Err(); err != nil {
		return index.Entry{}, err
	}
	// Watching a context costs two goroutines per query, as much as the look-up itself,
	// and a look-up is over in microseconds.
	ctx = context.WithoutCancel(ctx)
	var e index.Entry
	err := x.db.Read(ctx, func(ctx context.Context, s *database.Statements) error {
		var err error
		e, err = x.entry(ctx, s, key)
		return err
	})
	if err != nil && !errors.Is(err, index.ErrNotFound) {
		return index.Entry{}, fmt.Errorf("index entry %s: %w", key, err)
	}
	return e, err
}

// entry reads one entry with the statements given.
func (x *Index) entry(ctx context.Context, s *database.Statements, key string) (index.Entry, error) {
	st, err := s.Stmt(ctx, selectEntry)
	if err != nil {
		return index.Entry{}, err
	}
	var data []byte
	err = st.QueryRowContext(ctx, key).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return index.Entry{}, index.ErrNotFound
	}
	if err != nil {
		return index.Entry{}, err
	}
	e, err := decode(key, data)
	if err != nil {
		x.bad.Add(1)
		return index.Entry{}, index.ErrNotFound
	}
	return e, nil
}

// Put stores entries in one transaction, each replacing the one of the same key.
func (x *Index) Put(ctx context.Context, entries ...index.Entry) error {
	err := x.db.Write(ctx, func(ctx context.Context, s *database.Statements) error {
		for _, e := range entries {
			if err := put(ctx, s, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("index put: %w", err)
	}
	return nil
}

func put(ctx context.Context, s *database.Statements, e index.Entry) error {
	var root any // NULL unless the entry is a voucher
	if e.Table != "" {
		root = e.Repository
	}
	_, err := s.Exec(ctx, putEntry, e.Key, e.Ecosystem, int64(e.Kind), e.Package, e.Size,
		packDigest(e.Blob), packDigest(e.Table), root, encode(e))
	return err
}

// Touch notes that the origin confirmed the entry; no error if there is none.
func (x *Index) Touch(ctx context.Context, key string, checked time.Time, lifetime time.Duration) error {
	err := x.db.Write(ctx, func(ctx context.Context, s *database.Statements) error {
		e, err := x.entry(ctx, s, key)
		if errors.Is(err, index.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		e.Checked, e.Lifetime = checked, lifetime
		_, err = s.Exec(ctx, updateData, encode(e), key)
		return err
	})
	if err != nil {
		return fmt.Errorf("index touch %s: %w", key, err)
	}
	return nil
}

// Delete removes entries in one transaction; absent ones are no error.
func (x *Index) Delete(ctx context.Context, keys ...string) error {
	err := x.db.Write(ctx, func(ctx context.Context, s *database.Statements) error {
		for _, k := range keys {
			if _, err := s.Exec(ctx, deleteEntry, k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("index delete: %w", err)
	}
	return nil
}

// Vouchers returns the documents of an ecosystem under a root that make claims, last
// stored first, those stored at the same time by key.
func (x *Index) Vouchers(ctx context.Context, ecosystem, repository string) ([]index.Entry, error) {
	all, err := x.query(ctx, selectRoot, ecosystem, repository)
	if err != nil {
		return nil, fmt.Errorf("index vouchers %s %s: %w", ecosystem, repository, err)
	}
	all = slices.DeleteFunc(all, func(e index.Entry) bool {
		return e.Table == "" || e.Ecosystem != ecosystem || e.Repository != repository
	})
	slices.SortFunc(all, func(a, b index.Entry) int {
		if c := b.Stored.Compare(a.Stored); c != 0 {
			return c
		}
		return strings.Compare(a.Key, b.Key)
	})
	return all, nil
}

// All yields every entry, ordered by key. The entries that are put or deleted meanwhile
// may be among them or not. The caller may use the index while it iterates.
func (x *Index) All(ctx context.Context) iter.Seq2[index.Entry, error] {
	return func(yield func(index.Entry, error) bool) {
		for last := ""; ; {
			page, next, err := x.page(ctx, last, selectPage, last, pageSize)
			if err != nil {
				yield(index.Entry{}, fmt.Errorf("index: %w", err))
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			last = next
		}
	}
}

// page reads the rows of a statement that orders them by key and returns at most pageSize
// of them, all after a key. next is "" after the last page.
func (x *Index) page(ctx context.Context, after, text string, args ...any) (page []index.Entry, next string, err error) {
	err = x.db.Read(ctx, func(ctx context.Context, s *database.Statements) error {
		page, next = nil, after
		n := 0
		err := s.Query(ctx, func(scan func(...any) error) error {
			key, e, err := x.row(scan)
			if err != nil {
				return err
			}
			if key <= next {
				// Only a damaged tree is out of order. Going on could last for ever.
				return fmt.Errorf("key %q after %q: %w", key, next, database.ErrDamaged)
			}
			if e != nil {
				page = append(page, *e)
			}
			next = key
			n++
			return nil
		}, text, args...)
		if n < pageSize {
			next = ""
		}
		return err
	})
	return page, next, err
}

// query returns the entries of a statement that selects key and data.
func (x *Index) query(ctx context.Context, text string, args ...any) ([]index.Entry, error) {
	var all []index.Entry
	err := x.db.Read(ctx, func(ctx context.Context, s *database.Statements) error {
		all = nil
		return s.Query(ctx, func(scan func(...any) error) error {
			_, e, err := x.row(scan)
			if e != nil {
				all = append(all, *e)
			}
			return err
		}, text, args...)
	})
	return all, err
}

// row scans key and data. The entry is nil if the row is damaged, which is counted.
func (x *Index) row(scan func(...any) error) (string, *index.Entry, error) {
	var k, data []byte // nil for the NULL that only a damaged row has
	if err := scan(&k, &data); err != nil {
		return "", nil, err
	}
	key := string(k)
	e, err := decode(key, data)
	if err != nil {
		x.bad.Add(1)
		return key, nil, nil
	}
	return key, &e, nil
}
