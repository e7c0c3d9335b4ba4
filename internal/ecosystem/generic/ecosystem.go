package generic

import (
	"context"
	"io"
	"slices"
	"strings"

	"sutler/internal/ecosystem"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "generic"

// Options say which hosts are cached besides the well-known ones. The zero value is good.
type Options struct {
	Hosts []string // "downloads.example", or "*.example" for all names below
}

// An Ecosystem translates plain HTTP downloads. Create it with New.
type Ecosystem struct {
	profile    ecosystem.Profile
	known      map[string]host
	configured ecosystem.Profile // only its Hosts
}

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem for the well-known download hosts and those of o.
func New(o Options) *Ecosystem {
	e := &Ecosystem{known: make(map[string]host)}
	var names []string
	for _, h := range publicHosts() {
		e.known[h.name] = h
		names = append(names, h.name)
	}
	for _, name := range o.Hosts {
		e.configured.Hosts = append(e.configured.Hosts, strings.ToLower(name))
	}
	e.profile = ecosystem.Profile{
		Name:   Name,
		Title:  "generic downloads (curl, wget, git and others)",
		Hosts:  append(names, e.configured.Hosts...),
		Mounts: []ecosystem.Mount{{Path: "/https/{host}/", Origin: "https://{host}/"}},
		Env:    settings(),
		Files: []ecosystem.File{{
			Name: "wgetrc",
			Content: "# wget reads this in place of the system's file; the user's own still counts.\n" +
				"ca_certificate = {dir}/ca.pem\n",
		}},
		Verified: "archives by the checksum file beside them, on hosts that have one; else by TLS, and pinned to the first download",
		Clients:  []string{"curl 7.88", "wget 1.21"},
		Unsupported: []string{
			"git over HTTP is passed through, not stored",
			"URLs that carry a signature or a credential are passed through, not stored",
			"signatures of checksum files are not verified",
		},
	}
	return e
}

// host returns what is known of a host, which is in lower case and without port.
func (e *Ecosystem) host(name string) (host, bool) {
	if h, ok := e.known[name]; ok {
		return h, true
	}
	return host{name: name, sums: usualSums}, e.configured.Owns(name)
}

// settings are the variables by which clients of no particular ecosystem trust the CA.
func settings() []ecosystem.Setting {
	const bundle = "{dir}/ca.pem"
	var out []ecosystem.Setting
	for _, name := range []string{
		"SSL_CERT_FILE",      // OpenSSL, Go, uv, RubyGems, Composer, .NET
		"CURL_CA_BUNDLE",     // curl with any TLS library
		"GIT_SSL_CAINFO",     // git
		"REQUESTS_CA_BUNDLE", // Python requests
		"PIP_CERT",
		"CARGO_HTTP_CAINFO",
		"AWS_CA_BUNDLE",
		"DENO_CERT",
	} {
		out = append(out, ecosystem.Setting{Name: name, Value: bundle})
	}
	// wget with GnuTLS reads no variable of the above; it has one for its configuration.
	return append(out, ecosystem.Setting{Name: "SYSTEM_WGETRC", Value: "{dir}/wgetrc"})
}

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	p := e.profile
	p.Hosts, p.Mounts = slices.Clone(p.Hosts), slices.Clone(p.Mounts)
	p.Env, p.Files, p.Unsupported = slices.Clone(p.Env), slices.Clone(p.Files), slices.Clone(p.Unsupported)
	return p
}

// Inspect emits what checksum files say about the files beside them. It accepts every
// body, and does not use src.
func (e *Ecosystem) Inspect(ctx context.Context, doc ecosystem.Body, _ ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	evidence := ecosystem.Evidence{Note: "not signed"}
	if _, ok := checksumName(doc.Resource.URL); !ok {
		return evidence, nil
	}
	claims, err := e.claims(ctx, doc)
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	for _, c := range claims {
		if err := emit(c); err != nil {
			return ecosystem.Evidence{}, err
		}
	}
	return evidence, nil
}

// View copies the document.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, _ ecosystem.View) error {
	_, err := io.Copy(w, doc.Reader())
	return err
}
