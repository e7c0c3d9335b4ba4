package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sutler/internal/control"
	"sutler/internal/engine"
	"sutler/internal/receipt"
)

// maxTrouble is how many past troubles `status` shows.
const maxTrouble = 20

// trouble collects what no client sees and somebody may have to act on.
type trouble struct {
	log  *slog.Logger
	mu   sync.Mutex
	last []string
}

// add notes an error; nil is none.
func (t *trouble) add(err error) {
	if err == nil {
		return
	}
	t.log.Warn("trouble", "err", err.Error())
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, time.Now().Format(time.DateTime)+" "+err.Error())
	if len(t.last) > maxTrouble {
		t.last = t.last[len(t.last)-maxTrouble:]
	}
}

// once notes an error, unless its text is the last one's or was noted lately: for what is
// tried again and again.
func (t *trouble) once(err error) {
	if err == nil {
		return
	}
	t.mu.Lock()
	known := slices.ContainsFunc(t.last, func(line string) bool { return strings.HasSuffix(line, " "+err.Error()) })
	t.mu.Unlock()
	if !known {
		t.add(err)
	}
}

func (t *trouble) list() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.last...)
}

// outcomes lists all outcomes, in the order in which tally counts them.
var outcomes = [...]engine.Outcome{engine.Hit, engine.Revalidated, engine.Miss, engine.Joined, engine.Stale, engine.Bypass, engine.Refused, engine.Bad, engine.Error}

// A tally counts answers for `status`, without a lock: it stands in the way of every hit.
type tally struct {
	answers   [len(outcomes)]atomic.Int64
	bytes     atomic.Int64
	fromStore atomic.Int64
	failed    atomic.Pointer[receipt.Line] // the last one with outcome Error or Bad; nil if none
}

// sink passes receipt lines on to the store of receipts, and counts them.
type sink struct {
	tally *tally
	seen  func(build string)
	next  receipt.Sink
}

// sink returns what takes the lines of receipts.
func (d *process) sink() receipt.Sink {
	return sink{&d.tally, d.steps.records.seen, d.receipts}
}

// Append implements receipt.Sink.
func (s sink) Append(l receipt.Line) {
	for i, o := range outcomes {
		if string(o) != l.Outcome {
			continue
		}
		s.tally.answers[i].Add(1)
		s.tally.bytes.Add(l.Bytes)
		if o == engine.Hit || o == engine.Revalidated || o == engine.Stale {
			s.tally.fromStore.Add(l.Bytes)
		}
	}
	if l.Outcome == string(engine.Error) || l.Outcome == string(engine.Bad) {
		failed := l // only this one has to stay
		s.tally.failed.Store(&failed)
	}
	s.seen(l.Build)
	s.next.Append(l)
}

// counters returns what was counted.
func (t *tally) counters() control.Counters {
	c := control.Counters{Answers: map[string]int64{}, Bytes: t.bytes.Load(), FromStore: t.fromStore.Load()}
	for i, o := range outcomes {
		if n := t.answers[i].Load(); n > 0 {
			c.Answers[string(o)] = n
		}
	}
	if l := t.failed.Load(); l != nil {
		c.LastError = fmt.Sprintf("%s %s: %s", l.At.Local().Format(time.DateTime), l.URL, l.Error)
	}
	return c
}

// Status implements control.Daemon.
func (d *process) Status(context.Context) (control.Status, error) {
	bytes, blobs := d.collector.Usage()
	s := control.Status{Version: d.options.Version, PID: os.Getpid(), Started: d.started, Listen: d.listeners.addresses(),
		Offline: d.config.Upstream.Offline, Counters: d.tally.counters(), Trouble: d.trouble.list(), Settings: d.now().Texts(), DropIns: d.options.DropIns,
		Store: control.Store{Dir: d.config.Store.Dir, Bytes: bytes, Blobs: blobs, MaxSize: d.config.Store.MaxSize}}
	s.Led, s.Named = d.listeners.ledTo(), d.naming.names()
	for _, b := range d.conduit.Doubts() {
		s.Tunnelled = append(s.Tunnelled, doubtText(b))
	}
	s.CA = d.caStatus()
	free, err := freeBytes(d.config.Store.Dir)
	s.Store.Free = free
	if err == nil && free < d.config.Store.MinFree {
		s.Trouble = append(s.Trouble, fmt.Sprintf("the file system of %s has less free than store.min_free = %s: what is stored is soon deleted again",
			d.config.Store.Dir, s.Settings["store.min_free"]))
	}
	return s, err
}

// Stop implements control.Daemon.
func (d *process) Stop() { d.stop() }
