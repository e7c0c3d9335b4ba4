package sqlite

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"time"

	"sutler/internal/receipt"
)

// errRow means that a row does not hold what was written to it.
var errRow = errors.New("row is damaged")

// castagnoli is the polynomial that processors compute.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode returns the data of a line: a checksum of four bytes, then JSON.
func encode(l receipt.Line) ([]byte, error) {
	l.At, l.Stored = plain(l.At), plain(l.Stored)
	j, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(j)), crc32.Checksum(j, castagnoli))
	return append(b, j...), nil
}

// decode returns the line of data, or errRow if data is not what encode returned.
func decode(data []byte) (receipt.Line, error) {
	if len(data) < 4 || binary.BigEndian.Uint32(data) != crc32.Checksum(data[4:], castagnoli) {
		return receipt.Line{}, errRow
	}
	var l receipt.Line
	if err := json.Unmarshal(data[4:], &l); err != nil {
		return receipt.Line{}, errRow
	}
	return l, nil
}

// plain returns t in UTC, or the zero time for years that JSON cannot tell: one odd time
// from an origin must not keep a line from being written.
func plain(t time.Time) time.Time {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		return time.Time{}
	}
	return t
}

// nanos returns t for a column; 0 is the zero time.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// fromNanos undoes nanos.
func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
