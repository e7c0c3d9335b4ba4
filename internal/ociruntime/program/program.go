// Package program holds the program that stands in for a container runtime, and installs it.
package program

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/klauspost/compress/zstd"

	"sutler/internal/ociruntime"
)

// embedded holds the compressed program, if `make` put it there.
//
//go:embed embedded
var embedded embed.FS

// ErrNone means that this sutler holds no such program.
var ErrNone = errors.New("this sutler was built without sutler-runc")

// Install writes the program to path, and beside it what it stands for. A program that is
// there is replaced in one piece: containers may be starting through it. Each place in
// which an engine names a runtime needs a copy of its own if the runtimes differ.
func Install(path string, p ociruntime.Place) error {
	data, err := Program()
	if err != nil {
		return err
	}
	place, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	// The place first: a program without it would have to guess.
	if err := ociruntime.Replace(path+ociruntime.InstallSuffix, append(place, '\n'), 0o644); err != nil {
		return err
	}
	return ociruntime.Replace(path, data, 0o755)
}

// Remove removes what Install wrote; what is not there is no error. No engine may name the
// program any more: without it no container of that engine starts.
func Remove(path string) error {
	var errs []error
	for _, name := range []string{path, path + ociruntime.InstallSuffix} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Program returns the program for the processors of this one. An error wraps ErrNone if
// there is none.
func Program() ([]byte, error) {
	compressed, err := embedded.ReadFile("embedded/sutler-runc-linux-" + runtime.GOARCH + ".zst")
	if err != nil {
		return nil, fmt.Errorf("%w for linux/%s; build it with make", ErrNone, runtime.GOARCH)
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.DecodeAll(compressed, nil)
}
