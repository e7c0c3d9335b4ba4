package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"sutler/internal/database"
	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/index"
)

// DropBlob deletes every entry that refers to d, in one transaction.
func (x *Index) DropBlob(ctx context.Context, d digest.Digest) (int, error) {
	var n int64
	err := x.db.Write(ctx, func(ctx context.Context, s *database.Statements) error {
		blobs, err := s.Exec(ctx, deleteBlob, packDigest(d))
		if err != nil {
			return err
		}
		tables, err := s.Exec(ctx, deleteTable, packDigest(d))
		n = blobs + tables
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("index drop %s: %w", d, err)
	}
	return int(n), nil
}

// Refers reports whether an entry refers to d.
func (x *Index) Refers(ctx context.Context, d digest.Digest) (bool, error) {
	var found sql.NullBool // NULL for the zero digest, which nothing refers to
	err := x.db.Read(ctx, func(ctx context.Context, s *database.Statements) error {
		st, err := s.Stmt(ctx, selectRefers)
		if err != nil {
			return err
		}
		return st.QueryRowContext(ctx, packDigest(d)).Scan(&found)
	})
	if err != nil {
		return false, fmt.Errorf("index refers %s: %w", d, err)
	}
	return found.Bool, nil
}

// Usage adds up the entries of each ecosystem and kind. It reads the whole table.
func (x *Index) Usage(ctx context.Context) ([]index.Usage, error) {
	var all []index.Usage
	err := x.db.Read(ctx, func(ctx context.Context, s *database.Statements) error {
		all = nil
		return s.Query(ctx, func(scan func(...any) error) error {
			var u index.Usage
			var kind int64
			if err := scan(&u.Ecosystem, &kind, &u.Entries, &u.Bytes); err != nil {
				return err
			}
			u.Kind = ecosystem.Kind(kind)
			all = append(all, u)
			return nil
		}, selectUsage)
	})
	if err != nil {
		return nil, fmt.Errorf("index usage: %w", err)
	}
	return all, nil
}

// List returns the entries that match q, ordered by key.
func (x *Index) List(ctx context.Context, q index.Query) ([]index.Entry, error) {
	pattern := "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(q.Match) + "%"
	var all []index.Entry
	for last := ""; ; {
		page, next, err := x.page(ctx, last, selectMatch, last, q.Ecosystem, pattern, pageSize)
		if err != nil {
			return nil, fmt.Errorf("index list: %w", err)
		}
		for _, e := range page {
			if !q.Matches(e) { // the key holds more than the URL
				continue
			}
			all = append(all, e)
			if q.Limit > 0 && len(all) == q.Limit {
				return all, nil
			}
		}
		if next == "" {
			return all, nil
		}
		last = next
	}
}
