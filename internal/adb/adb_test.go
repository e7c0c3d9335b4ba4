package adb

import (
	"bytes"
	"compress/flate"
	"crypto/sha1" //nolint:gosec // a digest that must not count
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// A builder writes a tree: each method appends a value and returns the word for it.
type builder struct{ b []byte }

func newBuilder() *builder { return &builder{make([]byte, treeHeader)} }

func (t *builder) align() uint32 {
	for len(t.b)%4 != 0 {
		t.b = append(t.b, 0)
	}
	return uint32(len(t.b))
}

func (t *builder) blob(s []byte) uint32 {
	at := uint32(len(t.b))
	t.b = append(append(t.b, byte(len(s))), s...)
	return typeBlob8<<28 | at
}

func (t *builder) list(kind uint32, words ...uint32) uint32 {
	at := t.align()
	t.b = binary.LittleEndian.AppendUint32(t.b, uint32(len(words)+1))
	for _, w := range words {
		t.b = binary.LittleEndian.AppendUint32(t.b, w)
	}
	return kind<<28 | at
}

func (t *builder) finish(root uint32) []byte {
	binary.LittleEndian.PutUint32(t.b[4:], root)
	return t.b
}

// file adds a file with that content, which has a digest of it.
func (t *builder) file(name, content string, sum []byte) uint32 {
	return t.list(typeObject, t.blob([]byte(name)), 0, typeInt<<28|uint32(len(content)), 0, t.blob(sum))
}

// tree returns the tree of a package with a file "a" and a link in one folder, and a file
// "b" in another.
func tree(sum func(string) []byte) []byte {
	t := newBuilder()
	a, b := t.file("a", contentA, sum(contentA)), t.file("b", contentB, sum(contentB))
	link := t.list(typeObject, t.blob([]byte("l")), 0, typeInt<<28|3, 0, 0, t.blob([]byte("\x00\xa0a")))
	empty := t.list(typeObject, t.blob([]byte("e")))
	first := t.list(typeObject, 0, 0, t.list(typeArray, a, link))
	second := t.list(typeObject, t.blob([]byte("dir")), 0, t.list(typeArray, empty, b))
	return t.finish(t.list(typeObject, 0, t.list(typeArray, first, second)))
}

const contentA, contentB = "content of a", "and that of b, which is longer"

func sha256Of(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// blockOf returns a block, padded.
func blockOf(kind Kind, content []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(kind)<<30|uint32(len(content)+4))
	return pad(append(b, content...))
}

// long returns a block with a long header.
func long(kind Kind, content []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(kindLong)<<30|uint32(kind))
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(content)+16))
	return pad(append(b, content...))
}

func pad(b []byte) []byte { return append(b, make([]byte, -len(b)&7)...) }

// data returns the block of a file's content.
func data(folder, file uint32, content string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, folder)
	b = binary.LittleEndian.AppendUint32(b, file)
	return blockOf(KindData, append(b, content...))
}

// fileOf returns an uncompressed file.
func fileOf(schema string, blocks ...[]byte) []byte {
	return append([]byte("ADB."+schema), bytes.Join(blocks, nil)...)
}

func TestCheck(t *testing.T) {
	good := tree(sha256Of)
	a, b := data(1, 1, contentA), data(2, 2, contentB)
	signature := blockOf(KindSignature, []byte("signature"))
	dirty := bytes.Clone(b)
	dirty[len(dirty)-1] = 1
	shared := newBuilder()
	file := shared.list(typeObject)
	files := make([]uint32, 5000)
	for i := range files {
		files[i] = file
	}
	folder := shared.list(typeObject, 0, 0, shared.list(typeArray, files...))
	for i := range files {
		files[i] = folder
	}
	explosion := shared.finish(shared.list(typeObject, 0, shared.list(typeArray, files...)))
	for _, tt := range []struct {
		name string
		file []byte
		want string // part of the error, "" if it is right
	}{
		{"right", fileOf(Package, blockOf(KindTree, good), signature, a, b), ""},
		{"signed twice, with long headers", fileOf(Package, long(KindTree, good), signature, long(KindSignature, []byte("x")), a, b), ""},
		{"no files", fileOf(Package, blockOf(KindTree, newBuilder().finish(0))), ""},
		{"other content", fileOf(Package, blockOf(KindTree, good), data(1, 1, "content of x"), b), "its digest is"},
		{"other length", fileOf(Package, blockOf(KindTree, good), data(1, 1, "content of aa"), b), "want data of 12"},
		{"other file", fileOf(Package, blockOf(KindTree, good), data(1, 2, contentA), b), "data of file 2 in folder 1"},
		{"other order", fileOf(Package, blockOf(KindTree, good), b, a), "want data of 12"},
		{"missing file", fileOf(Package, blockOf(KindTree, good), a), "unexpected EOF"},
		{"one file more", fileOf(Package, blockOf(KindTree, good), a, b, b), "belongs to no file"},
		{"signature behind", fileOf(Package, blockOf(KindTree, good), a, b, signature), "belongs to no file"},
		{"signature between", fileOf(Package, blockOf(KindTree, good), a, signature, b), "a block of kind 1"},
		{"two trees", fileOf(Package, blockOf(KindTree, good), blockOf(KindTree, good), a, b), "among the signatures"},
		{"no tree", fileOf(Package, a, b), "starts with a block"},
		{"another version", fileOf(Package, blockOf(KindTree, append([]byte{1}, good[1:]...)), a, b), "version 1"},
		{"something in the padding", fileOf(Package, blockOf(KindTree, good), a, dirty), "between two blocks"},
		{"truncated", fileOf(Package, blockOf(KindTree, good), a, b[:len(b)-3]), "unexpected EOF"},
		{"truncated header", fileOf(Package, blockOf(KindTree, good), a, b, []byte{0}), "unexpected EOF"},
		{"many signatures", fileOf(Package, blockOf(KindTree, good), blockOf(KindSignature, make([]byte, maxSignature+1)), a, b), "bytes of signatures"},
		{"a block of less than nothing", fileOf(Package, []byte{1, 0, 0, 0}), "a block of 1 bytes"},
		{"weak digest", fileOf(Package, blockOf(KindTree, tree(func(s string) []byte {
			sum := sha1.Sum([]byte(s)) //nolint:gosec // as above
			return sum[:]
		})), a, b), "a digest of 20 bytes"},
		{"a tree that is large by sharing", fileOf(Package, blockOf(KindTree, explosion)), "a tree that is not one"},
		{"index", fileOf(Index, blockOf(KindTree, good)), "it is no package"},
		{"web page", []byte("<html>please log in</html>"), "no file of apk version 3"},
		{"empty", nil, "EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checkError(t, check(tt.file), tt.want)
		})
	}
}

