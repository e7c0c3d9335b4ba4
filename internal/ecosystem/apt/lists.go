package apt

import (
	"bytes"
	"strings"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/urlpath"
)

// patches emits the differences between versions of an index, as their list states them.
func (in inspection) patches() error {
	text, err := readSmall(in.doc)
	if err != nil {
		return err
	}
	section, known := "", 0
	for line := range bytes.Lines(text) {
		if line[0] != ' ' && line[0] != '\t' {
			name, _, ok := bytes.Cut(line, []byte(":"))
			if !ok && len(bytes.TrimSpace(line)) > 0 {
				return invalid("%.60q is not a field of a list of patches (a login page?)", line)
			}
			if section = string(name); strings.HasPrefix(section, "SHA") {
				known++
			}
			continue
		}
		if section != "SHA256-Download" {
			continue
		}
		f := bytes.Fields(line)
		if len(f) != 3 {
			return invalid("%.120q under %s is not digest, size and name", line, section)
		}
		size, err := parseSize(f[1])
		if err != nil {
			return err
		}
		if err := in.beside(f[2], f[0], size); err != nil {
			return err
		}
	}
	if known == 0 {
		return invalid("no field of a list of patches (a login page?)")
	}
	return nil
}

// sums emits the installer images that a SHA256SUMS file lists.
func (in inspection) sums() error {
	text, err := readSmall(in.doc)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(text) {
		sum, name, ok := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		if len(sum) == 0 && !ok {
			continue
		}
		name = bytes.TrimPrefix(bytes.TrimLeft(name, " "), []byte("*"))
		if err := in.beside(name, sum, -1); err != nil {
			return err
		}
	}
	return nil
}

// beside emits a file in or below the folder of the document.
func (in inspection) beside(name, sum []byte, size int64) error {
	d, err := parseSum(digest.SHA256, sum)
	if err != nil {
		return err
	}
	for bytes.HasPrefix(name, []byte("./")) {
		name = name[2:]
	}
	u, ok := urlpath.Append([]byte(in.origin+in.dir), name)
	if !ok {
		return invalid("a file outside of the folder: %.120q", name)
	}
	return in.emit(ecosystem.Claim{URL: string(u), Digest: d, Size: size})
}
