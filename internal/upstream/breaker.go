package upstream

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

const (
	breakAfter = 5               // connections in a row that failed
	breakPause = 5 * time.Second // then the host is left alone for that long
	maxBroken  = 4096            // hosts remembered: clients name as many as they like
)

// errBroken is why a host is not asked now. It is final: another try would fail as well.
var errBroken = final{errors.New("it did not answer the last times; it is asked again in a moment")}

// breakers remember the hosts that do not answer, so that a build that could be served
// from the store does not wait for each of them again and again. An answer of any status
// is an answer. The zero value is ready. Safe for concurrent use.
type breakers struct {
	mu     sync.Mutex
	byHost map[string]circuitbreaker.CircuitBreaker[any] // by host:port
}

// of returns the breaker of a host.
func (b *breakers) of(host string) circuitbreaker.CircuitBreaker[any] {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c, ok := b.byHost[host]; ok {
		return c
	}
	if b.byHost == nil {
		b.byHost = make(map[string]circuitbreaker.CircuitBreaker[any])
	}
	for other := range b.byHost {
		if len(b.byHost) < maxBroken {
			break
		}
		delete(b.byHost, other) // any: at worst it is waited for again
	}
	c := circuitbreaker.NewBuilder[any]().WithFailureThreshold(breakAfter).WithDelay(breakPause).Build()
	b.byHost[host] = c
	return c
}

// try runs a request to a host under its breaker.
func (b *breakers) try(ctx context.Context, host string, request func() error) error {
	breaker := b.of(host)
	if !breaker.TryAcquirePermit() {
		return errBroken
	}
	err := request()
	if err == nil || ctx.Err() != nil {
		breaker.RecordSuccess() // who hung up says nothing of the host
	} else {
		breaker.RecordFailure()
	}
	return err
}
