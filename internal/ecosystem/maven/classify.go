package maven

import (
	"net/url"
	"strings"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/urlpath"
)

// Classify reports which resource a request asks for. On public and configured
// repositories, what is no download of the layout is passed through. On other hosts,
// paths that only such repositories have are recognised.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	none := ecosystem.Resource{}
	origin, ok := urlpath.Origin(r.URL)
	if !ok {
		return none, ecosystem.ErrUnknown
	}
	steps, ok := decode(r.URL.EscapedPath())
	known := e.knows(r.URL)
	switch {
	case !ok && known:
		return none, ecosystem.ErrRefused
	case !ok:
		return none, ecosystem.ErrUnknown
	}
	rest, known := e.cut(r.URL, steps)
	if known {
		if err := method(r.Method); err != nil {
			return none, err
		}
	}
	p, ok := parse(rest)
	plain := ok && r.URL.User == nil && r.URL.RawQuery == "" && !r.URL.ForceQuery && (r.Method == "GET" || r.Method == "HEAD")
	switch {
	case plain && (known || p.unmistakable()):
		return describe(origin, steps, p), nil
	case known:
		return none, ecosystem.ErrBypass
	}
	return none, ecosystem.ErrUnknown
}

// method returns nil for downloads, ErrBypass for what clients use to deploy, and
// ErrRefused for the rest.
func method(m string) error {
	switch m {
	case "GET", "HEAD":
		return nil
	case "PUT", "POST", "DELETE", "PATCH":
		return ecosystem.ErrBypass
	}
	return ecosystem.ErrRefused
}

// knows reports whether a repository on the host of u is known.
func (e *Ecosystem) knows(u *url.URL) bool {
	for _, r := range e.repositories {
		if r.on(u) {
			return true
		}
	}
	return false
}

// on reports whether the repository is on the host of u.
func (r repository) on(u *url.URL) bool {
	return strings.EqualFold(r.host, u.Hostname()) || strings.EqualFold(r.host, u.Host)
}

// cut returns the steps below the root of the repository: of a known one, the one with the
// longest path, or a guess.
func (e *Ecosystem) cut(u *url.URL, steps []string) (rest []string, known bool) {
	rest = guess(steps)
	longest := -1
	for _, r := range e.repositories {
		if below, ok := r.below(steps); ok && r.on(u) && len(r.path) > longest {
			rest, known, longest = below, true, len(r.path)
		}
	}
	return rest, known
}

// describe returns the resource at a place; steps are those of its whole path.
func describe(origin string, steps []string, p place) ecosystem.Resource {
	res := ecosystem.Resource{Ecosystem: Name, URL: origin + escape(steps), Version: p.version}
	if p.artifact != "" {
		res.Package = p.group + ":" + p.artifact
	}
	switch {
	case p.sum != "" || p.signed:
		return beside(res, p)
	case p.file == metadataName:
		return document(res, metadataFloor)
	}
	dir := origin + escape(steps[:len(steps)-1]) + "/"
	res.Optional, res.VouchedBy = true, vouchers(res, dir, p)
	switch {
	case p.mutable():
		res = document(res, metadataFloor)
		res.Hold = true // its bytes may be newer than the checksum
	case p.tail == ".module":
		res = document(res, settledFloor)
	}
	return res
}

// document makes res one that View does not change.
func document(res ecosystem.Resource, floor time.Duration) ecosystem.Resource {
	res.Kind, res.Sealed, res.Floor = ecosystem.Document, true, floor
	return res
}

// beside describes a checksum or a signature, which is as steady as the file it is about.
func beside(res ecosystem.Resource, p place) ecosystem.Resource {
	floor := settledFloor
	if p.mutable() {
		floor = metadataFloor
	}
	res = document(res, floor)
	res.Proof = p.sum == ""
	return res
}

// vouchers returns what may state the digest of an artifact, best first: checksum files,
// SHA-256 before SHA-512 because the store can tell by it what it has already, then the
// module file of the version, then a checksum that is better than nothing. They are asked
// for at once, since most repositories have but one or two of them.
func vouchers(res ecosystem.Resource, dir string, p place) []ecosystem.Resource {
	sum := func(algorithm string) ecosystem.Resource {
		q, of := p, res
		q.sum, of.URL = algorithm, res.URL+"."+algorithm
		of.Optional = false
		return beside(of, q)
	}
	out := []ecosystem.Resource{sum(digest.SHA256), sum(digest.SHA512)}
	if p.tail != ".pom" && p.tail != ".module" && !p.mutable() {
		module := p
		module.tail = ".module"
		module.file = p.artifact + "-" + p.named + ".module"
		m := ecosystem.Resource{Ecosystem: Name, URL: dir + url.PathEscape(module.file), Package: res.Package, Version: res.Version, Optional: true}
		m.VouchedBy = vouchers(m, dir, module)
		out = append(out, document(m, settledFloor))
	}
	return append(out, sum(digest.SHA1))
}
