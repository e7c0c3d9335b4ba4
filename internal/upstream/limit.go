package upstream

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// A limiter bounds how many requests run at once, for each host on its own. It forgets
// hosts that nobody uses. The zero limiter is ready. Safe for concurrent use.
type limiter struct {
	mu    sync.Mutex
	hosts map[string]*lane
}

// A lane is one host's share.
type lane struct {
	sem   *semaphore.Weighted
	users int // waiting or running
}

// acquire waits for a free place among n for a host, in order of arrival. The caller calls
// release exactly once, unless there is an error, which is ctx's.
func (l *limiter) acquire(ctx context.Context, host string, n int64) (release func(), err error) {
	l.mu.Lock()
	if l.hosts == nil {
		l.hosts = make(map[string]*lane)
	}
	s := l.hosts[host]
	if s == nil {
		s = &lane{sem: semaphore.NewWeighted(n)}
		l.hosts[host] = s
	}
	s.users++
	l.mu.Unlock()
	if err := s.sem.Acquire(ctx, 1); err != nil {
		l.leave(host, s)
		return nil, err
	}
	return func() {
		s.sem.Release(1)
		l.leave(host, s)
	}, nil
}

// leave forgets a host that nobody waits for any more.
func (l *limiter) leave(host string, s *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(l.hosts, host)
	}
}
