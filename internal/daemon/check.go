package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"sutler/internal/config"
	"sutler/internal/ecosystem/gomod"
	"sutler/internal/upstream"
)

// Check returns what a daemon would refuse in a configuration that reads well, or complain
// about: ecosystems that there are not, mirrors without a URL, files that cannot be read.
// It opens no store and reaches nothing.
func Check(c config.Config) []error {
	d := &process{config: c, trouble: trouble{log: slog.New(slog.DiscardHandler)}}
	errs := []error{d.openEcosystems()}
	for _, m := range c.Upstream.Mirrors {
		_, err := upstream.ParseMirror(m)
		errs = append(errs, about("upstream.mirrors", err))
	}
	if c.Upstream.CAFile != "" {
		_, err := os.ReadFile(c.Upstream.CAFile)
		errs = append(errs, about("upstream.ca_file", err))
	}
	_, err := gomod.ParseDatabase(c.Gomod.SumDB)
	errs = append(errs, about("gomod.sumdb", err))
	for _, folder := range []struct{ key, dir string }{{"apt.keyrings", c.Apt.Keyrings}, {"apk.keys", c.Apk.Keys}, {"rpm.keyrings", c.RPM.Keyrings}} {
		if folder.dir != "" {
			_, err := os.ReadDir(folder.dir)
			errs = append(errs, about(folder.key, err))
		}
	}
	var out []error
	for _, err := range errs {
		if err != nil {
			out = append(out, err)
		}
	}
	return out
}

// about makes an error a problem of the configuration, of which the key is known, and whoever
// read it knows the place.
func about(key string, err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		err = fmt.Errorf("%s: %w", path.Path, path.Err)
	}
	if err == nil {
		return nil
	}
	return &config.Problem{Key: key, Message: err.Error()}
}
