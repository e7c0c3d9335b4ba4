package ca

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	// Overlap is how long the authority that signs and the next one stand side by side,
	// unless Rotate is told otherwise: longer than any build runs.
	Overlap = 24 * time.Hour
	// rotateBefore is how long before the end of an authority Settle rotates by itself, and
	// autoOverlap the overlap then: whoever put the root into a trust store has to do so again.
	rotateBefore = 45 * 24 * time.Hour
	autoOverlap  = 14 * 24 * time.Hour
)

// ErrRotating means that a rotation runs already.
var ErrRotating = errors.New("a rotation runs already")

// Rotate makes the next authority. Bundles name both from now on; after the overlap Settle
// lets the next one sign. Without an overlap it signs at once, and clients that hold an older
// bundle do not trust it: that is for a key that may have been stolen. It then also cuts
// short a rotation that runs; with an overlap, the error is ErrRotating.
func (c *CA) Rotate(overlap time.Duration) error {
	c.rotating.Lock()
	defer c.rotating.Unlock()
	return c.change(func(folder *os.Root) error {
		now, next := c.current()
		if next != nil && overlap > 0 {
			return fmt.Errorf("%w; the next authority signs from %s on", ErrRotating, next.starts.Format(time.RFC3339))
		}
		if next == nil {
			if err := c.begin(folder, now, overlap); err != nil {
				return err
			}
		}
		if overlap > 0 {
			return nil
		}
		return c.finish(folder)
	})
}

// Settle does what is due: it rotates well before the authority ends, and ends a rotation
// whose overlap is over. It says what it did, "" if nothing. It is called now and then.
func (c *CA) Settle() (did string, err error) {
	c.rotating.Lock()
	defer c.rotating.Unlock()
	signs, next := c.current()
	now := c.now()
	switch {
	case next != nil && !now.Before(next.starts):
		did = "the next local authority signs from now on; the key of the old one is destroyed"
		err = c.change(c.finish)
	case next == nil && now.After(signs.issuer.NotAfter.Add(-rotateBefore)):
		did = "made the next local authority: this one ends on " + signs.issuer.NotAfter.Format(time.DateOnly)
		err = c.change(func(folder *os.Root) error { return c.begin(folder, signs, autoOverlap) })
	}
	return did, err
}

// change opens the folder for f.
func (c *CA) change(f func(folder *os.Root) error) error {
	folder, err := openFolder(c.dir)
	if err != nil {
		return err
	}
	return errors.Join(f(folder), folder.Close())
}

// begin makes the next authority. It signs at the latest when the old one cannot any more.
func (c *CA) begin(folder *os.Root, old *signer, overlap time.Duration) error {
	now := c.now()
	next, err := create(c.hosts, now)
	if err != nil {
		return err
	}
	next.starts = earlier(now.Add(max(0, overlap)), old.issuer.NotAfter.Add(-leafLife)).Truncate(time.Second)
	text, err := encode(next)
	if err != nil {
		return err
	}
	if err := writeKey(folder, nextName, text); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = next
	return nil
}

// finish lets the next authority sign.
func (c *CA) finish(folder *os.Root) error {
	destroy, err := promote(folder)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.signer, c.next, c.leaves = c.next, nil, make(map[string]*tls.Certificate)
	c.mu.Unlock()
	return destroy()
}
