package gomod

import (
	"net/url"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/tlog"
)

// maxPath is the longest path accepted, in bytes.
const maxPath = 2048

// What a URL is the address of.
type what int

const (
	list      what = iota + 1 // versions of a module
	latest                    // the version that stands in for an empty list
	info                      // a version
	query                     // what a branch, a commit or a prefix of a version is
	source                    // .mod or .zip
	supported                 // whether the proxy passes on a database
	head                      // signed tree head
	lookup                    // record of a version
	tile                      // hashes or records of a database
)

// An address is a URL of a proxy or of a database, taken apart.
type address struct {
	origin string // scheme and host
	path   string // decoded, and nothing in it needs an escape
	base   string // the part of path that is the proxy's, with a slash at its end
	root   string // the part of path that is the database's, likewise, of addresses below one

	what            what
	module, version string    // as written in go.mod
	file            string    // "mod" or "zip" of source
	database        string    // name of the one that the address is about
	tile            tlog.Tile // of tile
	vouched         string    // name of the database that vouches for the modules of the proxy
}

// url returns the canonical URL.
func (a address) url() string { return a.origin + a.path }

// lookup returns the address of the record of a source.
func (a address) lookup() address {
	path, v, _ := strings.Cut(a.path[len(a.base):], "/@v/")
	a.root = a.base + "sumdb/" + a.vouched + "/"
	a.path = a.root + "lookup/" + path + "@" + strings.TrimSuffix(v, "."+a.file)
	a.what, a.file, a.database = lookup, "", a.vouched
	return a
}

// source returns the URL of a file, "mod" or "zip", that a record is about.
func (a address) source(file string) string {
	path, v, _ := strings.Cut(a.path[len(a.root+"lookup/"):], "@")
	return a.origin + a.base + path + "/@v/" + v + "." + file
}

// parse reads what follows the base of a proxy.
func (a *address) parse(rest string) bool {
	if path, ok := strings.CutSuffix(rest, "/@latest"); ok {
		a.what = latest
		return a.parseModule(path)
	}
	if path, file, ok := strings.Cut(rest, "/@v/"); ok {
		return a.parseModule(path) && a.parseFile(file)
	}
	rest, ok := strings.CutPrefix(rest, "sumdb/")
	if !ok {
		return false
	}
	end := strings.Index(rest, "/lookup/")
	for _, op := range [...]string{"/tile/", "/latest", "/supported"} {
		if end < 0 {
			end = strings.LastIndex(rest, op)
		}
	}
	if end <= 0 {
		return false
	}
	a.database, a.root = rest[:end], a.base+"sumdb/"+rest[:end+1]
	return a.parseOperation(rest[end+1:])
}

// parseOperation reads what follows the URL of a database.
func (a *address) parseOperation(op string) bool {
	var err error
	path, v, isLookup := strings.Cut(strings.TrimPrefix(op, "lookup/"), "@")
	switch {
	case op == "supported":
		a.what = supported
	case op == "latest":
		a.what = head
	case strings.HasPrefix(op, "tile/"):
		a.what = tile
		a.tile, err = tlog.ParseTilePath(op)
		return err == nil
	case strings.HasPrefix(op, "lookup/") && isLookup:
		a.what = lookup
		var canonical, ok bool
		if !a.parseModule(path) {
			return false
		}
		a.version, canonical, ok = version(a.module, v)
		return ok && canonical
	default:
		return false
	}
	return true
}

// parseModule reads an escaped module path.
func (a *address) parseModule(escaped string) (ok bool) {
	var err error
	a.module, err = module.UnescapePath(escaped)
	return err == nil
}

// parseFile reads what follows /@v/.
func (a *address) parseFile(file string) bool {
	if file == "list" {
		a.what = list
		return true
	}
	i := strings.LastIndexByte(file, '.')
	if i < 0 {
		return false
	}
	var canonical, ok bool
	a.version, canonical, ok = version(a.module, file[:i])
	switch a.file = file[i+1:]; {
	case a.file == "info" && canonical:
		a.what = info
	case a.file == "info":
		a.what = query
	case (a.file == "mod" || a.file == "zip") && canonical:
		a.what = source
	default:
		return false
	}
	return ok
}

// decode returns an escaped path decoded: !x and %21x become one. It returns false for what
// no module path, version or name of a database has, such as steps upwards, backslashes,
// escaped slashes and escapes of escapes.
func decode(escaped string) (string, bool) {
	path, err := url.PathUnescape(escaped)
	if err != nil || len(path) > maxPath || strings.Count(path, "/") != strings.Count(escaped, "/") {
		return "", false
	}
	for _, c := range []byte(path) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("/-._~!+@", c) >= 0:
		default:
			return "", false
		}
	}
	for s := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if s == "." || s == ".." {
			return "", false
		}
	}
	return path, !strings.Contains(path, "//") && strings.HasPrefix(path, "/")
}
