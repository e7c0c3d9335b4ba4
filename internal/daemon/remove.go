package daemon

import (
	"context"
	"errors"
	"strings"
	"time"

	"sutler/internal/control"
	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/index"
)

// step is how many bytes are evicted between two reports.
const step = 256 << 20

// Purge implements control.Stock: it forgets entries, and deletes the blobs that nothing
// else refers to.
func (s stock) Purge(ctx context.Context, r control.PurgeRequest, report func(control.Progress)) (control.Removed, error) {
	if strings.TrimSpace(r.Match) == "" && !r.All {
		return control.Removed{}, errors.New("purge needs a pattern, or --all")
	}
	entries, err := s.matching(ctx, r.Match, 0)
	if err != nil {
		return control.Removed{}, err
	}
	var gone removal
	for _, en := range entries {
		gone.forget(en)
	}
	return s.remove(ctx, gone, r.DryRun, report)
}

// A removal is what is to be removed.
type removal struct {
	keys  []string
	blobs map[digest.Digest]bool
}

// forget adds an entry.
func (r *removal) forget(en index.Entry) {
	r.keys = append(r.keys, en.Key)
	r.drop(en)
}

// drop adds the blobs of an entry, which itself stays.
func (r *removal) drop(en index.Entry) {
	if r.blobs == nil {
		r.blobs = map[digest.Digest]bool{}
	}
	r.blobs[en.Blob] = true
	if en.Table != "" {
		r.blobs[en.Table] = true
	}
}

// remove forgets entries and deletes those of the blobs that no entry refers to any more.
func (s stock) remove(ctx context.Context, r removal, dryRun bool, report func(control.Progress)) (control.Removed, error) {
	got := control.Removed{Entries: int64(len(r.keys))}
	if !dryRun {
		if err := s.d.index.Delete(ctx, r.keys...); err != nil {
			return got, err
		}
		s.d.engine.Forget(r.keys...)
	}
	tell, done := pace(report), int64(0)
	for d := range r.blobs {
		if err := s.drop(ctx, d, dryRun, &got); err != nil {
			return got, err
		}
		done++
		tell(control.Progress{Blobs: done, Total: int64(len(r.blobs)), Bytes: got.Bytes})
	}
	return got, nil
}

// drop deletes a blob if no entry refers to it.
func (s stock) drop(ctx context.Context, d digest.Digest, dryRun bool, got *control.Removed) error {
	size, ok := s.d.blobs.Has(ctx, d)
	if !ok {
		return nil
	}
	if !dryRun {
		if used, err := s.d.index.Refers(ctx, d); err != nil || used {
			return err
		}
		if err := s.evict(ctx, d); err != nil {
			return err
		}
	}
	got.Blobs++
	got.Bytes += size
	return nil
}

// evict deletes a blob.
func (s stock) evict(ctx context.Context, d digest.Digest) error {
	if err := s.d.blobs.Delete(ctx, d); err != nil {
		return err
	}
	s.d.collector.Removed(d)
	return nil
}

// Prune implements control.Stock.
func (s stock) Prune(ctx context.Context, r control.PruneRequest, report func(control.Progress)) (got control.Removed, err error) {
	if r.Older > 0 {
		if got, err = s.pruneOlder(ctx, r, report); err != nil || r.MaxSize == 0 {
			return got, err
		}
	}
	limit := r.MaxSize
	if limit == 0 {
		limit = s.d.config.Store.MaxSize
	}
	bytes, _ := s.d.collector.Usage()
	if r.DryRun {
		bytes -= got.Bytes
	}
	if limit == 0 || bytes <= limit {
		return got, nil
	}
	if r.DryRun {
		blobs, freed, err := s.d.collector.Evict(ctx, bytes-limit, true)
		return control.Removed{Entries: got.Entries, Blobs: got.Blobs + blobs, Bytes: got.Bytes + freed}, err
	}
	tell := pace(report)
	for left := bytes - limit; left > 0; {
		blobs, freed, err := s.d.collector.Evict(ctx, min(left, step), false)
		got.Blobs, got.Bytes, left = got.Blobs+blobs, got.Bytes+freed, left-freed
		if err != nil || blobs == 0 {
			return got, err
		}
		tell(control.Progress{Blobs: got.Blobs, Bytes: got.Bytes})
	}
	return got, nil
}

// pruneOlder removes what no build used and no origin confirmed for so long. What nobody
// vouches for keeps its entry: it is all that pins the name to its bytes.
func (s stock) pruneOlder(ctx context.Context, r control.PruneRequest, report func(control.Progress)) (got control.Removed, err error) {
	entries, err := s.d.index.List(ctx, index.Query{})
	if err != nil {
		return got, err
	}
	before := time.Now().Add(-r.Older)
	used, err := s.d.receipts.UsedSince(ctx, before)
	if err != nil {
		return got, err
	}
	live := inUse(entries, func(en index.Entry) bool {
		return en.Stored.After(before) || en.Checked.After(before) || used[en.Blob]
	})
	var gone, pins removal
	kept := map[digest.Digest]bool{}
	for _, en := range entries {
		switch {
		case en.Ecosystem == privateMark: // about a blob, not one of its uses
		case live[en.Key]:
			kept[en.Blob], kept[en.Table] = true, true
		case en.Kind == ecosystem.Artifact && en.Trust == index.Unvouched:
			pins.drop(en)
		default:
			gone.forget(en)
		}
	}
	for d := range pins.blobs {
		if size, ok := s.d.blobs.Has(ctx, d); ok && !kept[d] {
			if err := s.unpin(ctx, d, r.DryRun); err != nil {
				return got, err
			}
			got.Blobs, got.Bytes = got.Blobs+1, got.Bytes+size
		}
	}
	for d := range kept {
		delete(gone.blobs, d)
	}
	more, err := s.remove(ctx, gone, r.DryRun, report)
	return control.Removed{Entries: more.Entries, Blobs: got.Blobs + more.Blobs, Bytes: got.Bytes + more.Bytes}, err
}

// privateMark is the ecosystem of the entries that mark blobs as fetched with a credential.
const privateMark = "private"

// unpin deletes a blob whose entry stays.
func (s stock) unpin(ctx context.Context, d digest.Digest, dryRun bool) error {
	if dryRun {
		return nil
	}
	return s.evict(ctx, d)
}

// inUse returns the keys of the entries that are used, and of the documents that vouch for
// those: without them they would be worth less.
func inUse(entries []index.Entry, used func(index.Entry) bool) map[string]bool {
	live, byKey := map[string]bool{}, make(map[string]index.Entry, len(entries))
	for _, en := range entries {
		byKey[en.Key] = en
	}
	for _, en := range entries {
		if !used(en) {
			continue
		}
		for known := true; known && !live[en.Key]; en, known = byKey[en.Voucher] {
			live[en.Key] = true
		}
	}
	return live
}
