package daemon

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"time"

	"sutler/internal/blob"
	"sutler/internal/control"
	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/oci"
	"sutler/internal/ecosystem/pypi"
	"sutler/internal/index"
)

// stock implements control.Stock.
type stock struct{ d *process }

// Items implements control.Stock.
func (s stock) Items(ctx context.Context, match string, limit int) ([]control.Item, error) {
	entries, err := s.matching(ctx, match, limit)
	if err != nil {
		return nil, err
	}
	items := make([]control.Item, 0, len(entries))
	for _, en := range entries {
		items = append(items, s.item(ctx, en))
	}
	return items, nil
}

// matching returns the entries that a pattern means: those that have it in their URL or
// package or, if there are none, those that have it as it is stored.
func (s stock) matching(ctx context.Context, match string, limit int) ([]index.Entry, error) {
	entries, err := s.d.index.List(ctx, index.Query{Match: match, Limit: limit})
	for _, other := range s.spellings(match) {
		if err != nil || len(entries) > 0 {
			break
		}
		other.Limit = limit
		entries, err = s.d.index.List(ctx, other)
	}
	return entries, err
}

// pythonic is what may stand in names of Python packages where they are stored with a hyphen.
var pythonic = regexp.MustCompile(`[-_.]+`)

// spellings returns how what clients are told may be stored, the nearest first: a URL with
// another scheme, or as an ecosystem writes it; an image; a package and its version; a
// Python package by any of its names.
func (s stock) spellings(match string) []index.Query {
	_, bare, found := strings.Cut(match, "://")
	if !found {
		bare = match
	}
	if bare == "" {
		return nil
	}
	out := []index.Query{{Match: bare}}
	name, host := bare, ""
	if h, rest, path := strings.Cut(bare, "/"); path && strings.ContainsAny(h, ".:") {
		name, host = rest, h
		for _, key := range s.keys("https://" + bare) {
			of, rest, _ := strings.Cut(key, " ")
			_, rest, _ = strings.Cut(rest, "://")
			rest, _, _ = strings.Cut(rest, " ")
			out = append(out, index.Query{Ecosystem: of, Match: rest})
		}
	}
	base := strings.LastIndexByte(name, '/') + 1
	version := ""
	if i := strings.IndexAny(name[base:], "@:"); i > 0 {
		name, version = name[:base+i], name[base+i+1:]
		out = append(out, index.Query{Match: "/" + name[base:] + "-" + version})
		version = "manifests/" + version
	}
	if name != "" && (host != "" || version != "") {
		// The host is often another than the name of the registry, so it does not count.
		out = append(out, index.Query{Ecosystem: oci.Name, Match: "/" + name + "/" + version})
	}
	return append(out, index.Query{Ecosystem: pypi.Name, Match: pythonic.ReplaceAllString(match, "-")})
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
		for _, key := range s.keys(name) {
			if en, err = s.d.index.Entry(ctx, key); err == nil {
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

// keys returns the keys under which a URL may be stored, as it is written or as the
// ecosystems spell it: people copy URLs from clients, which spell them in other ways.
func (s stock) keys(rawURL string) []string {
	var keys []string
	for _, p := range s.d.profiles {
		keys = append(keys, ecosystem.Key(p.Name, rawURL, ""))
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		return keys
	}
	for _, e := range s.d.ecosystems {
		if res, err := e.Classify(ecosystem.Request{Method: "GET", URL: u}); err == nil {
			keys = append(keys, res.Key())
		}
	}
	return keys
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

// Verify implements control.Stock.
func (s stock) Verify(ctx context.Context, report func(control.Progress)) (control.Progress, error) {
	var p control.Progress
	_, p.Total = s.d.collector.Usage()
	tell := pace(report)
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
		tell(p)
	}
	return p, nil
}

// reportEvery is how often a long operation says how far it has come.
const reportEvery = 200 * time.Millisecond

// pace returns report, called no more often than people can read.
func pace(report func(control.Progress)) func(control.Progress) {
	last := time.Now()
	return func(p control.Progress) {
		if time.Since(last) >= reportEvery {
			last = time.Now()
			report(p)
		}
	}
}
