package sqlite

// migrations returns the scripts that make the schema, oldest first. A script that was
// released is never changed; a change of the schema is a new script.
func migrations() []string { return []string{createReceipts} }

// createReceipts makes the tables. Times are nanoseconds since 1970 in UTC, 0 if not
// known. A line is kept whole in data, as JSON after a checksum, so that new fields of a
// line need no migration; the other columns repeat what is searched and added up.
const createReceipts = `
CREATE TABLE builds (
	id       TEXT    NOT NULL PRIMARY KEY,
	command  TEXT    NOT NULL,
	started  INTEGER NOT NULL,
	ended    INTEGER NOT NULL,
	exitcode INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX builds_started ON builds (started DESC, id);

CREATE TABLE lines (
	id        INTEGER PRIMARY KEY, -- in the order of writing
	build     TEXT    NOT NULL,
	at        INTEGER NOT NULL,
	ecosystem TEXT    NOT NULL,
	outcome   TEXT    NOT NULL,
	trust     TEXT    NOT NULL,
	failed    INTEGER NOT NULL,    -- receipt.Line.Failed
	file      INTEGER NOT NULL,    -- receipt.Line.File
	bytes     INTEGER NOT NULL,
	upstream  INTEGER NOT NULL,
	digest    TEXT,                -- NULL if there is none
	data      BLOB    NOT NULL
) STRICT;
CREATE INDEX lines_build  ON lines (build, at);
CREATE INDEX lines_digest ON lines (digest) WHERE digest IS NOT NULL;
`

// sums adds up the lines l of a build, as receipt.Summary.Add does. CAST and total: what
// a damaged row holds must not make it fail by an overflow.
const sums = `
	coalesce(sum(l.file), 0),
	CAST(total(l.bytes) AS INTEGER),
	CAST(total(CASE WHEN l.outcome IN ('hit', 'revalidated', 'stale') THEN l.bytes END) AS INTEGER),
	count(CASE WHEN l.file AND l.outcome = 'miss' THEN 1 END),
	CAST(total(l.upstream) AS INTEGER),
	count(CASE WHEN l.file AND l.trust IN ('signed', 'stated') THEN 1 END),
	count(CASE WHEN l.file AND l.trust = 'unvouched' THEN 1 END),
	count(CASE WHEN l.ecosystem = 'tunnel' AND NOT l.failed THEN 1 END),
	coalesce(sum(l.failed), 0)`

// columns are those of a build b.
const columns = `b.id, b.command, b.started, b.ended, b.exitcode`

// The statements, each prepared once per connection.
const (
	insertLine = `INSERT INTO lines (build, at, ecosystem, outcome, trust, failed, file, bytes, upstream, digest, data)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	putBuild = `INSERT INTO builds (id, command, started, ended, exitcode) VALUES (?, ?, ?, 0, 0)
		ON CONFLICT (id) DO UPDATE SET command = excluded.command, started = excluded.started, ended = 0, exitcode = 0`
	endBuild = `UPDATE builds SET ended = ?, exitcode = ? WHERE id = ?`

	selectBuilds = `SELECT ` + columns + `, ` + sums + `
		FROM (SELECT * FROM builds ORDER BY started DESC, id LIMIT ?) b LEFT JOIN lines l ON l.build = b.id
		GROUP BY b.id ORDER BY b.started DESC, b.id`
	selectBuild = `SELECT ` + columns + `, ` + sums + `
		FROM builds b LEFT JOIN lines l ON l.build = b.id WHERE b.id = ? GROUP BY b.id`
	selectLast = `SELECT ` + columns + ` FROM builds b ORDER BY b.started DESC, b.id LIMIT 1`
	// Only the build itself, if there is one of that name. The limit of a prefix is
	// the first string after all that begin with it, in the order of bytes.
	selectNamed = `SELECT ` + columns + ` FROM builds b WHERE b.id = ?1
		UNION ALL SELECT * FROM (SELECT ` + columns + ` FROM builds b
			WHERE ?2 AND b.id > ?1 AND b.id < ?1 || x'ff' AND NOT EXISTS (SELECT 1 FROM builds WHERE id = ?1)
			ORDER BY b.started DESC, b.id LIMIT 12)`
	selectLines = `SELECT data FROM lines WHERE build = ? ORDER BY at, id`
	selectUsers = `SELECT u.build, coalesce(b.command, ''), coalesce(b.started, 0), coalesce(b.ended, 0), coalesce(b.exitcode, 0)
		FROM (SELECT DISTINCT build FROM lines WHERE digest = ? AND NOT failed) u LEFT JOIN builds b ON b.id = u.build
		ORDER BY b.started DESC NULLS LAST, u.build`

	selectUsed = `SELECT DISTINCT digest FROM lines WHERE at >= ? AND digest IS NOT NULL AND NOT failed`

	deleteOldLines = `DELETE FROM lines WHERE build IN (SELECT id FROM builds WHERE started < ?1)
		OR (at < ?1 AND build NOT IN (SELECT id FROM builds))`
	deleteOldBuilds = `DELETE FROM builds WHERE started < ?`
)
