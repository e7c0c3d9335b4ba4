package doctor

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"slices"
	"time"
)

// Bundle writes files, by name, as a compressed archive, each after the redactor has read it.
func Bundle(w io.Writer, r Redactor, files map[string]string, now time.Time) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := r.Text(files[name])
		h := &tar.Header{Name: "sutler-doctor/" + name, Mode: 0o644, Size: int64(len(text)), ModTime: now.Truncate(time.Second), Format: tar.FormatUSTAR}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.WriteString(t, text); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}
