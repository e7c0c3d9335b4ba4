package generic

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// Limits of what is read of a checksum file: the largest known have 20,000 lines.
const (
	maxLine = 16 << 10
	maxFile = 8 << 20 // bytes
)

// suffixes of files that state the digest of the file without the suffix.
func suffixes() []string {
	return []string{".sha256", ".sha256sum", ".sha512", ".sha512sum", ".sha384"}
}

// checksumName reports whether a URL names a checksum file. about is the URL of the one
// file that it is about, or "" if it lists those of its directory.
func checksumName(address string) (about string, ok bool) {
	if strings.Contains(address, "?") {
		return "", false
	}
	for _, suffix := range suffixes() {
		if file, ok := strings.CutSuffix(address, suffix); ok {
			_, name := splitPath(file)
			return file, name != ""
		}
	}
	_, name := splitPath(address)
	switch name {
	case "SHA256SUMS", "SHA512SUMS", "SHASUMS256.txt", "checksums.txt", "sha256sum.txt", "sha256sums.txt", "sha256sums.asc":
		return "", true
	}
	return "", strings.HasSuffix(name, "_checksums.txt") || strings.HasSuffix(name, "_SHA256SUMS")
}

// vouchers returns the checksum files that may be about a file of a host. Small text beside
// archives has none: keys, signatures, notes.
func vouchers(h host, f file) []ecosystem.Resource {
	_, name := splitPath(f.path)
	if h.sums == nil || !isArchive(f.path) && !isProgram(name) && strings.Contains(name, ".") {
		return nil
	}
	var out []ecosystem.Resource
	for _, address := range h.sums(f) {
		out = append(out, checksumFile(address))
	}
	return out
}

// checksumFile describes a checksum file, as Classify does.
func checksumFile(address string) ecosystem.Resource {
	return ecosystem.Resource{
		Ecosystem: Name, URL: address, Kind: ecosystem.Document, Sealed: true, Hold: true, Floor: checksumFloor,
	}
}

// claims returns what a checksum file states about artifacts beside it that name it as
// their voucher. A file that is no checksum file states nothing, which is no error.
func (e *Ecosystem) claims(ctx context.Context, doc ecosystem.Body) ([]ecosystem.Claim, error) {
	if doc.Size > maxFile {
		return nil, nil
	}
	about, _ := checksumName(doc.Resource.URL)
	sums, err := readSums(ctx, doc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doc.Resource.URL, err)
	}
	above, _ := splitPath(doc.Resource.URL)
	var out []ecosystem.Claim
	for _, s := range sums.lines {
		target := above + url.PathEscape(s.file)
		if about == "" && strings.Contains(s.file, "/") {
			continue // not in this directory
		}
		if about != "" && (s.file == "" || sameFile(about, s.file)) {
			target = about
		}
		claimed, ok := e.claimed(target, doc.Resource.URL)
		if ok && (about == "" || target == about) {
			out = append(out, ecosystem.Claim{URL: claimed, Digest: s.sum, Size: -1})
		}
	}
	return withoutContradictions(out), nil
}

// claimed returns the canonical form of a URL if the checksum file may vouch for it.
func (e *Ecosystem) claimed(target, checksums string) (string, bool) {
	u, err := url.Parse(target)
	if err != nil {
		return "", false
	}
	res, err := e.Classify(ecosystem.Request{Method: "GET", URL: u})
	if err != nil {
		return "", false
	}
	return res.URL, slices.ContainsFunc(res.VouchedBy, func(v ecosystem.Resource) bool { return v.URL == checksums })
}

// sameFile reports whether a path in a checksum file is that of the one file it is about:
// builders often leave their own directory in it.
func sameFile(about, path string) bool {
	_, name := splitPath(about)
	_, last := splitPath(path)
	return name == last || name == url.PathEscape(last)
}

// withoutContradictions drops claims about files of which two different digests of one
// algorithm are stated: such a list says nothing about them.
func withoutContradictions(claims []ecosystem.Claim) []ecosystem.Claim {
	type subject struct{ url, algorithm string }
	stated := make(map[subject]digest.Digest, len(claims))
	contradicted := make(map[string]bool)
	for _, c := range claims {
		s := subject{c.URL, c.Digest.Algorithm()}
		if d, ok := stated[s]; ok && d != c.Digest {
			contradicted[c.URL] = true
		}
		stated[s] = c.Digest
	}
	out := claims[:0]
	for _, c := range claims {
		s := subject{c.URL, c.Digest.Algorithm()}
		if stated[s] != "" && !contradicted[c.URL] {
			out = append(out, c)
			stated[s] = "" // the same line twice is one claim
		}
	}
	return out
}

// A sum is one line of a checksum file. file is "" if the line is a digest and nothing else.
type sum struct {
	file string
	sum  digest.Digest
}

// sumList collects the lines of a checksum file.
type sumList struct{ lines []sum }

// readSums reads all lines that state a digest; others are passed over: signatures around
// the list, comments, pages that say that there is no such file.
func readSums(ctx context.Context, doc ecosystem.Body) (sumList, error) {
	var l sumList
	var loose strings.Builder // hexadecimal groups, as gpg --print-md writes them
	s := bufio.NewScanner(doc.Reader())
	s.Buffer(make([]byte, 0, 4096), maxLine)
	for s.Scan() {
		if err := ctx.Err(); err != nil {
			return l, err
		}
		line := strings.TrimSpace(s.Text())
		if one, ok := parseLine(line); ok {
			l.lines = append(l.lines, one)
			continue
		}
		if loose.Len() < maxLine {
			loose.WriteString(line + " ")
		}
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return sumList{}, nil // no checksum file
	}
	if len(l.lines) == 0 {
		if one, ok := parseGroups(loose.String()); ok {
			l.lines = append(l.lines, one)
		}
	}
	return l, s.Err()
}

// parseLine reads "hex", "hex  file", "hex *file" and "SHA256 (file) = hex".
func parseLine(line string) (sum, bool) {
	if open, rest, ok := strings.Cut(line, "("); ok && strings.HasPrefix(open, "SHA") {
		file, hexadecimal, ok := strings.Cut(rest, ")")
		_, hexadecimal, eq := strings.Cut(hexadecimal, "=")
		if !ok || !eq {
			return sum{}, false
		}
		return newSum(file, strings.TrimSpace(hexadecimal))
	}
	hexadecimal, file, _ := strings.Cut(line, " ")
	return newSum(strings.TrimPrefix(strings.TrimSpace(file), "*"), hexadecimal)
}

// parseGroups reads "file: 01AB 23CD …", where the digest may go over several lines.
func parseGroups(text string) (sum, bool) {
	file, groups, ok := strings.Cut(text, ":")
	if !ok {
		return sum{}, false
	}
	return newSum(strings.TrimSpace(file), strings.Join(strings.Fields(groups), ""))
}

// newSum returns a sum if the hexadecimal is a digest by an algorithm that verifies, and
// the file is one in the same directory, or the like as sameFile understands it.
func newSum(file, hexadecimal string) (sum, bool) {
	alg := ""
	switch len(hexadecimal) {
	case 64:
		alg = digest.SHA256
	case 96:
		alg = digest.SHA384
	case 128:
		alg = digest.SHA512
	}
	d, err := digest.New(alg, hexadecimal)
	return sum{strings.TrimPrefix(file, "./"), d}, err == nil
}
