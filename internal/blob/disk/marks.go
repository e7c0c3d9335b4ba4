package disk

import (
	"hash/maphash"
	"sync"
	"time"

	"sutler/internal/digest"
)

// A key names a blob in the tables of this package.
type key = digest.Key

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
