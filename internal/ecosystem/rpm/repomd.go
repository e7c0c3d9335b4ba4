package rpm

import (
	"bytes"
	"context"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/pgp"
)

const maxIndexes = 1000 // that a repomd.xml may list; distributions have 20

// repomd checks a repomd.xml and emits what it lists.
func (e *Ecosystem) repomd(ctx context.Context, in inspection, src ecosystem.Source) (ecosystem.Evidence, error) {
	raw, err := readSmall(in.doc)
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	stated, err := parseRepomd(ctx, raw)
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	signed, err := e.verify(ctx, in, raw, src)
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	return ecosystem.Evidence{Signer: signed.Signer, Note: signed.Note, Dated: stated.dated(), Expires: signed.Expires}, in.list(stated)
}

// verify checks a repomd.xml against the signature beside it. Nobody is asked for one if
// there is no key that it could be by.
func (e *Ecosystem) verify(ctx context.Context, in inspection, raw []byte, src ecosystem.Source) (pgp.Verdict, error) {
	if !e.signed {
		return pgp.Verdict{Note: "no key to check a signature with"}, nil
	}
	return e.keys.Beside(ctx, raw, src, in.signature(in.base))
}

// A statement is what a repomd.xml says.
type statement struct {
	revision int64 // seconds since 1970, 0 if it is no such number
	newest   int64 // of the times of the indexes
	indexes  []index
}

// An index is a file that a repomd.xml lists.
type index struct {
	kind, href string // href: a URL once it is resolved
	digest     digest.Digest
	size       int64
}

// parseRepomd reads a repomd.xml.
func parseRepomd(ctx context.Context, raw []byte) (statement, error) {
	var s statement
	var x index
	w := walk{root: "repomd", end: func(path []element) error {
		el := &path[len(path)-1]
		switch {
		case len(path) == 2 && el.name == "revision":
			s.revision = seconds(el.content())
		case len(path) == 2 && el.name == "data":
			x.kind = el.value("type")
			if len(s.indexes) == maxIndexes {
				return invalid("more than %d indexes", maxIndexes)
			}
			if x.href != "" && x.digest != "" {
				s.indexes = append(s.indexes, x)
			}
			x = index{size: -1}
		case len(path) == 3 && path[1].name == "data":
			return s.field(&x, el)
		}
		return nil
	}}
	x.size = -1
	return s, w.run(ctx, bytes.NewReader(raw))
}

// field takes in what is said of one index.
func (s *statement) field(x *index, el *element) (err error) {
	switch el.name {
	case "location":
		x.href = ""
		if el.value("base") == "" { // else on another host
			x.href = el.value("href")
		}
	case "checksum":
		x.digest, err = checksum(el)
	case "size":
		x.size, err = size(el.content())
	case "timestamp":
		s.newest = max(s.newest, seconds(el.content()))
	}
	return err
}

// dated returns when a repomd.xml was made; zero if it does not say.
func (s *statement) dated() time.Time {
	made := s.revision
	if made == 0 {
		made = s.newest
	}
	if made == 0 {
		return time.Time{}
	}
	return time.Unix(made, 0).UTC()
}

// kindName is what indexes are of that get an alias.
var kindName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

// list emits the indexes. Each has an alias beside its name, which is the same in every
// generation, so that it is known which indexes of the last one clients use: those must be
// there before they see the next.
func (in inspection) list(s statement) error {
	taken := map[string]bool{}
	for i, x := range s.indexes {
		u, err := in.resolve(x.href, x.digest.Hex())
		if err != nil {
			return err
		}
		if !strings.HasPrefix(u, in.origin+in.base+repodata) {
			u = "" // it is not asked for as an index
		}
		s.indexes[i].href = u
		taken[u] = true
	}
	for _, x := range s.indexes {
		if x.href == "" {
			continue
		}
		c := ecosystem.Claim{URL: x.href, Digest: x.digest, Size: x.size}
		if alias := in.origin + in.base + repodata + x.kind + ".xml"; kindName.MatchString(x.kind) && !taken[alias] {
			taken[alias] = true
			c.URL, c.Via = alias, x.href
		}
		if err := in.emit(c); err != nil {
			return err
		}
	}
	return nil
}

// checksum returns the digest that an element states, "" for an algorithm not known.
func checksum(el *element) (digest.Digest, error) {
	algorithm := strings.ToLower(el.value("type"))
	switch algorithm {
	case "sha":
		algorithm = digest.SHA1
	case digest.SHA1, digest.SHA256, digest.SHA384, digest.SHA512, digest.MD5:
	default:
		return "", nil
	}
	d, err := digest.New(algorithm, el.content())
	if err != nil {
		return "", invalid("%w", err)
	}
	return d, nil
}

// size returns a size in bytes.
func size(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, invalid("size %.40q: %w", s, err)
	}
	return int64(n), nil
}

const (
	firstSecond = 631152000   // 1990: smaller numbers count something else
	lastSecond  = 32503680000 // 3000
)

// seconds returns a time as indexes write it, in seconds since 1970, with or without a
// fraction; 0 for what is none.
func seconds(s string) int64 {
	s, _, _ = strings.Cut(s, ".")
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < firstSecond || n > lastSecond {
		return 0
	}
	return n
}
