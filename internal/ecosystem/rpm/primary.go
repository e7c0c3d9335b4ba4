package rpm

import (
	"context"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/unpack"
)

// primary emits the packages that the index lists, one by one.
func (in inspection) primary(ctx context.Context) error {
	var f listed
	return in.walk(ctx, "metadata", func(path []element) error {
		el := &path[len(path)-1]
		switch {
		case len(path) == 2 && el.name == "package":
			return in.end(&f)
		case len(path) != 3:
			return nil
		}
		switch el.name {
		case "location":
			if el.value("base") == "" {
				f.href = el.value("href")
			}
		case "checksum":
			return f.checksum(el)
		case "size":
			return f.bytes(el.value("package"))
		case "time":
			f.published = seconds(el.value("file"))
		}
		return nil
	})
}

// deltas emits the differences between packages that the index lists.
func (in inspection) deltas(ctx context.Context) error {
	var f listed
	return in.walk(ctx, "prestodelta", func(path []element) error {
		el := &path[len(path)-1]
		switch el.name {
		case "delta":
			return in.end(&f)
		case "filename":
			f.href = el.content()
		case "checksum":
			return f.checksum(el)
		case "size":
			return f.bytes(el.content())
		}
		return nil
	})
}

// walk runs through the text of the document.
func (in inspection) walk(ctx context.Context, root string, end func([]element) error) error {
	text, err := unpack.Text(in.doc)
	if err != nil {
		return err
	}
	defer text.Close() //nolint:errcheck // nothing can be lost by it
	w := walk{root: root, end: end}
	return w.run(ctx, newCutter(text))
}

// A listed is a file that an index lists.
type listed struct {
	href      string
	digest    digest.Digest
	sized     bool
	size      int64
	published int64
}

func (f *listed) checksum(el *element) (err error) {
	f.digest, err = checksum(el)
	return err
}

func (f *listed) bytes(s string) (err error) {
	f.size, err = size(s)
	f.sized = err == nil
	return err
}

// end emits a file, and makes room for the next.
func (in inspection) end(f *listed) error {
	defer func() { *f = listed{} }()
	if f.href == "" || f.digest == "" {
		return nil
	}
	u, err := in.resolve(f.href, f.digest.Hex())
	if err != nil || u == "" {
		return err
	}
	c := ecosystem.Claim{URL: u, Digest: f.digest, Size: -1}
	if f.sized {
		c.Size = f.size
	}
	if f.published != 0 {
		c.Published = time.Unix(f.published, 0).UTC()
	}
	return in.emit(c)
}
