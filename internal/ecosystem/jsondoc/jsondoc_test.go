package jsondoc_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/jsondoc"
)

func body(text string) ecosystem.Body {
	return ecosystem.Body{ReaderAt: strings.NewReader(text), Size: int64(len(text))}
}

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		text string
		ok   bool
	}{
		{`{"a":[1,"]]]]\"[[[",{}]}`, true},
		{` "x" ` + "\n", true},
		{`[` + strings.Repeat(`["[","\\"],`, 1000) + `1]`, true},
		{strings.Repeat("[", jsondoc.MaxDepth) + strings.Repeat("]", jsondoc.MaxDepth), true},
		{strings.Repeat("[", jsondoc.MaxDepth+1) + strings.Repeat("]", jsondoc.MaxDepth+1), false},
		{strings.Repeat(`{"a":`, 1<<20), false},
		{`[` + strings.Repeat(`{},`, jsondoc.MaxValues+1<<10) + `{}]`, false},
		{"", false},
		{"<html>", false},
		{"{} {}", false},
		{"{},", false},
		{`{"a":`, false},
	} {
		var v any
		if err := jsondoc.Decode(body(tt.text), &v); (err == nil) != tt.ok || err != nil && !errors.Is(err, ecosystem.ErrInvalid) {
			t.Errorf("Decode(%.40q) = %v, want ok %t", tt.text, err, tt.ok)
		}
	}
	big := ecosystem.Body{ReaderAt: strings.NewReader(""), Size: jsondoc.MaxSize + 1}
	if err := jsondoc.Decode(big, new(any)); !errors.Is(err, ecosystem.ErrInvalid) {
		t.Errorf("Decode of a huge document = %v", err)
	}
}

// errDisk stands for a store that cannot be read: the document may be good.
var errDisk = errors.New("input/output error")

func TestReadError(t *testing.T) {
	for _, text := range []string{"", `{"a":`, `{"a":1}`, `{"a":1} `} {
		d := jsondoc.NewDecoder(io.MultiReader(strings.NewReader(text), iotest.ErrReader(errDisk)))
		err := d.Object(func(string) error { return d.Skip() })
		if err == nil {
			err = d.End()
		}
		if !errors.Is(err, errDisk) || errors.Is(err, ecosystem.ErrInvalid) {
			t.Errorf("%q, then an error: %v", text, err)
		}
	}
}

// TestLongValue refuses what a small compressed document may hold: one value, key or gap
// without end.
func TestLongValue(t *testing.T) {
	for _, start := range []string{`{"a":"`, `{"`, `{"a":1`, `{"a":1,"b":[`} {
		fill := byte(' ')
		if strings.Count(start, `"`)%2 == 1 {
			fill = 'x'
		}
		d := jsondoc.NewDecoder(io.MultiReader(strings.NewReader(start), io.LimitReader(endless(fill), 3*jsondoc.MaxSize)))
		if err := d.Object(func(string) error { return d.Skip() }); !errors.Is(err, ecosystem.ErrInvalid) || !strings.Contains(err.Error(), "more than") {
			t.Errorf("%q and a lot more: %v", start, err)
		}
	}
}

// endless is a reader of the same byte for ever.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

func TestObject(t *testing.T) {
	d := jsondoc.NewDecoder(strings.NewReader(`{"a":1,"b":{"c":[2]}}`))
	var keys []string
	err := d.Object(func(key string) error {
		keys = append(keys, key)
		if key == "b" {
			return d.Object(func(key string) error {
				keys = append(keys, key)
				return d.Skip()
			})
		}
		return d.Skip()
	})
	if err != nil || d.End() != nil || strings.Join(keys, "") != "abc" {
		t.Errorf("keys %q, %v", keys, err)
	}
	for _, text := range []string{"[1]", "", "{1:2}", `{"a":1`, "null"} {
		d := jsondoc.NewDecoder(strings.NewReader(text))
		if err := d.Object(func(string) error { return d.Skip() }); !errors.Is(err, ecosystem.ErrInvalid) {
			t.Errorf("Object(%q) = %v", text, err)
		}
	}
}

func TestRewrite(t *testing.T) {
	var b bytes.Buffer
	err := jsondoc.Rewrite(&b, body(`{"u":["<a>",{"v":"b"}],"n":12345678901234567890.10,"x":null}`), func(key, s string) string { return key + "=" + s })
	const want = `{"n":12345678901234567890.10,"u":["u=<a>",{"v":"v=b"}],"x":null}` + "\n"
	if err != nil || b.String() != want {
		t.Errorf("Rewrite = %s, %v, want %s", b.String(), err, want)
	}
}

func TestLinked(t *testing.T) {
	for _, tt := range []struct {
		link func(string) string
		want bool
	}{
		{nil, false},
		{func(s string) string { return s }, false},
		{func(s string) string { return "/x" + s }, true},
	} {
		if got := jsondoc.Linked(ecosystem.View{Link: tt.link}, body("")); got != tt.want {
			t.Errorf("Linked = %t, want %t", got, tt.want)
		}
	}
}
