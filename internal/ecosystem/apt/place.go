package apt

import (
	"path"
	"strings"

	"sutler/internal/digest"
)

// A kind says what a file of a repository is.
type kind int

const (
	release    kind = iota // InRelease, or Release
	signature              // Release.gpg
	stanzas                // Packages, Sources
	patches                // the list of differences between versions of an index
	patch                  // one of them
	sums                   // SHA256SUMS of installer images
	image                  // an installer image
	listed                 // any other file that a release lists
	packaged               // .deb, .dsc, tarball
	changelogs             // changelog of a package, for apt changelog
)

// maxSuites is how many suites a file may belong to, as far as its path tells.
const maxSuites = 3

// A place is what a canonical path means by its shape.
type place struct {
	path string
	kind kind
	flat bool   // in a repository without dists/
	root string // folder that Filename fields start from; ends in a slash
	dir  string // folder of the file, of the index if it is named by its digest; ends in a slash
	name string

	digest digest.Digest // stated by the path, "" if none
	suites []string      // folders of releases that may list the file, best first
	images string        // folder of the SHA256SUMS that lists an image
}

// locate returns what a canonical path means. It reports false if it has the shape of no
// file in a repository.
func locate(p string) (place, bool) {
	dir, name := path.Split(p)
	if name == "" {
		return place{}, false
	}
	pl := place{path: p, dir: dir, name: name}
	dists, pool := strings.Index(p, "/dists/"), strings.Index(p, "/pool/")
	switch {
	case pool >= 0 && (dists < 0 || pool < dists) && isPackage(name):
		pl.kind, pl.root = packaged, p[:pool+1]
		return pl, true
	case dists >= 0:
		pl.root = p[:dists+1]
		return pl.inSuite()
	case strings.Contains(dir, "/changelogs/") && (name == "changelog" || strings.HasSuffix(name, "_changelog")):
		pl.kind, pl.root = changelogs, "/"
		return pl, true
	}
	return pl.alone()
}

// inSuite completes a place below dists/.
func (pl place) inSuite() (place, bool) {
	if !pl.cutHash() || len(pl.dir) <= len(pl.root)+len("dists/") {
		return place{}, false
	}
	start := len(pl.root) + len("dists/")
	marker, at := pl.marker(start)
	switch {
	case pl.digest != "" || marker != "":
	case pl.isRelease():
		return pl, true
	}
	if pl.digest == "" && isPackage(pl.name) {
		pl.kind = packaged
		return pl, true
	}
	pl.kind = pl.document(marker)
	pl.suites = pl.candidates(start, at, marker != "")
	return pl, true
}

// alone completes a place in a repository without dists/. Its root is that of the host:
// nothing in the path of a package says how far up its index lies.
func (pl place) alone() (place, bool) {
	pl.flat, pl.root = true, "/"
	if !pl.cutHash() {
		return place{}, false
	}
	switch {
	case pl.digest != "":
		pl.kind = stanzas
	case pl.isRelease():
		return pl, true
	case isPackage(pl.name):
		pl.kind = packaged
		return pl, true
	default:
		pl.kind = pl.document("")
	}
	pl.suites = []string{pl.dir}
	switch pl.kind {
	case patches, patch:
		pl.suites[0], _ = path.Split(strings.TrimSuffix(pl.dir, "/"))
	case listed:
		// apt tries one kind of compression after the other if no release lists them.
		stem, _, _ := strings.Cut(pl.name, ".")
		return pl, stem == "Packages" || stem == "Sources"
	}
	return pl, true
}

// cutHash takes by-hash/ALGORITHM/ from the end of the folder, and notes the digest. It
// reports false for a digest that is none. MD5 and SHA-1 are looked up like names.
func (pl *place) cutHash() bool {
	at := strings.LastIndex(pl.dir, "/by-hash/")
	if at < 0 {
		return true
	}
	d, err := digest.New(hashName(strings.TrimSuffix(pl.dir[at+len("/by-hash/"):], "/")), pl.name)
	if err != nil || d.Hex() != pl.name {
		return false
	}
	pl.digest, pl.dir = d, pl.dir[:at+1]
	return true
}

