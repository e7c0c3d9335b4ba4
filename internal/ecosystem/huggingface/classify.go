package huggingface

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/site"
	"sutler/internal/urlpath"
)

// blobs is the query that makes a list state digests.
const blobs = "blobs=true"

// Classify reports which resource a request asks for. Paths of the hub can mean anything,
// so only the hub and configured mirrors are recognised; what else they are asked for is
// passed through.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	if r.URL == nil {
		return ecosystem.Resource{}, ecosystem.ErrUnknown
	}
	bare := *r.URL
	listing, isListing := pages(bare.RawQuery)
	if isListing || bare.RawQuery == blobs || bare.RawQuery == "download=true" {
		bare.RawQuery = ""
	}
	q := r
	q.URL = &bare
	t, err := e.sites.Read(q)
	if errors.Is(err, ecosystem.ErrRefused) && slashed(&bare) {
		return ecosystem.Resource{}, ecosystem.ErrBypass
	}
	if err != nil {
		return ecosystem.Resource{}, err
	}
	if !t.Known {
		return ecosystem.Resource{}, ecosystem.ErrUnknown
	}
	asked := r.URL.RawQuery
	if rest, kind, repo, ok := cutAPI(t.Path); ok && isListing && len(rest) >= 2 && rest[0] == "tree" {
		return tree(t, kind, repo, rest[1], listing), nil
	}
	if rest, kind, repo, ok := cutAPI(t.Path); ok && (asked == "" || asked == blobs) && len(rest) == 2 && rest[0] == "revision" {
		return revision(t.Base, kind, repo, rest[1]), nil
	}
	if kind, repo, rest, ok := cutResolve(t.Path); ok && (asked == "" || asked == "download=true") {
		return file(t, kind, repo, rest[0]), nil
	}
	return ecosystem.Resource{}, ecosystem.ErrBypass
}

// pages reports whether a query is one of those that clients ask for a tree with, or that the
// link to the next part of one has, and returns it in a fixed order.
func pages(query string) (string, bool) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", false
	}
	for name, v := range values {
		if len(v) != 1 || !slices.Contains([]string{"recursive", "expand", "cursor", "limit"}, name) {
			return "", false
		}
	}
	return values.Encode(), true
}

// slashed reports whether a revision of the hub's own, whose name has slashes, is asked for.
func slashed(u *url.URL) bool {
	p := strings.ToLower(u.EscapedPath())
	return strings.Contains(p, "/refs%2fpr%2f") || strings.Contains(p, "/refs%2fconvert%2f")
}

// isKind reports whether s is a kind of repository, as the API names it.
func isKind(s string) bool { return s == "models" || s == "datasets" || s == "spaces" }

// cutAPI takes api/{kind}/{repo}, whose name has one or two segments, off a path.
func cutAPI(path []string) (rest []string, kind string, repo []string, ok bool) {
	if len(path) < 5 || path[0] != "api" || !isKind(path[1]) {
		return nil, "", nil, false
	}
	n := 3
	if path[3] != "revision" && path[3] != "tree" {
		n = 4
	}
	return path[n:], path[1], path[2:n], true
}

// cutResolve takes a path of the form [{kind}/]{repo}/resolve/{revision}/{file} apart; rest
// starts with the revision.
func cutResolve(path []string) (kind string, repo, rest []string, ok bool) {
	kind = "models"
	if len(path) > 0 && path[0] != "models" && isKind(path[0]) {
		kind, path = path[0], path[1:]
	}
	for n := 1; n <= 2; n++ {
		if len(path) >= n+3 && path[n] == "resolve" && path[0] != "api" {
			return kind, path[:n], path[n+1:], true
		}
	}
	return "", nil, nil, false
}

// revision returns the resource that lists the files of a revision.
func revision(base, kind string, repo []string, rev string) ecosystem.Resource {
	path := append(append([]string{"api", kind}, repo...), "revision", rev)
	return ecosystem.Resource{
		Ecosystem: Name, URL: urlpath.Join(base, path...) + "?" + blobs, Kind: ecosystem.Document, Sealed: true,
		Package: strings.Join(repo, "/"), Version: rev, Floor: floorOf(rev), Keep: refusal(),
	}
}

// refusal are the fields by which clients tell that a repository, a revision or only a file
// is not there, or wants a licence to be accepted.
func refusal() []string { return []string{"X-Error-Code", "X-Error-Message"} }

// tree returns the resource that lists the files of a revision in parts: each leads to the
// next in a field of the answer.
func tree(t site.Target, kind string, repo []string, rev, query string) ecosystem.Resource {
	res := ecosystem.Resource{
		Ecosystem: Name, URL: t.URL(), Kind: ecosystem.Document, Sealed: true, Keep: append(refusal(), "Link"),
		Package: strings.Join(repo, "/"), Version: rev, Floor: floorOf(rev),
	}
	if query != "" {
		res.URL += "?" + query
	}
	return res
}

// file returns the resource of a file. Clients read the commit and the digest from fields
// of the answer, and fail without an ETag, by which they name small files in their own cache.
func file(t site.Target, kind string, repo []string, rev string) ecosystem.Resource {
	res := ecosystem.Resource{
		Ecosystem: Name, URL: t.URL(), Kind: ecosystem.Artifact, Optional: true,
		Package: strings.Join(repo, "/"), Version: rev,
		Keep:      append(refusal(), "X-Repo-Commit", "X-Linked-Etag", "X-Linked-Size", "ETag"),
		VouchedBy: []ecosystem.Resource{revision(t.Base, kind, repo, rev)},
	}
	if !isCommit(rev) {
		res.Kind, res.Sealed, res.Floor = ecosystem.Document, true, branchFloor
	}
	return res
}

// floorOf returns how long a list of that revision counts as fresh at least.
func floorOf(rev string) time.Duration {
	if isCommit(rev) {
		return commitFloor
	}
	return branchFloor
}

// isCommit reports whether a revision is a commit, which never changes.
func isCommit(rev string) bool {
	return len(rev) == 40 && strings.Trim(rev, "0123456789abcdef") == ""
}
