package sqlite

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/freshness"
	"sutler/internal/index"
)

// anyTime draws times that occur, and those that origins make up.
func anyTime() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		sec := rapid.OneOf(rapid.Just(time.Time{}.Unix()), rapid.Int64Range(0, 4e9), rapid.Int64Range(-1e14, 1e14)).Draw(t, "sec")
		return time.Unix(sec, rapid.Int64Range(0, 999_999_999).Draw(t, "nsec")).UTC()
	})
}

// anyDigest draws digests, the zero one and text that is none.
func anyDigest() *rapid.Generator[digest.Digest] {
	return rapid.Custom(func(t *rapid.T) digest.Digest {
		s := rapid.String().Draw(t, "of")
		return rapid.SampledFrom([]digest.Digest{"", digest.OfBytes([]byte(s)), digest.Digest("md5:" + s), digest.Digest("sha256:" + s),
			digest.Digest(strings.ToUpper(string(digest.OfBytes([]byte(s)))))}).Draw(t, "digest")
	})
}

// anyEntry draws entries whose key begins with the identity, or does not.
func anyEntry() *rapid.Generator[index.Entry] {
	return rapid.Custom(func(t *rapid.T) index.Entry {
		s := func(label string) string { return rapid.String().Draw(t, label) }
		e := index.Entry{
			Ecosystem: s("ecosystem"), URL: s("url"), Variant: s("variant"),
			Kind: ecosystem.Kind(rapid.IntRange(0, 1).Draw(t, "kind")), Package: s("package"), Version: s("version"), Repository: s("repository"),
			Blob: anyDigest().Draw(t, "blob"), Size: rapid.Int64().Draw(t, "size"), Table: anyDigest().Draw(t, "table"),
			Type: s("type"), Validator: freshness.Validator{ETag: s("etag"), LastModified: s("modified")},
			Modified: anyTime().Draw(t, "modified"), Origin: s("origin"),
			Stored: anyTime().Draw(t, "stored"), Checked: anyTime().Draw(t, "checked"), Lifetime: time.Duration(rapid.Int64().Draw(t, "lifetime")),
			Evidence: ecosystem.Evidence{Signer: s("signer"), Note: s("note"), Dated: anyTime().Draw(t, "dated"), Expires: anyTime().Draw(t, "expires")},
			Voucher:  s("voucher"), Trust: index.Trust(s("trust")),
		}
		e.Key = ecosystem.Key(e.Ecosystem, e.URL, e.Variant) + rapid.SampledFrom([]string{"", " scope=x"}).Draw(t, "scope")
		if rapid.Bool().Draw(t, "foreign") {
			e.Key = s("key")
		}
		return e
	})
}

func TestEncodeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyEntry().Draw(t, "entry")
		got, err := decode(want.Key, encode(want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("decode(encode) = %+v, %v, want %+v", got, err, want)
		}
	})
}

// TestEncodeHasAllFields fails when index.Entry gets a field that encode does not know.
func TestEncodeHasAllFields(t *testing.T) {
	var want index.Entry
	fill(reflect.ValueOf(&want).Elem())
	got, err := decode(want.Key, encode(want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("decode(encode) = %+v, %v, want %+v", got, err, want)
	}
}

// fill sets every field of a struct to something that is not zero.
func fill(v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(7, 8).UTC()))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case v.Kind() == reflect.String:
		v.SetString("x")
	default:
		v.SetInt(1)
	}
}

// TestDecodeOlder reads data that ends before a field: an older version wrote it.
func TestDecodeOlder(t *testing.T) {
	e := index.Entry{Key: "npm https://packages.example/x", Ecosystem: "npm", URL: "https://packages.example/x", Trust: index.Signed}
	data := encode(e)
	data = data[:len(data)-1] // the number of header fields comes last
	var times [2][]byte       // before it Dated and Expires
	for i := range times {
		times[i] = appendTimes(nil, time.Time{})
	}
	data = data[:len(data)-len(times[0])-len(times[1])]
	binary.BigEndian.PutUint32(data, checksum(e.Key, data[4:]))
	if got, err := decode(e.Key, data); err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("decode = %+v, %v, want %+v", got, err, e)
	}
}

// FuzzDecode checks that data which is accepted is what encode makes of the entry it
// holds, as far as both have the same fields, and that nothing else comes but errRow. The
// checksum is set right, so that the fields are reached.
func FuzzDecode(f *testing.F) {
	e := index.Entry{Key: "npm https://packages.example/x", Ecosystem: "npm", URL: "https://packages.example/x", Blob: digest.OfBytes(nil), Size: 7}
	f.Add(e.Key, encode(e))
	f.Add("foreign key", encode(e))
	f.Add("", []byte{})
	f.Fuzz(func(t *testing.T, key string, data []byte) {
		if _, err := decode(key, data); err == nil && binary.BigEndian.Uint32(data) != checksum(key, data[4:]) {
			t.Error("data with a wrong checksum was accepted")
		}
		if len(data) < 4 {
			return
		}
		data = bytes.Clone(data)
		binary.BigEndian.PutUint32(data, checksum(key, data[4:]))
		e, err := decode(key, data)
		if err != nil {
			return
		}
		again, err := decode(key, encode(e))
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Errorf("decode(%q, %x) = %+v, encoded and decoded it is %+v, %v", key, data, e, again, err)
		}
	})
}
