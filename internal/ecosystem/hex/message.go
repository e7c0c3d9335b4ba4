package hex

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// errWire means that bytes are no Protocol Buffers message of the kind expected.
var errWire = errors.New("malformed message")

// A message is the fields of a Protocol Buffers message that hold bytes, by number. Here
// they hold all that matters.
type message map[protowire.Number][][]byte

// parse takes a message apart. Fields alias b.
func parse(b []byte) (message, error) {
	m := message{}
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, errWire
		}
		b = b[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, kind, b); n < 0 {
				return nil, errWire
			}
			b = b[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return nil, errWire
		}
		m[num] = append(m[num], v)
		b = b[n:]
	}
	return m, nil
}

// last returns the value of a field that is not repeated: the last one counts.
func (m message) last(num protowire.Number) []byte {
	if v := m[num]; len(v) > 0 {
		return v[len(v)-1]
	}
	return nil
}
