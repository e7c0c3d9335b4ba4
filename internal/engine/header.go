package engine

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// relink makes the links of an answer's Link field lead to the native endpoint, which the
// client came by. What leads to no resource of the ecosystem is left as it is.
func relink(a *Answer, link func(string) string) {
	page, err := url.Parse(a.Resource.URL)
	if err != nil {
		return
	}
	for i, f := range a.Header {
		if !strings.EqualFold(f.Name, "Link") {
			continue
		}
		a.Header[i].Value = reference.ReplaceAllStringFunc(f.Value, func(s string) string {
			to, err := page.Parse(s[1 : len(s)-1])
			if err != nil {
				return s
			}
			if at := link(to.String()); at != to.String() {
				return "<" + at + ">"
			}
			return s
		})
	}
}

// reference finds where the links of a Link field lead.
var reference = regexp.MustCompile(`<[^<>]*>`)

// literal answers with what the ecosystem itself has to say.
func literal(res ecosystem.Resource) *Answer {
	a := &Answer{Outcome: Hit, Resource: res, Type: res.FormType, Size: int64(len(res.Literal)), Bytes: res.Literal}
	a.addHeader(nil, "")
	return a
}

// describe adds the fields of a stored body to the answer that has it.
func describe(a *Answer, o *object) error {
	sum := ""
	for _, f := range a.Resource.Header {
		if sum != "" || !strings.Contains(f.Value, "{md5}") {
			continue
		}
		var err error
		if sum, err = md5Of(a, o); err != nil {
			return fmt.Errorf("%s: %w", a.Resource.URL, err)
		}
	}
	a.addHeader(o.entry.Header, sum)
	return nil
}

// md5Of returns the MD5 of the body of an answer, in hexadecimal form. It is computed once
// for a stored body, which may be long; views are short and few.
func md5Of(a *Answer, o *object) (string, error) {
	stored := a.Digest == o.entry.Blob
	if sum, ok := o.md5.Load().(string); ok && stored {
		return sum, nil
	}
	var r io.ReaderAt = bytes.NewReader(a.Bytes)
	if a.Blob != nil {
		r = a.Blob
	}
	d, err := digest.Compute(digest.MD5, r, a.Size)
	if err == nil && stored {
		o.md5.Store(d.Hex())
	}
	return d.Hex(), err
}

// base64Of returns a digest in the notation of RFC 9530, "" if there is none.
func base64Of(d digest.Digest) string {
	raw, err := hex.DecodeString(d.Hex())
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// strong finds validators that hold byte for byte.
var strong = regexp.MustCompile(`^"[\x21\x23-\x7e]+"$`)

// addHeader adds the fields kept of the origin's answer and those that the ecosystem wants.
// A field whose digest is not known yet is left out.
func (a *Answer) addHeader(kept []ecosystem.Setting, md5 string) {
	all := make([]ecosystem.Setting, 0, len(kept)+len(a.Resource.Header))
	for _, f := range kept {
		switch {
		case !strings.EqualFold(f.Name, "ETag"):
			all = append(all, f)
		case strong.MatchString(f.Value):
			a.ETag = f.Value
		}
	}
	for _, f := range a.Resource.Header {
		for _, mark := range [...]string{"{sha256}", "{sha256-base64}", "{md5}"} {
			if !strings.Contains(f.Value, mark) {
				continue
			}
			sum := md5
			switch mark {
			case "{sha256}":
				sum = a.Digest.Hex()
			case "{sha256-base64}":
				sum = base64Of(a.Digest)
			}
			if sum == "" {
				f.Name = ""
			}
			f.Value = strings.ReplaceAll(f.Value, mark, sum)
		}
		switch f.Name {
		case "":
		case "ETag":
			a.ETag = f.Value
		default:
			all = append(all, f)
		}
	}
	a.Header = all
}
