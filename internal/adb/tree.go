package adb

import "encoding/binary"

// treeHeader is the length of what comes before the values of a tree.
const treeHeader = 8

// A Tree is the first block of a file: values that refer to each other by offset.
type Tree []byte

// A Value is a node of a tree. The zero Value is none. What a value is not, it has none of.
type Value struct {
	tree Tree
	word uint32
}

// The types of values, in the upper four bits of a word.
const (
	typeInt    = 0x1
	typeInt32  = 0x2
	typeInt64  = 0x3
	typeBlob8  = 0x8
	typeBlob16 = 0x9
	typeBlob32 = 0xa
	typeArray  = 0xd
	typeObject = 0xe
)

// Root returns the value that all others hang on.
func (t Tree) Root() Value {
	if len(t) < treeHeader {
		return Value{}
	}
	return Value{t, binary.LittleEndian.Uint32(t[4:])}
}

// kind returns the type of a value, and the number in it: an offset, mostly.
func (v Value) kind() (kind uint32, at uint64) { return v.word >> 28, uint64(v.word & (1<<28 - 1)) }

// slice returns n bytes of the tree; nil if it has not so many there.
func (v Value) slice(at, n uint64) []byte {
	if at+n > uint64(len(v.tree)) {
		return nil
	}
	return v.tree[at : at+n : at+n]
}

// number returns an unsigned number of n bytes.
func (v Value) number(at, n uint64) uint64 {
	var b [8]byte
	copy(b[:], v.slice(at, n))
	return binary.LittleEndian.Uint64(b[:])
}

// Int returns a number.
func (v Value) Int() uint64 {
	switch kind, at := v.kind(); kind {
	case typeInt:
		return at
	case typeInt32:
		return v.number(at, 4)
	case typeInt64:
		return v.number(at, 8)
	}
	return 0
}

// Bytes returns a string. It is part of the tree: do not change it.
func (v Value) Bytes() []byte {
	switch kind, at := v.kind(); kind {
	case typeBlob8:
		return v.slice(at+1, v.number(at, 1))
	case typeBlob16:
		return v.slice(at+2, v.number(at, 2))
	case typeBlob32:
		return v.slice(at+4, v.number(at, 4))
	}
	return nil
}

// Len returns how many members an array or object has.
func (v Value) Len() int {
	kind, at := v.kind()
	if kind != typeArray && kind != typeObject {
		return 0
	}
	n := v.number(at, 4) // the number itself counts
	if n == 0 || v.slice(at, 4*n) == nil {
		return 0
	}
	return int(n - 1)
}

// At returns a member of an array or object, counted from 1.
func (v Value) At(i int) Value {
	if i < 1 || i > v.Len() {
		return Value{}
	}
	_, at := v.kind()
	return Value{v.tree, uint32(v.number(at+4*uint64(i), 4))}
}
