package builder

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// imageFormat is to be changed with anything below, so that engines which have an image
// of an earlier format get a new one.
const imageFormat = "1"

// A layout is an image as files by path: an OCI image layout that `docker load` of any
// age reads as well, because it also has the manifest.json of docker's own archives.
type layout struct {
	files  map[string][]byte
	digest string // of the manifest
}

// descriptor names a blob, as in the OCI image specification.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar"
)

// image returns the frontend's image. Equal frontends make equal images.
func (f program) image() (*layout, error) {
	data, err := f.unpack()
	if err != nil {
		return nil, err
	}
	l := &layout{files: map[string][]byte{}}
	var layers []descriptor
	var diffs, paths []string
	for _, file := range []struct {
		name string
		mode int64
		data []byte
	}{{"sutler-frontend", 0o555, data}, {"settings.json", 0o444, f.settings}} {
		data, err := tarOf(file.name, file.mode, file.data)
		if err != nil {
			return nil, err
		}
		d := l.add(layerType, data)
		layers = append(layers, d)
		diffs = append(diffs, d.Digest)
		paths = append(paths, blobPath(d.Digest))
	}
	config := l.addJSON(configType, map[string]any{
		"architecture": f.arch, "os": "linux", "created": "1970-01-01T00:00:00Z",
		"config": map[string]any{
			"Entrypoint": []string{"/sutler-frontend"},
			"Labels": map[string]string{
				"moby.buildkit.frontend.network.none": "true",
				"moby.buildkit.frontend.caps": "moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests," +
					"moby.buildkit.frontend.contexts,moby.buildkit.frontend.gitquerystring,moby.buildkit.frontend.contexts.zstd",
				"org.opencontainers.image.title":       "sutler-frontend",
				"org.opencontainers.image.description": "Dockerfile frontend of sutler; safe to remove, sutler build loads it again",
			},
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": diffs},
		"history": []map[string]string{{"created_by": "sutler: frontend"}, {"created_by": "sutler: settings"}},
	})
	manifest := l.addJSON(manifestType, map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": layers})
	l.digest = manifest.Digest
	manifest.Annotations = map[string]string{"io.containerd.image.name": f.ref(), "org.opencontainers.image.ref.name": f.ref()}
	l.files["oci-layout"] = []byte(`{"imageLayoutVersion":"1.0.0"}`)
	l.files["index.json"] = encode(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": []descriptor{manifest}})
	l.files["manifest.json"] = encode([]map[string]any{{"Config": blobPath(config.Digest), "RepoTags": []string{f.ref()}, "Layers": paths}})
	return l, nil
}

func (l *layout) add(mediaType string, data []byte) descriptor {
	sum := sha256.Sum256(data)
	d := descriptor{MediaType: mediaType, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: len(data)}
	l.files[blobPath(d.Digest)] = data
	return d
}

func (l *layout) addJSON(mediaType string, v any) descriptor { return l.add(mediaType, encode(v)) }

func blobPath(digest string) string { return "blobs/sha256/" + digest[len("sha256:"):] }

// encode returns v, a value of ours that JSON can express, as JSON.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("builder: %v", err)) // impossible: maps, slices and strings
	}
	return data
}

func tarOf(name string, mode int64, data []byte) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := addTo(w, name, mode, data); err != nil {
		return nil, err
	}
	err := w.Close()
	return b.Bytes(), err
}

func addTo(w *tar.Writer, name string, mode int64, data []byte) error {
	err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR})
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// writeTar writes the layout as a tar archive.
func (l *layout) writeTar(to io.Writer) error {
	w := tar.NewWriter(to)
	for _, name := range slices.Sorted(maps.Keys(l.files)) {
		if err := addTo(w, name, 0o444, l.files[name]); err != nil {
			return err
		}
	}
	return w.Close()
}

// writeDir writes the layout into a directory.
func (l *layout) writeDir(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o700); err != nil {
		return err
	}
	for name, data := range l.files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
