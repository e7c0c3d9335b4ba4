package digest

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// The digests of "abc" (FIPS 180-4, RFC 1321).
const (
	abc256 = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	abc1   = "sha1:a9993e364706816aba3e25717850c26c9cd0d89d"
	abcMD5 = "md5:900150983cd24fb0d6963f7d28e17f72"
	abcSRI = "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw=="
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		strong   bool
	}{
		{abc256, abc256, true},
		{strings.ToUpper(abc256[7:]), "", false},
		{"sha256:" + strings.ToUpper(abc256[7:]), abc256, true},
		{abc1, abc1, false},
		{abcMD5, abcMD5, false},
		{"sha256:ab", "", false},
		{"sha256:" + strings.Repeat("g", 64), "", false},
		{"crc32:00000000", "", false},
		{"", "", false},
	} {
		got, err := Parse(tt.in)
		if string(got) != tt.want || (err != nil) != (tt.want == "") || err != nil && !errors.Is(err, ErrInvalid) || got.Strong() != tt.strong {
			t.Errorf("Parse(%q) = %q (strong %t), %v; want %q (strong %t)", tt.in, got, got.Strong(), err, tt.want, tt.strong)
		}
	}
}

func TestFromSRI(t *testing.T) {
	sha1 := "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0="
	for _, tt := range []struct {
		in   string
		want []string // algorithms
	}{
		{abcSRI, []string{SHA512}},
		{sha1, []string{SHA1}},
		{sha1 + " " + abcSRI + "?option", []string{SHA512}},
		{abcSRI + " " + abcSRI, []string{SHA512, SHA512}},
		{"md6-AAAA " + sha1, []string{SHA1}},
		{"md6-AAAA", nil},
		{"sha512-!", nil},
		{"", nil},
	} {
		got, err := FromSRI(tt.in)
		var algorithms []string
		for _, d := range got {
			algorithms = append(algorithms, d.Algorithm())
		}
		if !slices.Equal(algorithms, tt.want) || (err != nil) != (tt.want == nil) {
			t.Errorf("FromSRI(%q) = %v, %v; want %v", tt.in, got, err, tt.want)
		}
	}
}

func TestHasher(t *testing.T) {
	h := NewHasher(abc1, abcMD5)
	for _, part := range []string{"a", "bc"} {
		if _, err := h.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if h.SHA256() != abc256 || h.Sum(SHA1) != abc1 || h.Sum(MD5) != abcMD5 || h.Sum(SHA512) != "" || h.Size() != 3 {
		t.Errorf("sums = %s, %s, %s, %q, %d bytes", h.SHA256(), h.Sum(SHA1), h.Sum(MD5), h.Sum(SHA512), h.Size())
	}
	if d, n, err := Of(strings.NewReader("abc")); d != abc256 || n != 3 || err != nil {
		t.Errorf("Of = %s, %d, %v", d, n, err)
	}
}

// FuzzKeyOf checks that a key names exactly the digest it was made of.
func FuzzKeyOf(f *testing.F) {
	f.Add(abc256)
	f.Add(abc1)
	f.Add("sha256:" + strings.ToUpper(abc256[7:]))
	f.Fuzz(func(t *testing.T, s string) {
		if k, ok := KeyOf(Digest(s)); ok && string(k.Digest()) != s {
			t.Errorf("KeyOf(%q) is the key of %s", s, k.Digest())
		}
	})
}
