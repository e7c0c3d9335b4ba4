package gomod

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// tree reads a signed tree head. It is evidence only if the database is a known one; then
// its signature must hold.
func (e *Ecosystem) tree(a address, signed []byte) (tlog.Tree, ecosystem.Evidence, error) {
	v, ok := e.databases[a.database]
	if !ok {
		return tlog.Tree{}, ecosystem.Evidence{Note: fmt.Sprintf("the key of %s is not known", a.database)}, nil
	}
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		return tlog.Tree{}, ecosystem.Evidence{}, forged("tree head of %s: %v", a.database, err)
	}
	t, err := tlog.ParseTree([]byte(n.Text))
	if err != nil {
		return tlog.Tree{}, ecosystem.Evidence{}, forged("tree head of %s: %v", a.database, err)
	}
	return t, ecosystem.Evidence{Signer: fmt.Sprintf("%s+%08x", v.Name(), v.KeyHash())}, nil
}

// record checks the answer to a look-up: that it is about the version asked for, and that
// the tree whose head is signed has it. The proof needs tiles; without them the record is
// of no use to any client either, so it is not kept.
func (e *Ecosystem) record(ctx context.Context, a address, answer []byte, src ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	id, text, signed, err := tlog.ParseRecord(answer)
	if err != nil {
		return ecosystem.Evidence{}, fmt.Errorf("%w: %w", ecosystem.ErrInvalid, err)
	}
	claims, err := a.claims(text)
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	t, evidence, err := e.tree(a, signed)
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	if evidence.Signer == "" {
		return evidence, nil // a database of which nothing is known vouches for nothing
	}
	if err := prove(t, id, text, &tiles{ctx: ctx, root: a, src: src}); err != nil {
		return ecosystem.Evidence{}, err
	}
	if a.database != a.vouched {
		return evidence, nil
	}
	for _, c := range claims {
		if err := emit(c); err != nil {
			return ecosystem.Evidence{}, err
		}
	}
	return evidence, nil
}

// claims returns what a record says of the files of its version: lines "module version
// hash" for the .zip, and with "/go.mod" after the version for the .mod.
func (a address) claims(text []byte) ([]ecosystem.Claim, error) {
	of := map[string]struct{ alg, file string }{
		a.module + " " + a.version + " ":        {digest.H1, "zip"},
		a.module + " " + a.version + "/go.mod ": {digest.H1Mod, "mod"},
	}
	var out []ecosystem.Claim
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		i := strings.LastIndexByte(line, ' ') + 1
		about, ok := of[line[:i]]
		if !ok || !strings.HasPrefix(line[i:], "h1:") {
			continue // other hash algorithms may come
		}
		d, err := digest.FromH1(about.alg, line[i:])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ecosystem.ErrInvalid, err)
		}
		out = append(out, ecosystem.Claim{URL: a.source(about.file), Digest: d, Size: -1})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: the record says nothing of %s %s", ecosystem.ErrInvalid, a.module, a.version)
	}
	return out, nil
}

// prove checks that the tree has that record.
func prove(t tlog.Tree, id int64, text []byte, tiles *tiles) error {
	if id >= t.N {
		return forged("record %d is not in a tree of %d", id, t.N)
	}
	got, err := tlog.TileHashReader(t, tiles).ReadHashes([]int64{tlog.StoredHashIndex(0, id)})
	switch {
	case tiles.err != nil:
		return fmt.Errorf("proof of record %d: %w", id, tiles.err)
	case err != nil:
		return forged("proof of record %d: %v", id, err)
	case got[0] != tlog.RecordHash(text):
		return forged("record %d is not the one in the tree", id)
	}
	return nil
}

// forged returns an error for what a database with a known key never said.
func forged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ecosystem.ErrInvalid, fmt.Sprintf(format, args...))
}

// tiles reads the tiles of a database through the engine.
type tiles struct {
	ctx  context.Context
	root address // any address below the database
	src  ecosystem.Source
	err  error // why a tile could not be read
}

// tileHeight is the height of the tiles that clients ask for.
const tileHeight = 8

// Height returns the height of tiles.
func (r *tiles) Height() int { return tileHeight }

// SaveTiles does nothing: the engine keeps what it fetches.
func (r *tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// ReadTiles returns tiles, which are fetched at once.
func (r *tiles) ReadTiles(list []tlog.Tile) ([][]byte, error) {
	data, errs := make([][]byte, len(list)), make([]error, len(list))
	var all sync.WaitGroup
	for i, t := range list {
		all.Go(func() { data[i], errs[i] = r.read(t) })
	}
	all.Wait()
	r.err = errors.Join(errs...)
	return data, r.err
}

// read returns one tile. A database may drop parts of a tile once it has the whole.
func (r *tiles) read(t tlog.Tile) ([]byte, error) {
	data, err := r.document(t)
	if err == nil || t.W == 1<<tileHeight {
		return data, err
	}
	whole := t
	whole.W = 1 << tileHeight
	if full, fullErr := r.document(whole); fullErr == nil {
		return full[:t.W*tlog.HashSize], nil
	}
	return nil, err
}

// document returns the bytes of a tile, which have its size.
func (r *tiles) document(t tlog.Tile) ([]byte, error) {
	a := r.root
	a.what, a.tile, a.path = tile, t, a.root+t.Path()
	a.module, a.version = "", ""
	body, err := r.src.Document(r.ctx, describe(a))
	if err != nil {
		return nil, err
	}
	data := make([]byte, t.W*tlog.HashSize)
	if body.Size != int64(len(data)) {
		return nil, checkTile(t, nil)
	}
	if _, err := body.ReadAt(data, 0); err != nil && body.Size > 0 {
		return nil, fmt.Errorf("%s: %w", body.Resource.URL, err)
	}
	return data, nil
}
