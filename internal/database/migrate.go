package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// migrate runs the scripts that the database has not seen, in one transaction. It first
// compares the schema with what those it has seen make: a difference is a damage.
func migrate(ctx context.Context, conn *sql.Conn, scripts []string) error {
	var v int
	if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&v); err != nil {
		return err
	}
	if v < 0 || v > len(scripts) {
		return fmt.Errorf("%w: version %d", ErrDamaged, v) // checkVersion saw another one just now
	}
	got, err := schema(ctx, conn)
	if err != nil {
		return err
	}
	want, err := reference(ctx, scripts[:v])
	if err != nil {
		return err
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("%w: the schema is not that of version %d", ErrDamaged, v)
	}
	if v == len(scripts) {
		return nil
	}
	return apply(ctx, conn, scripts, v)
}

// apply runs the scripts from the given version on, in one transaction.
func apply(ctx context.Context, conn *sql.Conn, scripts []string, from int) error {
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	run := func() error {
		for i, script := range scripts[from:] {
			if _, err := conn.ExecContext(ctx, script); err != nil {
				return fmt.Errorf("migration to version %d: %w", from+i+1, err)
			}
		}
		if _, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(scripts))); err != nil {
			return err
		}
		_, err := conn.ExecContext(ctx, "COMMIT")
		return err
	}
	err := run()
	if err != nil {
		// The context may be why it failed; the transaction must not stay open.
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	}
	return err
}

// schema returns the definition of everything in a database, ordered by name.
func schema(ctx context.Context, conn *sql.Conn) ([]string, error) {
	rows, err := conn.QueryContext(ctx,
		"SELECT type || ' ' || name || ' ' || tbl_name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY name")
	if err != nil {
		return nil, err
	}
	var all []string
	for rows.Next() {
		var s sql.NullString
		if err = rows.Scan(&s); err != nil {
			break
		}
		all = append(all, s.String)
	}
	return all, errors.Join(err, rows.Err(), rows.Close())
}

// reference returns the schema that scripts make of an empty database.
func reference(ctx context.Context, scripts []string) (_ []string, err error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	for _, script := range scripts {
		if _, err := conn.ExecContext(ctx, script); err != nil {
			return nil, err
		}
	}
	return schema(ctx, conn)
}
