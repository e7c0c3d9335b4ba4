package oci

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// Limits of the specification, and of the implementations that matter.
const (
	maxName = 255
	maxTag  = 128
)

// digestField is the field by which registries state what they send.
const digestField = "Docker-Content-Digest"

// acceptManifest lists every type of manifest, whatever the client asked for: what is
// stored is what the tag names, never what a registry makes of it for a narrower list.
const acceptManifest = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, " +
	"application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, " +
	"application/vnd.oci.artifact.manifest.v1+json, */*"

// Classify reports which resource a request asks for. On hosts that are no known registry
// only manifests, blobs, tag lists and referrers are recognised, by their paths.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	none := ecosystem.Resource{}
	if r.URL == nil || r.URL.Host == "" || r.URL.Scheme != "https" && r.URL.Scheme != "http" || r.URL.User != nil {
		return none, ecosystem.ErrUnknown
	}
	host := strings.ToLower(r.URL.Host)
	known := e.profile.Owns(strings.ToLower(r.URL.Hostname())) || r.Base != ""
	path := r.URL.EscapedPath()
	rest, ok := strings.CutPrefix(path, "/v2/")
	switch {
	case path == "/v2" || ok && rest == "":
		return ping(r, known)
	case ok && r.Base != "" && method(r, known) != nil:
		return none, ecosystem.ErrRefused
	case !ok:
		return none, ecosystem.ErrUnknown // what else a host has is not ours
	case strings.Contains(path, "%"):
		return none, unknown(r, known)
	}
	p, ok := parse(rest)
	if !ok {
		return none, unknown(r, known)
	}
	if err := method(r, known); err != nil {
		return none, err
	}
	if host == hub && !strings.Contains(p.name, "/") {
		p.name = "library/" + p.name
	}
	p.root = r.URL.Scheme + "://" + host + "/v2/" + p.name + "/"
	res, err := p.resource(r.URL.Query())
	res.Anonymous = known
	return res, err
}

// unknown is the answer to what is no path of the protocol: passed through to a registry,
// for search and the like, but not found at our own endpoint.
func unknown(r ecosystem.Request, known bool) error {
	if known && r.Base == "" {
		return ecosystem.ErrBypass
	}
	return ecosystem.ErrUnknown
}

// method returns nil for pulls, and what becomes of pushes: refused at our own endpoint,
// which is no registry, passed through to one.
func method(r ecosystem.Request, known bool) error {
	switch r.Method {
	case "GET", "HEAD":
		return nil
	case "POST", "PUT", "PATCH", "DELETE":
		if r.Base != "" {
			return ecosystem.ErrRefused
		}
		return ecosystem.ErrBypass
	}
	if known {
		return ecosystem.ErrRefused
	}
	return ecosystem.ErrUnknown
}

// ping answers the question whether the registry wants a login. It never does here: sutler
// itself gets the tokens, so that all clients share what is public.
func ping(r ecosystem.Request, known bool) (ecosystem.Resource, error) {
	if !known {
		return ecosystem.Resource{}, ecosystem.ErrUnknown
	}
	if err := method(r, known); err != nil {
		return ecosystem.Resource{}, err
	}
	return ecosystem.Resource{
		Ecosystem: Name, URL: r.URL.Scheme + "://" + strings.ToLower(r.URL.Host) + "/v2/", Kind: ecosystem.Document, Sealed: true,
		Literal: []byte("{}"), FormType: "application/json", Anonymous: true,
		Header: []ecosystem.Setting{{Name: "Docker-Distribution-Api-Version", Value: "registry/2.0"}},
	}, nil
}

// A place is what a path names: what of a repository.
type place struct {
	root string // URL of the repository, with a slash at its end
	name string // of the repository
	kind string // "manifests", "blobs", "tags" or "referrers"
	ref  string // tag or digest, "list" for tags
}

// parse splits name/kind/ref: the name is everything before the last kind.
func parse(rest string) (place, bool) {
	elements := strings.Split(rest, "/")
	if len(elements) < 3 {
		return place{}, false
	}
	n := len(elements)
	p := place{name: strings.Join(elements[:n-2], "/"), kind: elements[n-2], ref: elements[n-1]}
	if len(p.name) > maxName || slices.ContainsFunc(elements[:n-2], func(e string) bool { return !component(e) }) {
		return place{}, false
	}
	switch p.kind {
	case "manifests":
		return p, isDigest(p.ref) || isTag(p.ref)
	case "blobs", "referrers":
		return p, isDigest(p.ref)
	case "tags":
		return p, p.ref == "list"
	}
	return place{}, false
}

// component reports whether s can be an element of a name: lower-case letters and digits,
// separated by a dot, one or two underscores, or dashes.
func component(s string) bool {
	if s == "" || !alphanumeric(s[0]) || !alphanumeric(s[len(s)-1]) {
		return false
	}
	for i := 0; i < len(s); i++ {
		if alphanumeric(s[i]) {
			continue
		}
		end := i
		for end < len(s) && !alphanumeric(s[end]) {
			end++
		}
		switch sep := s[i:end]; {
		case sep == ".", sep == "_", sep == "__", strings.Trim(sep, "-") == "":
			i = end - 1
		default:
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// isTag reports whether s can be a tag.
func isTag(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !alphanumeric(c|0x20) && c != '_' && (i == 0 || c != '.' && c != '-') {
			return false
		}
	}
	return s != "" && len(s) <= maxTag
}

// isDigest reports whether s is a digest that verifies bytes.
func isDigest(s string) bool {
	d, err := digest.Parse(s)
	return err == nil && string(d) == s && d.Strong()
}

// resource returns what lies at p.
func (p place) resource(query url.Values) (ecosystem.Resource, error) {
	res := ecosystem.Resource{
		Ecosystem: Name, URL: p.root + p.kind + "/" + p.ref, Kind: ecosystem.Document, Sealed: true, Repository: p.root,
		Package: p.name, Version: p.ref,
	}
	switch {
	case p.kind == "tags":
		res.URL += page(query, "last", "n")
		res.Version, res.Floor, res.Keep = "", listFloor, []string{"Link"}
		return res, nil
	case p.kind == "referrers":
		res.URL += page(query, "artifactType")
		res.Version, res.Floor, res.Keep = "", listFloor, []string{"Link", "OCI-Filters-Applied"}
		return res, nil
	case len(query) > 0:
		return ecosystem.Resource{}, ecosystem.ErrBypass // of no known meaning
	case p.kind == "blobs":
		res.Kind, res.Sealed = ecosystem.Artifact, false
	default:
		res.Accept = acceptManifest
	}
	if !isDigest(p.ref) {
		res.Floor, res.Probe = tagFloor, digestField
		res.Header = fields("sha256:{sha256}")
		return res, nil
	}
	res.Header = fields(p.ref)
	res.Claims = []ecosystem.Claim{{URL: res.URL, Digest: digest.Digest(p.ref), Size: -1, By: ecosystem.ByURL}}
	return res, nil
}

// fields are what clients get with a manifest or blob of that digest.
func fields(d string) []ecosystem.Setting {
	return []ecosystem.Setting{{Name: digestField, Value: d}, {Name: "ETag", Value: strconv.Quote(d)}}
}

// page returns the parameters of those names, in their order, as a query.
func page(query url.Values, names ...string) string {
	kept := url.Values{}
	for _, n := range names {
		if v := query.Get(n); v != "" {
			kept.Set(n, v)
		}
	}
	if len(kept) == 0 {
		return ""
	}
	return "?" + kept.Encode()
}
