package disk

import (
	"hash/maphash"
	"sync"
	"time"

	"sutler/internal/digest"
)

// A key is the binary form of a SHA-256 digest.
type key [32]byte

// keyOf returns the key of a SHA-256 digest. Anything else, upper case too, names no file.
func keyOf(d digest.Digest) (k key, ok bool) {
	const prefix = digest.SHA256 + ":"
	if len(d) != len(prefix)+2*len(k) || d[:len(prefix)] != prefix {
		return k, false
	}
	h := d[len(prefix):]
	for i := range k {
		hi, lo := nibble(h[2*i]), nibble(h[2*i+1])
		if hi|lo > 15 {
			return k, false
		}
		k[i] = hi<<4 | lo
	}
	return k, true
}

// nibble returns the value of a lower-case hexadecimal digit, or 255.
func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// digest returns the digest that k is the binary form of.
func (k key) digest() digest.Digest { return digest.FromSum(k[:]) }

// An ident tells one state of one file from all others, as far as the kernel notices.
type ident struct {
	dev, ino          uint64
	size              int64 // bytes
	modified, changed int64 // mtime and ctime, Unix ns
}

// A mark says that the file which fingerprint stands for was hashed, and when.
type mark struct {
	fingerprint uint64 // of an ident; seeded, so nobody can make two that agree
	at          time.Duration
}

// markShards is how many parts the table has, each with a lock of its own.
const markShards = 64

// marks remembers which files this process has hashed and found right. It is bounded: a
// mark that is pushed out costs one more check.
type marks struct {
	seed   maphash.Seed
	every  time.Duration
	max    int // in one shard
	shards [markShards]markShard
}

type markShard struct {
	mu sync.RWMutex
	m  map[key]mark
}

// newMarks returns an empty table.
func newMarks(o Options) *marks {
	m := &marks{seed: maphash.MakeSeed(), every: o.VerifyEvery, max: max(1, o.Marks/markShards)}
	for i := range m.shards {
		m.shards[i].m = make(map[key]mark)
	}
	return m
}

// shard returns the part that k belongs to. The first byte would do as well; the second
// keeps the blobs of one bin apart.
func (m *marks) shard(k key) *markShard { return &m.shards[k[1]%markShards] }

// holds reports whether k was found right as the file id, lately enough.
func (m *marks) holds(k key, id ident, now time.Duration) bool {
	s := m.shard(k)
	s.mu.RLock()
	got, ok := s.m[k]
	s.mu.RUnlock()
	return ok && now-got.at < m.every && got.fingerprint == maphash.Comparable(m.seed, id)
}

// set notes that k was found right as the file id.
func (m *marks) set(k key, id ident, now time.Duration) {
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.m[k]; !known && len(s.m) >= m.max {
		for old := range s.m { // any one: which is a matter of cost only
			delete(s.m, old)
			break
		}
	}
	s.m[k] = mark{maphash.Comparable(m.seed, id), now}
}

// drop forgets k.
func (m *marks) drop(k key) {
	s := m.shard(k)
	s.mu.Lock()
	delete(s.m, k)
	s.mu.Unlock()
}

// len returns how many marks there are.
func (m *marks) len() (n int64) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.RLock()
		n += int64(len(s.m))
		s.mu.RUnlock()
	}
	return n
}
