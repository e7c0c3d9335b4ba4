package gc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
)

// errSnapshot is returned for bytes that are not a snapshot of this version.
var errSnapshot = errors.New("damaged snapshot")

// A snapshot is the magic line, the records and a checksum. A record is the key, the size
// in 6 bytes and, in one, the queue and the uses. Those of a queue are from old to new.
const (
	magic      = "sutler order 2\n"
	recordSize = len(key{}) + 7
)

// A record is what a snapshot says of one blob.
type record struct {
	key   key
	size  int64
	queue queue
	uses  uint32
}

// appendRecord appends the encoding of r to b.
func appendRecord(b []byte, r record) []byte {
	b = append(b, r.key[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(r.size))
	b = binary.LittleEndian.AppendUint16(b, uint16(r.size>>32))
	return append(b, byte(r.queue)<<usesBits|byte(r.uses))
}

// decodeRecord reads what appendRecord wrote.
func decodeRecord(b []byte) (r record, err error) {
	n := copy(r.key[:], b)
	r.size = int64(binary.LittleEndian.Uint32(b[n:])) | int64(binary.LittleEndian.Uint16(b[n+4:]))<<32
	r.queue, r.uses = queue(b[n+6]>>usesBits), uint32(b[n+6]&maxUses)
	if r.queue != small && r.queue != main {
		return r, errSnapshot
	}
	return r, nil
}

// seal appends the checksum of b to b.
func seal(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// decode calls each for every record of a snapshot that is whole. It returns errSnapshot,
// before the first call, if the checksum is wrong.
func decode(b []byte, each func(record)) error {
	body := len(b) - crc32.Size
	if body < len(magic) || string(b[:len(magic)]) != magic || (body-len(magic))%recordSize != 0 {
		return errSnapshot
	}
	if string(seal(b[:body:body])) != string(b) {
		return errSnapshot
	}
	for rest := b[len(magic):body]; len(rest) > 0; rest = rest[recordSize:] {
		r, err := decodeRecord(rest)
		if err != nil {
			return err
		}
		each(r)
	}
	return nil
}

// encode returns a snapshot of the queues.
func (f *fifo) encode() []byte {
	b := make([]byte, 0, len(magic)+f.count()*recordSize+crc32.Size)
	b = append(b, magic...)
	// What is leaving is still stored until it is gone; it goes first next time.
	for _, q := range []queue{leaving, main, small} {
		for i := f.lists[q].oldest; i != 0; i = f.slot(i).newer {
			s := f.slot(i)
			b = appendRecord(b, record{s.key, s.size(), max(q, small), s.uses()})
		}
	}
	return seal(b)
}

// save writes the snapshot if there is something new.
func (c *Collector) save() error {
	if c.o.Dir == "" {
		return nil
	}
	c.saving.Lock()
	defer c.saving.Unlock()
	c.mu.Lock()
	var b []byte
	if c.changed {
		b = c.fifo.encode()
	}
	c.changed = false
	c.mu.Unlock()
	if b == nil {
		return nil
	}
	if err := renameio.WriteFile(filepath.Join(c.o.Dir, snapshotFile), b, 0o600); err != nil {
		c.mu.Lock()
		c.changed = true
		c.mu.Unlock()
		return fmt.Errorf("save the order of eviction: %w", err)
	}
	return nil
}

// load reads the snapshot. Its blobs are not young.
func (c *Collector) load() error {
	if c.o.Dir == "" {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(c.o.Dir, snapshotFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		c.table.reserve(len(b) / recordSize)
		longAgo := secondOf(time.Now().AddDate(-1, 0, 0)) // committed long since
		err = decode(b, func(r record) { c.restore(r, longAgo) })
	}
	if err != nil {
		return fmt.Errorf("gc: %s: %w; the order starts anew", snapshotFile, err)
	}
	return nil
}

// restore adds a blob from the snapshot.
func (c *Collector) restore(r record, added second) {
	if c.table.find(r.key) != 0 {
		return
	}
	i := c.fifo.insert(r.key, r.size, added, r.queue)
	if i == 0 {
		return
	}
	c.fifo.slot(i).setUses(r.uses)
	c.table.put(i)
}