// hashName returns the algorithm that releases and folders call by that name.
func hashName(name string) string {
	switch name {
	case "SHA256":
		return digest.SHA256
	case "SHA512":
		return digest.SHA512
	case "SHA1":
		return digest.SHA1
	case "MD5Sum":
		return digest.MD5
	}
	return ""
}

// isRelease notes the kind if the name is that of a release or of its signature.
func (pl *place) isRelease() bool {
	switch pl.name {
	case "InRelease", "Release":
		pl.kind = release
	case "Release.gpg":
		pl.kind = signature
	default:
		return false
	}
	return true
}

// marker returns the element of the folder that follows the component, and where it
// starts; "" and the end of the folder if there is none.
func (pl *place) marker(start int) (element string, at int) {
	for at = start; at < len(pl.dir); {
		element, _, _ = strings.Cut(pl.dir[at:], "/")
		if at > start && isMarker(element) {
			return element, at
		}
		at += len(element) + 1
	}
	return "", len(pl.dir)
}

// isMarker reports whether an element of a path is one that follows a component.
func isMarker(element string) bool {
	switch element {
	case "source", "i18n", "dep11", "cnf", "signed", "uefi":
		return true
	}
	return strings.HasPrefix(element, "binary-") || strings.HasPrefix(element, "installer-") || strings.HasPrefix(element, "dist-upgrader-")
}

// candidates returns the folders of suites that a file may belong to, best first. Suites
// and components may both have slashes in their names (bookworm/mongodb-org/7.0,
// main/debian-installer), so the path alone does not tell. end is where what follows the
// component starts; without a marker, the component may be missing as well.
func (pl *place) candidates(start, end int, marked bool) []string {
	before := pl.dir[:end]
	if shorter, ok := strings.CutSuffix(before, "/debian-installer/"); ok && len(shorter) > start {
		before = before[:len(shorter)+1]
	}
	var found []string
	for at := strings.LastIndexByte(before[:len(before)-1], '/') + 1; at > start && len(found) < maxSuites; {
		found = append(found, pl.path[:at])
		at = strings.LastIndexByte(before[:at-1], '/') + 1
	}
	if len(found) == 0 || !marked && len(found) < maxSuites {
		found = append(found, before)
	}
	return found
}

// document returns the kind of a file that a release lists, which lies below marker.
func (pl *place) document(marker string) kind {
	installer := strings.HasPrefix(marker, "installer-")
	switch inDiff := strings.HasSuffix(pl.dir, ".diff/"); {
	case pl.digest != "" && !inDiff && (strings.HasPrefix(marker, "binary-") || marker == "source"):
		return stanzas
	case pl.digest != "":
		return listed
	case inDiff && pl.name == "Index":
		return patches
	case inDiff:
		return patch
	case isIndex(pl.name):
		return stanzas
	case installer && pl.name == "SHA256SUMS":
		return sums
	case installer && pl.imagesFolder() && pl.name != "MD5SUMS":
		return image
	}
	return listed
}

// imagesFolder notes the folder of installer images that the file lies in or below.
func (pl *place) imagesFolder() bool {
	for _, name := range [...]string{"/images/", "/legacy-images/"} {
		if at := strings.Index(pl.dir, name); at >= 0 {
			pl.images = pl.dir[:at+len(name)]
			return true
		}
	}
	return false
}

// isIndex reports whether a file lists packages, in a form that Inspect can read.
func isIndex(name string) bool {
	switch stem, ext, _ := strings.Cut(name, "."); stem {
	case "Packages", "Sources":
		return ext == "" && stem == name || ext == "gz" || ext == "xz" || ext == "bz2" || ext == "zst"
	}
	return false
}

// owner returns the path that says where the names in the file of a place start: its
// root, or its folder in a flat repository.
func (pl place) owner() string {
	if pl.flat {
		return pl.dir
	}
	return pl.root
}
