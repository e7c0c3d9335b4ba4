package upstream

import (
	"errors"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

const (
	breakAfter = 5               // connections in a row that failed
	breakPause = 5 * time.Second // then the host is left alone for that long
)

// errBroken is why a host is not asked now. It is final: another try would fail as well.
var errBroken = final{errors.New("it did not answer the last times; it is asked again in a moment")}

// breakers remember the hosts that do not answer, so that a build that could be served
// from the store does not wait for each of them again and again. An answer of any status
// is an answer. The zero value is ready. Safe for concurrent use.
type breakers struct{ byHost sync.Map } // hostport → circuitbreaker.CircuitBreaker[any]

// of returns the breaker of a host.
func (b *breakers) of(host string) circuitbreaker.CircuitBreaker[any] {
	if c, ok := b.byHost.Load(host); ok {
		return c.(circuitbreaker.CircuitBreaker[any])
	}
	c, _ := b.byHost.LoadOrStore(host, circuitbreaker.NewBuilder[any]().WithFailureThreshold(breakAfter).WithDelay(breakPause).Build())
	return c.(circuitbreaker.CircuitBreaker[any])
}
