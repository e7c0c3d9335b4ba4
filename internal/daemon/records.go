package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"sutler/internal/ociruntime"
	"sutler/internal/receipt"
)

// Bounds of what is remembered of steps.
const (
	maxRecords = 4096
	maxCommand = 300 // bytes of a step's command that a receipt shows
	// settle is how long after its end the last lines of a step may come in.
	settle = 2 * time.Second
	// quiet is when the processes of a step that asks for nothing are looked for: not all
	// engines say that it has ended.
	quiet = 10 * time.Second
	// forget is when a step that asks for nothing counts as ended if no process of it was
	// ever seen: sutler may be in a container.
	forget = 10 * time.Minute
)

// records are the receipts of build steps that sutler-runc has reported: one for each step,
// begun when the first line for it comes in, so that steps that fetch nothing leave none.
// Steps are all that engines tell apart: nothing in a bundle says which build it is of.
type records struct {
	mu    sync.Mutex
	steps map[string]*record // by id
	first chan string        // ids of steps that have asked for the first time
}

// A record is what is remembered of one step.
type record struct {
	build     receipt.Build
	container string
	asked     bool      // first was told
	begun     bool      // the store of receipts knows it
	last      time.Time // sign of life
	visible   bool      // its processes can be seen
	ended     time.Time // zero while it runs
}

func newRecords() records {
	return records{steps: map[string]*record{}, first: make(chan string, 64)}
}

// report notes the beginning or the end of a step.
func (r *records) report(p ociruntime.Report, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.ID == "" {
		for _, s := range r.steps {
			if s.container == p.Container && s.ended.IsZero() {
				s.ended = now
			}
		}
		return
	}
	if len(r.steps) < maxRecords {
		r.steps[p.ID] = &record{build: receipt.Build{ID: p.ID, Command: command(p), Started: now}, container: p.Container, last: now}
	}
}

// has reports whether there is a step of that id.
func (r *records) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.steps[id] != nil
}

// running returns the container of each step that runs, by the step's id.
func (r *records) running() map[string]string { return r.silentSince(time.Now()) }

// silentSince returns the container of each step that runs without a sign of life since a
// time, by the step's id.
func (r *records) silentSince(then time.Time) map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]string{}
	for id, s := range r.steps {
		if s.ended.IsZero() && s.container != "" && !s.last.After(then) {
			out[id] = s.container
		}
	}
	return out
}

// looked notes which of some steps have processes; of those that had some, and have none, it
// notes the end.
func (r *records) looked(steps map[string]string, alive []string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range steps {
		s := r.steps[id]
		switch {
		case s == nil:
		case slices.Contains(alive, id):
			s.last, s.visible = now, true
		case s.visible && s.ended.IsZero():
			s.ended = now
		}
	}
}

// seen notes that a build was served something. It never waits.
func (r *records) seen(id string) {
	if id == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.steps[id]
	if s == nil {
		return
	}
	s.last = time.Now()
	if !s.asked {
		select {
		case r.first <- id:
			s.asked = true
		default: // the next line tries again
		}
	}
}

// begin begins the receipt of a step.
func (r *records) begin(ctx context.Context, store receipt.Store, id string) error {
	r.mu.Lock()
	s := r.steps[id]
	if s == nil {
		r.mu.Unlock()
		return nil
	}
	s.begun = true
	b := s.build
	r.mu.Unlock()
	return store.Begin(ctx, b)
}

// end ends the receipts of the steps that have ended by now.
func (r *records) end(ctx context.Context, store receipt.Store, now time.Time) error {
	over := map[string]time.Time{}
	r.mu.Lock()
	for id, s := range r.steps {
		at := s.ended
		if at.IsZero() {
			if now.Sub(s.last) < forget {
				continue
			}
			at = s.last
		}
		if now.Sub(at) < settle {
			continue
		}
		delete(r.steps, id)
		if s.begun {
			over[id] = at
		}
	}
	r.mu.Unlock()
	var errs []error
	for id, at := range over {
		errs = append(errs, store.End(ctx, id, at, receipt.ExitUnknown))
	}
	return errors.Join(errs...)
}

// command writes a step as its Dockerfile might have it.
func command(p ociruntime.Report) string {
	text := ""
	if n := len(p.Args); n == 3 && p.Args[1] == "-c" {
		text = strings.Join(strings.Fields(p.Args[2]), " ")
	} else {
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false) // for people
		_ = e.Encode(p.Args)   // strings can be encoded
		text = strings.TrimSpace(b.String())
	}
	if len(text) > maxCommand {
		text = strings.ToValidUTF8(text[:maxCommand], "") + " …"
	}
	return p.Builder + ": RUN " + text
}
