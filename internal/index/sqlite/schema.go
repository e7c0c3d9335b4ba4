package sqlite

// migrations returns the scripts that make the schema, oldest first. A script that was
// released is never changed; a change of the schema is a new script.
func migrations() []string { return []string{createEntries} }

// createEntries makes the table of entries. Everything that is known of an entry is in
// data, with a checksum: see encode. The other columns repeat what queries need; what
// they select is believed only after a look into data.
//
// The indexes leave out NULL, so an artifact costs one index row, for its blob.
const createEntries = `
CREATE TABLE entries (
	key       TEXT    NOT NULL PRIMARY KEY,
	ecosystem TEXT    NOT NULL,
	kind      INTEGER NOT NULL,
	package   TEXT    NOT NULL,
	size      INTEGER NOT NULL,
	blob      BLOB,            -- see packDigest
	tab       BLOB,            -- claims table, NULL if it makes none
	root      TEXT,            -- repository, NULL if it makes no claims
	data      BLOB    NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX entries_blob ON entries (blob) WHERE blob IS NOT NULL;
CREATE INDEX entries_tab  ON entries (tab)  WHERE tab  IS NOT NULL;
CREATE INDEX entries_root ON entries (ecosystem, root) WHERE root IS NOT NULL;
`

// The statements, each prepared once per connection.
const (
	selectEntry = `SELECT data FROM entries WHERE key = ?`
	selectPage  = `SELECT key, data FROM entries WHERE key > ? ORDER BY key LIMIT ?`
	selectRoot  = `SELECT key, data FROM entries WHERE ecosystem = ? AND root = ?`
	selectMatch = `SELECT key, data FROM entries
		WHERE key > ?1 AND (?2 = '' OR ecosystem = ?2) AND (key LIKE ?3 ESCAPE '\' OR package LIKE ?3 ESCAPE '\')
		ORDER BY key LIMIT ?4`
	// What a damaged row holds must not make this fail: neither NULL nor an overflow.
	selectUsage = `SELECT coalesce(ecosystem, ''), coalesce(kind, 0), count(*), CAST(total(size) AS INTEGER)
		FROM entries GROUP BY 1, 2 ORDER BY 1, 2`
	selectRefers = `SELECT EXISTS (SELECT 1 FROM entries WHERE blob = ?1) OR EXISTS (SELECT 1 FROM entries WHERE tab = ?1)`

	putEntry = `INSERT INTO entries (key, ecosystem, kind, package, size, blob, tab, root, data)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET ecosystem = excluded.ecosystem, kind = excluded.kind, package = excluded.package,
			size = excluded.size, blob = excluded.blob, tab = excluded.tab, root = excluded.root, data = excluded.data`
	updateData  = `UPDATE entries SET data = ? WHERE key = ?`
	deleteEntry = `DELETE FROM entries WHERE key = ?`
	deleteBlob  = `DELETE FROM entries WHERE blob = ?`
	deleteTable = `DELETE FROM entries WHERE tab = ?`
)
