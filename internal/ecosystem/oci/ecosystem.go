package oci

import (
	"net/url"
	"strings"
	"time"

	"sutler/internal/ecosystem"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "oci"

// Floors: how long a document counts as fresh whatever the registry says, which is mostly
// nothing.
const (
	tagFloor  = time.Minute
	listFloor = time.Minute
)

// hub is the registry that image names without a host mean.
const hub = "registry-1.docker.io"

// Options say which private registries there are. The zero value is good for the public ones.
type Options struct {
	// Hosts are further registries. Manifests and blobs are recognised without this; for
	// these hosts sutler also answers the question whether they want a login.
	Hosts []string
}

// An Ecosystem translates the distribution protocol. Create it with New.
type Ecosystem struct {
	hosts   []string          // of registries that were configured
	profile ecosystem.Profile // to find out whose a host is
}

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem for the well-known registries and those of o.
func New(o Options) *Ecosystem {
	e := &Ecosystem{}
	for _, h := range o.Hosts {
		h, _, _ = strings.Cut(h, "/")
		e.hosts = append(e.hosts, strings.ToLower(h))
	}
	e.profile = e.Profile()
	return e
}

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	return ecosystem.Profile{
		Name:  Name,
		Title: "container images (docker, containerd, podman, buildah, skopeo, crane)",
		Hosts: append(publicHosts(), e.hosts...),
		Mounts: []ecosystem.Mount{{
			Path: "/v2/", Origin: "https://" + hub + "/v2/", Resolve: resolve, Name: name,
		}},
		First:    "/v2/library/hello-world/manifests/latest",
		Verified: "manifests, configurations and layers by the digest in the request and by the manifest that names them; tags by TLS, and by the digest that the registry states with them",
		Clients:  []string{"Docker 20.10, 28.5", "BuildKit 0.33", "skopeo 1.9", "buildah 1.28", "podman 4.3", "containerd 1.6", "crane 0.20"},
		Unsupported: []string{
			"pushing goes to the registry itself: name it in intercept.except where builds push through the proxy",
			"signatures are stored like any other artifact, but not verified",
			"a login of the client is not used: private images need a credential in sutler's configuration",
		},
	}
}

// publicHosts are registries that image names in Dockerfiles begin with.
func publicHosts() []string {
	return []string{
		hub,
		"ghcr.io",
		"quay.io",
		"gcr.io", "*.gcr.io", "*.pkg.dev",
		"registry.k8s.io",
		"mcr.microsoft.com",
		"public.ecr.aws",
		"*.azurecr.io",
		"registry.gitlab.com",
		"registry.access.redhat.com", "registry.redhat.io", "registry.fedoraproject.org", "registry.opensuse.org", "registry.suse.com",
		"container-registry.oracle.com",
		"docker.elastic.co",
		"nvcr.io",
		"lscr.io",
		"cgr.dev",
		"dhi.io",
		"docker.n8n.io",
	}
}

// Origin returns the URL, with a slash at its end, under which a registry is asked that
// clients know by that name: a host, with or without port. Registries on this machine are
// asked over plain HTTP, as the engines do; all others over TLS.
func Origin(host string) string {
	switch host = strings.ToLower(host); host {
	case "docker.io", "index.docker.io":
		host = hub
	}
	name := host
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		name = host[:i]
	}
	if name == "localhost" || name == "[::1]" || strings.HasPrefix(name, "127.") && strings.Trim(name, "0123456789.") == "" {
		return "http://" + host + "/"
	}
	return "https://" + host + "/"
}

// resolve finds the registry that a path of the native endpoint is about, if it is not the
// default one: containerd and BuildKit name it in the query (?ns=), for all others it is
// the first element of the image's name.
func resolve(path, query string) (*url.URL, bool) {
	rest := strings.TrimPrefix(path, "/v2/")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, false
	}
	host := values.Get("ns")
	values.Del("ns")
	if host == "" {
		first, tail, ok := strings.Cut(rest, "/")
		if !ok || !strings.ContainsAny(first, ".:") && first != "localhost" {
			return nil, false
		}
		host, rest = first, tail
	}
	if strings.ContainsAny(host, "/@?#%\\") {
		return nil, false
	}
	u, err := url.Parse(Origin(host) + "v2/" + rest)
	if err != nil {
		return nil, false
	}
	u.RawQuery = values.Encode()
	return u, true
}

// name returns the path and query of the native endpoint for a URL at a registry, whose
// host becomes the first element: the way back of resolve.
func name(origin string) (string, bool) {
	_, rest, _ := strings.Cut(origin, "://")
	host, path, ok := strings.Cut(rest, "/v2/")
	if !ok || strings.ContainsAny(host, "/@?#%\\") || !strings.ContainsAny(host, ".:") && host != "localhost" || origin != Origin(host)+"v2/"+path {
		return "", false
	}
	return "/v2/" + host + "/" + path, true
}