// TestCompressed checks that all of a compressed file is looked at.
func TestCompressed(t *testing.T) {
	plain := fileOf(Package, blockOf(KindTree, tree(sha256Of)), data(1, 1, contentA), data(2, 2, contentB))
	var deflated, zstandard bytes.Buffer
	w, err := flate.NewWriter(&deflated, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewWriter(&zstandard)
	if err != nil {
		t.Fatal(err)
	}
	_, errW := w.Write(plain)
	_, errZ := z.Write(plain)
	if errW != nil || errZ != nil || w.Close() != nil || z.Close() != nil {
		t.Fatal(errW, errZ)
	}
	for _, tt := range []struct{ name, file, want string }{
		{"deflate", "ADBd" + deflated.String(), ""},
		{"deflate with level", "ADBc\x01\x09" + deflated.String(), ""},
		{"zstd", "ADBc\x02\x09" + zstandard.String(), ""},
		{"none", "ADBc\x00\x01" + string(plain), ""},
		{"deflate and more", "ADBd" + deflated.String() + "x", "something follows"},
		{"zstd and more", "ADBc\x02\x09" + zstandard.String() + "x", "EOF"},
		{"truncated deflate", "ADBd" + deflated.String()[:deflated.Len()-9], "unexpected EOF"},
		{"unknown", "ADBc\x03\x09", "unknown method"},
		{"twice", "ADBdADBd", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := check([]byte(tt.file))
			if tt.name == "twice" {
				if err == nil {
					t.Error("no error")
				}
				return
			}
			checkError(t, err, tt.want)
		})
	}
}

// check opens and checks a package.
func check(file []byte) error {
	f, err := NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Check()
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("error %v, want %q", err, want)
	}
}

// TestValue checks numbers and strings of all lengths, and those that lie outside.
func TestValue(t *testing.T) {
	b := newBuilder()
	at := b.align()
	b.b = append(b.b, 1, 2, 3, 4, 5, 6, 7, 8)
	text := uint32(len(b.b))
	b.b = append(b.b, 3, 0, 0, 0, 'a', 'b', 'c')
	v := func(kind, at uint32) Value { return Value{b.b, kind<<28 | at} }
	for _, tt := range []struct {
		name      string
		got, want uint64
	}{
		{"direct", v(typeInt, 7).Int(), 7},
		{"32", v(typeInt32, at).Int(), 0x04030201},
		{"64", v(typeInt64, at).Int(), 0x0807060504030201},
		{"outside", v(typeInt64, uint32(len(b.b)-1)).Int(), 0},
		{"no number", v(typeBlob8, at).Int(), 0},
		{"no list", uint64(v(typeInt, at).Len()), 0},
		{"a list that is too long", uint64(v(typeArray, at).Len()), 0},
		{"no member", v(typeArray, at).At(1).Int(), 0},
		{"no root", Tree(nil).Root().Int(), 0},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %#x, want %#x", tt.name, tt.got, tt.want)
		}
	}
	for _, tt := range []struct {
		name string
		got  []byte
		want string
	}{
		{"8", v(typeBlob8, text).Bytes(), "\x00\x00\x00"},
		{"16", v(typeBlob16, text).Bytes(), "\x00\x00a"},
		{"32", v(typeBlob32, text).Bytes(), "abc"},
		{"outside", v(typeBlob32, at).Bytes(), ""},
		{"no string", v(typeInt, text).Bytes(), ""},
	} {
		if string(tt.got) != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, tt.got, tt.want)
		}
	}
}

// FuzzCheck checks that no file makes the reader fail otherwise than by an error.
func FuzzCheck(f *testing.F) {
	f.Add(fileOf(Package, blockOf(KindTree, tree(sha256Of)), data(1, 1, contentA), data(2, 2, contentB)))
	f.Add([]byte("ADBd"))
	f.Add([]byte("ADBc\x02\x09"))
	f.Fuzz(func(_ *testing.T, file []byte) { _ = check(file) })
}

// TestHugeTree refuses a tree by the size that its header announces: zeros pack to nothing,
// and it is read into memory.
func TestHugeTree(t *testing.T) {
	header := binary.LittleEndian.AppendUint32(nil, uint32(kindLong)<<30|uint32(KindTree))
	header = binary.LittleEndian.AppendUint32(header, 0)
	header = binary.LittleEndian.AppendUint64(header, 16+100<<20)
	text := append([]byte("ADB."+Index), header...)
	if _, err := NewReader(bytes.NewReader(text), int64(len(text))); err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a tree of 100 MiB: %v", err)
	}
}
