package builder

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// embedded holds the compressed frontend program, if `make` put it there.
//
//go:embed frontend
var embedded embed.FS

// ErrNoFrontend means that this program holds no frontend for the engine.
var ErrNoFrontend = errors.New("this sutler was built without the BuildKit frontend")

// ImageName is the name of the frontend's images. The frontend knows it by its last part.
// The host in it keeps an engine that lost the image from asking a registry of strangers.
const ImageName = "localhost/sutler-frontend"

// frontendSettings are what the frontend reads from its image.
type frontendSettings struct {
	Env   map[string]string `json:"env"`
	Files []string          `json:"files"`
	// Proxied is left out if it is empty.
	Proxied []string `json:"proxied,omitempty"`
}

// A program is the frontend program with the settings that its image will hold.
type program struct {
	arch       string
	compressed []byte
	settings   []byte
}

// newFrontend returns the frontend for an engine of the given architecture.
func newFrontend(arch string, s frontendSettings) (program, error) {
	if arch == "" {
		arch = runtime.GOARCH
	}
	f := program{arch: arch}
	var err error
	if f.compressed, err = embedded.ReadFile("frontend/sutler-frontend-linux-" + arch + ".zst"); err != nil {
		return f, fmt.Errorf("%w for linux/%s; build it with make", ErrNoFrontend, arch)
	}
	slices.Sort(s.Files)
	f.settings, err = json.Marshal(s)
	return f, err
}

// ref is the name of the frontend's image. It says what is in the image, so that an image
// of this name never has to be replaced.
func (f program) ref() string {
	h := sha256.New()
	for _, part := range [][]byte{f.compressed, f.settings, []byte(imageFormat)} {
		sum := sha256.Sum256(part)
		h.Write(sum[:])
	}
	return ImageName + ":" + hex.EncodeToString(h.Sum(nil))[:12]
}

// program returns the frontend program.
func (f program) unpack() ([]byte, error) {
	z, err := zstd.NewReader(bytes.NewReader(f.compressed))
	if err != nil {
		return nil, fmt.Errorf("embedded frontend: %w", err)
	}
	defer z.Close()
	data, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("embedded frontend: %w", err)
	}
	return data, nil
}
