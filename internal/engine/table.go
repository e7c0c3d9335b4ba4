package engine

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// A claims table holds all claims of one document, sorted by the resource they are
// about: an apt Packages index makes 60,000, of which a build needs a few hundred. It
// is immutable and kept as a blob, so a look-up is a binary search in a file and a new
// version of the document replaces all its claims at once.
//
// Layout: magic, number of records (uint32), records sorted by name, heap.
// A record is the first 16 bytes of the SHA-256 of Resource.ClaimKey, then offset and
// length in the heap (uint32 each). All numbers are big-endian.
const (
	tableMagic  = "sutler claims 2\n"
	tableHeader = len(tableMagic) + 4
	recordSize  = 16 + 4 + 4
)

// What a document may claim is bounded, since its table is made in memory: the largest public
// index lists less than a million files, and one that says the same over and over again
// packs to next to nothing.
const (
	maxClaims = 2 << 20
	maxHeap   = 256 << 20
)

// errTable means that a blob is no claims table.
var errTable = errors.New("invalid claims table")

// algorithms are the digests a table can hold, by their number in it.
var algorithms = [...]string{1: digest.SHA256, 2: digest.SHA384, 3: digest.SHA512, 4: digest.SHA1, 5: digest.MD5,
	6: digest.H1, 7: digest.H1Mod, 8: digest.APK, 9: digest.APK256, 10: digest.ADB}

// A tableWriter collects the claims of one document. The zero value is ready.
type tableWriter struct {
	records []tableRecord
	heap    []byte
}

type tableRecord struct {
	name     [16]byte
	off, len uint32
}

// tableName returns what the claims about a resource are sorted by.
func tableName(claimKey string) [16]byte {
	sum := sha256.Sum256([]byte(claimKey))
	return [16]byte(sum[:16])
}

// add adds a claim about the resource of that key.
func (w *tableWriter) add(claimKey string, c ecosystem.Claim) error {
	off := len(w.heap)
	if len(w.records) >= maxClaims || off > maxHeap {
		return fmt.Errorf("%w: more than %d claims", ecosystem.ErrInvalid, maxClaims)
	}
	alg := slices.Index(algorithms[:], c.Digest.Algorithm())
	raw, err := hex.DecodeString(c.Digest.Hex())
	if alg < 1 || err != nil {
		return fmt.Errorf("%w: %q", digest.ErrInvalid, c.Digest)
	}
	w.heap = binary.AppendVarint(w.heap, c.Size)
	w.heap = binary.AppendVarint(w.heap, unixOrZero(c.Published))
	w.heap = append(w.heap, byte(alg))
	w.heap = append(w.heap, raw...)
	w.heap = binary.AppendUvarint(w.heap, uint64(len(c.Type)))
	w.heap = append(w.heap, c.Type...)
	w.heap = append(w.heap, c.Via...)
	w.records = append(w.records, tableRecord{tableName(claimKey), uint32(off), uint32(len(w.heap) - off)})
	return nil
}

// bytes returns the table. Equal claims make equal tables, whatever their order.
func (w *tableWriter) bytes() []byte {
	slices.SortStableFunc(w.records, func(a, b tableRecord) int {
		return cmp.Or(bytes.Compare(a.name[:], b.name[:]), cmp.Compare(a.off, b.off))
	})
	out := make([]byte, 0, tableHeader+len(w.records)*recordSize+len(w.heap))
	out = append(out, tableMagic...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(w.records)))
	for _, r := range w.records {
		out = append(out, r.name[:]...)
		out = binary.BigEndian.AppendUint32(out, r.off)
		out = binary.BigEndian.AppendUint32(out, r.len)
	}
	return append(out, w.heap...)
}

// find returns the claims that the table in r makes about the resource of that key.
func findClaims(r io.ReaderAt, size int64, claimKey string) ([]ecosystem.Claim, error) {
	n, err := tableLen(r, size)
	if err != nil {
		return nil, err
	}
	name := tableName(claimKey)
	var rec [recordSize]byte
	var failed error
	read := func(i int) bool {
		if _, err := r.ReadAt(rec[:], int64(tableHeader+i*recordSize)); err != nil && failed == nil {
			failed = err
		}
		return failed == nil
	}
	i := sort.Search(n, func(i int) bool { return !read(i) || bytes.Compare(rec[:16], name[:]) >= 0 })
	var out []ecosystem.Claim
	for ; failed == nil && i < n && read(i) && bytes.Equal(rec[:16], name[:]); i++ {
		off := int64(tableHeader+n*recordSize) + int64(binary.BigEndian.Uint32(rec[16:]))
		c, err := readClaim(io.NewSectionReader(r, off, int64(binary.BigEndian.Uint32(rec[20:]))))
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, failed
}

// tableLen checks the header and returns the number of records.
func tableLen(r io.ReaderAt, size int64) (int, error) {
	head := make([]byte, tableHeader)
	if _, err := r.ReadAt(head, 0); err != nil {
		return 0, fmt.Errorf("%w: %w", errTable, err)
	}
	n := int64(binary.BigEndian.Uint32(head[len(tableMagic):]))
	if string(head[:len(tableMagic)]) != tableMagic || int64(tableHeader)+n*recordSize > size {
		return 0, errTable
	}
	return int(n), nil
}

// readClaim decodes one claim of the heap; URL and By are the caller's to set.
func readClaim(r *io.SectionReader) (ecosystem.Claim, error) {
	b := make([]byte, r.Size())
	if _, err := io.ReadFull(r, b); err != nil {
		return ecosystem.Claim{}, fmt.Errorf("%w: %w", errTable, err)
	}
	size, n := binary.Varint(b)
	if n <= 0 {
		return ecosystem.Claim{}, errTable
	}
	published, m := binary.Varint(b[n:])
	if m <= 0 || len(b) < n+m+1 {
		return ecosystem.Claim{}, errTable
	}
	alg, rest := int(b[n+m]), b[n+m+1:]
	if alg < 1 || alg >= len(algorithms) {
		return ecosystem.Claim{}, errTable
	}
	length := rawLength(algorithms[alg])
	if len(rest) < length {
		return ecosystem.Claim{}, errTable
	}
	d, err := digest.New(algorithms[alg], hex.EncodeToString(rest[:length]))
	rest = rest[length:]
	typ, n := binary.Uvarint(rest)
	if n <= 0 || typ > uint64(len(rest)-n) {
		return ecosystem.Claim{}, errTable
	}
	rest = rest[n:]
	c := ecosystem.Claim{Digest: d, Size: size, Type: string(rest[:typ]), Via: string(rest[typ:])}
	if published != 0 {
		c.Published = time.Unix(published, 0).UTC()
	}
	return c, err
}

// rawLength returns the length of a digest in bytes.
func rawLength(alg string) int {
	switch alg {
	case digest.SHA512:
		return 64
	case digest.SHA384:
		return 48
	case digest.SHA1, digest.APK:
		return 20
	case digest.MD5:
		return 16
	}
	return 32
}

func unixOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
