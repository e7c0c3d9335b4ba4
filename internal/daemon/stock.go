package daemon

import (
	"context"
	"errors"
	"strings"
	"time"

	"sutler/internal/blob"
	"sutler/internal/control"
	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/index"
)

// stock implements control.Stock.
type stock struct{ d *process }

// Items implements control.Stock.
func (s stock) Items(ctx context.Context, match string, limit int) ([]control.Item, error) {
	entries, err := s.d.index.List(ctx, index.Query{Match: match, Limit: limit})
	if err != nil {
		return nil, err
	}
	items := make([]control.Item, 0, len(entries))
	for _, en := range entries {
		items = append(items, s.item(ctx, en))
	}
	return items, nil
}

// item describes an entry.
func (s stock) item(ctx context.Context, en index.Entry) control.Item {
	_, present := s.d.blobs.Has(ctx, en.Blob)
	i := control.Item{Key: en.Key, Ecosystem: en.Ecosystem, URL: en.URL, Kind: en.Kind.String(), Package: en.Package,
		Version: en.Version, Digest: en.Blob, Size: en.Size, Present: present, Stored: en.Stored, Checked: en.Checked,
		Origin: en.Origin, Trust: string(en.Trust), Voucher: en.Voucher, Signer: en.Evidence.Signer, Note: en.Evidence.Note}
	if en.Kind == ecosystem.Document {
		i.Fresh = en.Checked.Add(en.Lifetime)
	}
	return i
}

// Item implements control.Stock.
func (s stock) Item(ctx context.Context, name string) (control.Item, error) {
	en, err := s.d.index.Entry(ctx, name)
	if errors.Is(err, index.ErrNotFound) {
		for _, p := range s.d.profiles {
			if en, err = s.d.index.Entry(ctx, ecosystem.Key(p.Name, name, "")); err == nil {
				break
			}
		}
	}
	if err != nil {
		return control.Item{}, err
	}
	i := s.item(ctx, en)
	used, err := s.d.receipts.UsedBy(ctx, en.Blob)
	for _, b := range used {
		i.Builds = append(i.Builds, b.ID)
	}
	return i, err
}

// Usage implements control.Stock.
func (s stock) Usage(ctx context.Context) ([]control.Usage, error) {
	all, err := s.d.index.Usage(ctx)
	out := make([]control.Usage, 0, len(all))
	for _, u := range all {
		out = append(out, control.Usage{Ecosystem: u.Ecosystem, Kind: u.Kind.String(), Entries: u.Entries, Bytes: u.Bytes})
	}
	return out, err
}

// Purge implements control.Stock: it forgets entries, and deletes the blobs that nothing
// else refers to.
func (s stock) Purge(ctx context.Context, r control.PurgeRequest) (control.Removed, error) {
	if strings.TrimSpace(r.Match) == "" && !r.All {
		return control.Removed{}, errors.New("purge needs a pattern, or --all")
	}
	entries, err := s.d.index.List(ctx, index.Query{Match: r.Match})
	if err != nil {
		return control.Removed{}, err
	}
	var got control.Removed
	var keys []string
	blobs := map[digest.Digest]bool{}
	for _, en := range entries {
		keys = append(keys, en.Key)
		blobs[en.Blob] = true
		if en.Table != "" {
			blobs[en.Table] = true
		}
	}
	got.Entries = int64(len(keys))
	if !r.DryRun {
		if err := s.d.index.Delete(ctx, keys...); err != nil {
			return got, err
		}
		s.d.engine.Forget(keys...)
	}
	for d := range blobs {
		if err := s.drop(ctx, d, r.DryRun, &got); err != nil {
			return got, err
		}
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
		if err := s.d.blobs.Delete(ctx, d); err != nil {
			return err
		}
		s.d.collector.Removed(d)
	}
	got.Blobs++
	got.Bytes += size
	return nil
}

// Verify implements control.Stock.
func (s stock) Verify(ctx context.Context, report func(control.Progress)) (control.Progress, error) {
	var p control.Progress
	_, p.Total = s.d.collector.Usage()
	last := time.Now()
	for d, err := range s.d.blobs.All(ctx) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return p, err
		}
		n, err := s.d.blobs.Check(ctx, d)
		if errors.Is(err, blob.ErrNotFound) {
			continue // evicted meanwhile
		}
		p.Blobs++
		p.Bytes += n
		if err != nil {
			p.Damaged++
			s.d.trouble.add(err)
		}
		if time.Since(last) > 200*time.Millisecond {
			report(p)
			last = time.Now()
		}
	}
	return p, nil
}

// Prune implements control.Stock.
func (s stock) Prune(ctx context.Context, r control.PruneRequest) (control.Removed, error) {
	limit := r.MaxSize
	if limit == 0 {
		limit = s.d.config.Store.MaxSize
	}
	bytes, _ := s.d.collector.Usage()
	if limit == 0 || bytes <= limit {
		return control.Removed{}, nil
	}
	blobs, freed, err := s.d.collector.Evict(ctx, bytes-limit, r.DryRun)
	return control.Removed{Blobs: blobs, Bytes: freed}, err
}
