package sqlite

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"strings"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/index"
)

// The form of data: a checksum of four bytes, then the fields in the order of encode.
// Numbers are varints; strings and digests have their length before them; times are
// seconds and nanoseconds. New fields are added at the end: data that ends early, because
// an older version wrote it, has the zero value for them.

// errRow means that a row does not hold what was written to it.
var errRow = errors.New("row is damaged")

// castagnoli is the polynomial that processors compute.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode returns the data of an entry.
func encode(e index.Entry) []byte {
	b := make([]byte, 4, 512)
	b = appendIdentity(b, e)
	b = binary.AppendVarint(b, int64(e.Kind))
	b = appendStrings(b, e.Package, e.Version, e.Repository)
	b = appendDigest(b, e.Blob)
	b = binary.AppendVarint(b, e.Size)
	b = appendDigest(b, e.Table)
	b = appendStrings(b, e.Type, e.Validator.ETag, e.Validator.LastModified, e.Origin)
	b = appendTimes(b, e.Modified, e.Stored, e.Checked)
	b = binary.AppendVarint(b, int64(e.Lifetime))
	b = appendStrings(b, e.Evidence.Signer, e.Evidence.Note, e.Voucher, string(e.Trust))
	b = appendTimes(b, e.Evidence.Dated, e.Evidence.Expires)
	b = binary.AppendUvarint(b, uint64(len(e.Header)))
	for _, f := range e.Header {
		b = appendStrings(b, f.Name, f.Value)
	}
	binary.BigEndian.PutUint32(b, checksum(e.Key, b[4:]))
	return b
}

// decode returns the entry of a key, or errRow if data is not what encode returned for it.
func decode(key string, data []byte) (index.Entry, error) {
	if len(data) < 4 || binary.BigEndian.Uint32(data) != checksum(key, data[4:]) {
		return index.Entry{}, errRow
	}
	e := index.Entry{Key: key}
	r := reader{rest: data[4:]}
	r.identity(&e)
	e.Kind = ecosystem.Kind(r.varint())
	e.Package, e.Version, e.Repository = r.string(), r.string(), r.string()
	e.Blob = r.digest()
	e.Size = r.varint()
	e.Table = r.digest()
	e.Type, e.Validator.ETag, e.Validator.LastModified, e.Origin = r.string(), r.string(), r.string(), r.string()
	e.Modified, e.Stored, e.Checked = r.time(), r.time(), r.time()
	e.Lifetime = time.Duration(r.varint())
	e.Evidence.Signer, e.Evidence.Note = r.string(), r.string()
	e.Voucher, e.Trust = r.string(), index.Trust(r.string())
	e.Evidence.Dated, e.Evidence.Expires = r.time(), r.time()
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		e.Header = append(e.Header, ecosystem.Setting{Name: r.string(), Value: r.string()})
		r.bad = r.bad || len(r.rest) == 0 && n > 1
	}
	if r.bad {
		return index.Entry{}, errRow
	}
	return e, nil
}

// checksum covers the key too, so that data under another's key is found out.
func checksum(key string, fields []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(key), castagnoli), castagnoli, fields)
}

// appendIdentity writes ecosystem, URL and variant. They usually are the beginning of the
// key; then only their lengths are kept, after a 1.
func appendIdentity(b []byte, e index.Entry) []byte {
	if k := ecosystem.Key(e.Ecosystem, e.URL, e.Variant); e.Ecosystem != "" && strings.HasPrefix(e.Key, k) {
		b = append(b, 1)
		b = binary.AppendUvarint(b, uint64(len(e.Ecosystem)))
		b = binary.AppendUvarint(b, uint64(len(e.URL)))
		return binary.AppendUvarint(b, uint64(len(e.Variant)))
	}
	return appendStrings(append(b, 0), e.Ecosystem, e.URL, e.Variant)
}

func appendStrings(b []byte, all ...string) []byte {
	for _, s := range all {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

func appendDigest(b []byte, d digest.Digest) []byte {
	p := packDigest(d)
	return append(binary.AppendUvarint(b, uint64(len(p))), p...)
}

func appendTimes(b []byte, all ...time.Time) []byte {
	for _, t := range all {
		b = binary.AppendVarint(b, t.Unix())
		b = binary.AppendUvarint(b, uint64(t.Nanosecond()))
	}
	return b
}

// The forms of a digest that is not zero, by their first byte.
const (
	rawDigest  = 1 // 32 bytes of a SHA-256 follow
	textDigest = 2 // the text of any other digest follows
)

// packDigest returns the bytes that stand for d, nil for the zero Digest.
func packDigest(d digest.Digest) []byte {
	if d == "" {
		return nil
	}
	if raw, err := hex.DecodeString(d.Hex()); err == nil && len(raw) == 32 && digest.FromSum(raw) == d {
		return append([]byte{rawDigest}, raw...)
	}
	return append([]byte{textDigest}, d...)
}

// A reader takes fields from data. After a field that is not there it is bad.
type reader struct {
	rest []byte
	bad  bool
}

// identity fills what appendIdentity wrote.
func (r *reader) identity(e *index.Entry) {
	if r.uvarint() == 0 {
		e.Ecosystem, e.URL, e.Variant = r.string(), r.string(), r.string()
		return
	}
	rest := e.Key
	next := func() string {
		n := r.uvarint()
		if n > uint64(len(rest)) {
			r.bad = true
			return ""
		}
		s := rest[:n]
		rest = strings.TrimPrefix(rest[n:], " ")
		return s
	}
	e.Ecosystem, e.URL, e.Variant = next(), next(), next()
}

// uvarint returns 0 at the end: the field is newer than the data.
func (r *reader) uvarint() uint64 {
	if len(r.rest) == 0 {
		return 0
	}
	v, n := binary.Uvarint(r.rest)
	return r.took(v, n)
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	v := int64(u >> 1) // zigzag, as binary.AppendVarint writes it
	if u&1 != 0 {
		v = ^v
	}
	return v
}

// took moves on by n bytes, which is not positive if there was no number.
func (r *reader) took(v uint64, n int) uint64 {
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) string() string { return string(r.bytes()) }

func (r *reader) digest() digest.Digest {
	b := r.bytes()
	switch {
	case len(b) == 0:
		return ""
	case b[0] == rawDigest && len(b) == 33:
		return digest.FromSum(b[1:])
	case b[0] == textDigest:
		return digest.Digest(b[1:])
	}
	r.bad = true
	return ""
}

// time returns the zero time at the end, else the time in UTC.
func (r *reader) time() time.Time {
	if len(r.rest) == 0 {
		return time.Time{}
	}
	sec := r.varint()
	return time.Unix(sec, int64(r.uvarint())).UTC()
}
