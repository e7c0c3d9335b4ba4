package terraform

import (
	"slices"
	"strings"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/site"
	"sutler/internal/urlpath"
)

// Classify reports which resource a request asks for. Names and paths of providers are
// unmistakable, so they are recognised on every host; what else a known registry is asked
// for is passed through.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	t, err := e.sites.Read(r)
	if err != nil {
		return ecosystem.Resource{}, err
	}
	n := len(t.Path)
	switch {
	case n == 0:
	case n == 2 && t.Path[0] == ".well-known" && t.Path[1] == "terraform.json":
		return document(t.URL(), releaseFloor), nil
	case t.Known && n == 5 && t.Path[0] == "v1" && t.Path[1] == "modules" && t.Path[4] == "versions",
		t.Known && n == 6 && t.Path[0] == "v1" && t.Path[1] == "modules" && t.Path[5] == "versions":
		return document(t.URL(), listFloor), nil
	case n >= 5 && services(t.Path, 5) && t.Path[n-1] == "versions":
		res := document(t.URL(), listFloor)
		res.Package = t.Path[n-3] + "/" + t.Path[n-2]
		return res, nil
	case n >= 8 && services(t.Path, 8) && t.Path[n-3] == "download":
		return download(t.Up(6), t.Path[n-6:]), nil
	case strings.HasPrefix(t.Path[n-1], "terraform-provider-"):
		if res, ok := release(t, strings.Contains(r.Client, "OpenTofu")); ok {
			return res, nil
		}
	}
	return ecosystem.Resource{}, t.None()
}

// services reports whether what follows the n-th segment from the end is about providers.
func services(path []string, n int) bool {
	i := len(path) - n
	return path[i] == "v1" && path[i+1] == "providers"
}

// document returns the resource of a document that claims nothing, and links to nothing
// that this endpoint serves.
func document(url string, floor time.Duration) ecosystem.Resource {
	return ecosystem.Resource{Ecosystem: Name, URL: url, Kind: ecosystem.Document, Sealed: true, Floor: floor}
}

// download returns the resource that says where an archive lies. base is the URL of the
// registry's providers; the segments are namespace, type, version, "download", os, arch.
func download(base string, segments []string) ecosystem.Resource {
	res := document(urlpath.Join(base, segments...), releaseFloor)
	res.Package, res.Version = segments[0]+"/"+segments[1], segments[2]
	return res
}

// release returns the resource of a file of a release, which is named
// terraform-provider-{type}_{version}_{os}_{arch}.zip, …_SHA256SUMS or …_SHA256SUMS.sig.
func release(t site.Target, open bool) (ecosystem.Resource, bool) {
	file := t.Path[len(t.Path)-1]
	parts := strings.Split(strings.TrimPrefix(file, "terraform-provider-"), "_")
	if len(parts) < 3 || slices.Contains(parts, "") {
		return ecosystem.Resource{}, false
	}
	res := document(t.URL(), releaseFloor)
	res.Package, res.Version = parts[0], parts[1]
	switch last := strings.Join(parts[2:], "_"); {
	case last == "SHA256SUMS":
		return res, true
	case strings.HasPrefix(last, "SHA256SUMS.") && strings.HasSuffix(last, ".sig"):
		res.Proof = true
		return res, true
	case len(parts) == 4 && strings.HasSuffix(file, ".zip"):
		res.Kind, res.Sealed, res.Floor = ecosystem.Artifact, false, 0
		sums := document(t.Up(1, "terraform-provider-"+parts[0]+"_"+parts[1]+"_SHA256SUMS"), releaseFloor)
		sums.Package, sums.Version = parts[0], parts[1]
		res.VouchedBy = append(registries(t, parts, open), sums)
		return res, true
	}
	return ecosystem.Resource{}, false
}

// registries returns the documents of public registries that may state the digest of an
// archive on a public release host. open says that the client prefers the open registry.
func registries(t site.Target, parts []string, open bool) []ecosystem.Resource {
	segments := []string{"", parts[0], parts[1], "download", parts[2], strings.TrimSuffix(parts[3], ".zip")}
	at := func(host, namespace string) ecosystem.Resource {
		segments[0] = namespace
		return download("https://"+host+"/v1/providers", segments)
	}
	switch owner := t.Path[0]; {
	case t.Origin == "https://"+releaseHost:
		return []ecosystem.Resource{at(registryHost, "hashicorp")}
	case t.Origin != "https://"+codeHost:
		return nil
	case owner == "opentofu": // it builds what the other registry's maker publishes
		return []ecosystem.Resource{at(openHost, "hashicorp"), at(openHost, owner)}
	case open:
		return []ecosystem.Resource{at(openHost, owner), at(registryHost, owner)}
	default:
		return []ecosystem.Resource{at(registryHost, owner), at(openHost, owner)}
	}
}
