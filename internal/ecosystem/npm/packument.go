package npm

import (
	"fmt"
	"strings"
	"time"

	"sutler/internal/ecosystem"
)

// A listing is what a packument says about its versions, as far as it matters here.
type listing struct {
	name     string
	releases []release         // in the order of the packument
	times    map[string]string // version, "created" or "modified" → RFC 3339
	tags     []tag
}

// A tag is a name that people install by: "latest".
type tag struct{ name, version string }

// A release is one version of a package.
type release struct {
	version    string
	tarball    string // URL
	integrity  string // Subresource Integrity, "" if not stated
	shasum     string // SHA-1 in hexadecimal, "" if not stated
	signatures []signature
}

// A signature is by the registry, over name@version:integrity.
type signature struct{ key, value string }

// published returns when the registry published the version, zero if it does not say.
func (l *listing) published(version string) time.Time {
	t, err := time.Parse(time.RFC3339, l.times[version])
	if err != nil {
		return time.Time{}
	}
	return t
}

// readListing reads a packument. Errors wrap ecosystem.ErrInvalid unless reading failed.
func readListing(s *scanner) (*listing, error) {
	l := &listing{times: make(map[string]string)}
	if c, err := s.space(); err != nil {
		return nil, err
	} else if c != '{' {
		return nil, fmt.Errorf("%w: it starts with %q", errJSON, c)
	}
	err := s.object(func(key string) (err error) {
		switch key {
		case "name":
			l.name, err = s.optionalText()
			return err
		case "versions":
			return s.object(func(version string) error { return l.readRelease(s, version) })
		case "dist-tags":
			return s.object(func(name string) error {
				version, err := s.optionalText()
				l.tags = append(l.tags, tag{name, version})
				return err
			})
		case "time":
			return s.object(func(name string) (err error) {
				l.times[name], err = s.optionalText()
				return err
			})
		}
		return s.skip()
	})
	if err != nil {
		return nil, err
	}
	return l, s.end()
}

// readRelease reads the manifest of one version.
func (l *listing) readRelease(s *scanner, version string) error {
	r := release{version: version}
	err := s.object(func(key string) error {
		if key != "dist" {
			return s.skip()
		}
		return s.object(func(key string) error { return r.readDist(s, key) })
	})
	l.releases = append(l.releases, r)
	return err
}

// readDist reads one member of the dist object.
func (r *release) readDist(s *scanner, key string) (err error) {
	switch key {
	case "tarball":
		r.tarball, err = s.optionalText()
	case "integrity":
		r.integrity, err = s.optionalText()
	case "shasum":
		r.shasum, err = s.optionalText()
	case "signatures":
		err = s.array(func() error {
			var sig signature
			err := s.object(func(key string) (err error) {
				switch key {
				case "keyid":
					sig.key, err = s.optionalText()
				case "sig":
					sig.value, err = s.optionalText()
				default:
					err = s.skip()
				}
				return err
			})
			r.signatures = append(r.signatures, sig)
			return err
		})
	default:
		err = s.skip()
	}
	return err
}

// isPackument reports whether the resource lists the versions of a package.
func isPackument(res ecosystem.Resource) bool {
	return res.Package != "" && res.Version == "" && !strings.Contains(res.URL, "/-/")
}

// isManifest reports whether the resource describes one version of a package.
func isManifest(res ecosystem.Resource) bool {
	return res.Package != "" && res.Version != "" && !strings.Contains(res.URL, "/-/")
}
