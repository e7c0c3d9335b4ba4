package gc

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// The snapshot is magic, then one record per blob in the order of the queues, then the
// CRC-32 of all that. Numbers are big-endian.
const (
	snapshotMagic = "sutler order 1\n\x00"
	recordLen     = 32 + 8 + 8 + 1
	mainFlag      = 0x80 // in the last byte of a record, beside the counter
)

// errSnapshot means that a snapshot was not written whole, or not by this program.
var errSnapshot = errors.New("not a snapshot of the order, or damaged")

// encode returns the snapshot of nodes in their order.
func encode(nodes []*node) []byte {
	b := make([]byte, 0, len(snapshotMagic)+len(nodes)*recordLen+4)
	b = append(b, snapshotMagic...)
	for _, n := range nodes {
		b = append(b, n.sum[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(n.size))  //nolint:gosec // sizes are not negative
		b = binary.BigEndian.AppendUint64(b, uint64(n.added)) //nolint:gosec // nor are times since 1970
		last := byte(n.uses.Load())
		if n.main {
			last |= mainFlag
		}
		b = append(b, last)
	}
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// decode reads a snapshot.
func decode(b []byte) ([]*node, error) {
	body := len(b) - len(snapshotMagic) - 4
	if body < 0 || body%recordLen != 0 || string(b[:len(snapshotMagic)]) != snapshotMagic ||
		crc32.ChecksumIEEE(b[:len(b)-4]) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return nil, errSnapshot
	}
	all := make([]node, body/recordLen)
	out := make([]*node, len(all))
	for i := range all {
		rec := b[len(snapshotMagic)+i*recordLen:]
		n := &all[i]
		copy(n.sum[:], rec)
		n.size = int64(binary.BigEndian.Uint64(rec[32:]))  //nolint:gosec // checked below
		n.added = int64(binary.BigEndian.Uint64(rec[40:])) //nolint:gosec // any value works
		n.main = rec[48]&mainFlag != 0
		n.uses.Store(int32(rec[48] &^ mainFlag))
		if n.size < 0 || n.uses.Load() > maxUses {
			return nil, errSnapshot
		}
		out[i] = n
	}
	return out, nil
}
