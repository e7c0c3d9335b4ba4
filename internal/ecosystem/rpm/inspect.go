package rpm

import (
	"context"
	"net/url"
	"path"
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/pgp"
	"sutler/internal/unpack"
	"sutler/internal/urlpath"
)

// Inspect checks the signature of a repomd.xml, and emits what it and primary list. Other
// documents make no claims; they are only refused if they are no such file at all.
func (e *Ecosystem) Inspect(ctx context.Context, doc ecosystem.Body, src ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	none := ecosystem.Evidence{}
	u, err := url.Parse(doc.Resource.URL)
	if err != nil {
		return none, invalid("URL: %v", err)
	}
	if kind, ok := listOf(doc.Resource.URL); ok {
		return none, checkList(kind, doc)
	}
	dir, name := path.Split(u.EscapedPath())
	base, ok := strings.CutSuffix(dir, repodata)
	if !ok {
		return none, invalid("not a file of a repository")
	}
	in := inspection{location: location{origin: u.Scheme + "://" + u.Host}, base: base, doc: doc, emit: emit}
	switch name {
	case repomd:
		return e.repomd(ctx, in, src)
	case signature:
		b, err := readSmall(doc)
		if err != nil {
			return none, err
		}
		return none, pgp.CheckSignature(b)
	case publicKey:
		return none, unpack.CheckShape(name, doc)
	}
	switch contents(name) {
	case "primary":
		return none, in.primary(ctx)
	case "prestodelta":
		return none, in.deltas(ctx)
	}
	return none, unpack.CheckShape(name, doc)
}

// checkList refuses what is no list of mirrors.
func checkList(kind string, doc ecosystem.Body) error {
	b, err := readSmall(doc)
	if err != nil {
		return err
	}
	if kind == metalinkType {
		_, err = parseMetalink(b)
	} else {
		_, err = parseList(b)
	}
	return err
}

// contents returns what an index in XML holds, by its name: "primary". It is "" for
// indexes that are packed as zchunk, of which only the client knows what is inside.
func contents(name string) string {
	if m := indexName.FindStringSubmatch(name); m != nil && m[1] != "" {
		name = name[len(m[1])+1:]
	}
	what, ext, _ := strings.Cut(name, ".")
	if ext, _, _ = strings.Cut(ext, "."); ext != "xml" || strings.HasSuffix(name, ".zck") {
		return ""
	}
	return what
}

// An inspection is of one document of the repository with that base.
type inspection struct {
	location
	base string
	doc  ecosystem.Body
	emit func(ecosystem.Claim) error
}

// resolve returns the URL of a file that an index names. It is "" for one that the index
// may not speak of: on another host, or outside of the repository unless its path holds
// its digest. On a host that many share it would belong to somebody else, who could be
// given other bytes of the same host that way.
func (in inspection) resolve(href, sum string) (string, error) {
	base := in.base
	for strings.HasPrefix(href, "./") {
		href = href[2:]
	}
	for strings.HasPrefix(href, "../") {
		href = href[3:]
		base = base[:strings.LastIndexByte(strings.TrimSuffix(base, "/"), '/')+1]
		if base == "" {
			return "", invalid("a file above of the host: %.120q", href)
		}
	}
	if base != in.base && (len(sum) < 64 || !strings.Contains(href, "/"+sum+"/")) {
		return "", nil
	}
	u, ok := urlpath.Append([]byte(in.origin+base), []byte(href))
	if !ok {
		return "", invalid("a file outside of the repository: %.120q", href)
	}
	return string(u), nil
}
