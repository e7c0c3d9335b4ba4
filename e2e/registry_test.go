package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A registry is Debian's docker-registry on an address of its own.
type registry struct {
	t              *testing.T
	addr           string
	user, password string // who may use it; "" for everybody
}

// newRegistry starts a registry until the test ends. in is the command that enters its
// network, if it is another.
func newRegistry(t *testing.T, in []string, addr, user, password string) *registry {
	t.Helper()
	need(t, "docker-registry", "htpasswd")
	r := &registry{t: t, addr: addr, user: user, password: password}
	dir := t.TempDir()
	config := "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: " + dir + "/data}}\nhttp: {addr: " + addr + "}\n"
	if user != "" {
		out, err := exec.Command("htpasswd", "-Bbn", user, password).Output()
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir+"/htpasswd", string(out))
		config += "auth: {htpasswd: {realm: test, path: " + dir + "/htpasswd}}\n"
	}
	write(t, dir+"/config.yml", config)
	command := append(append([]string{}, in...), "docker-registry", "serve", dir+"/config.yml")
	cmd := exec.Command(command[0], command[1:]...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()         // its status is the signal
	})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		probe := exec.Command("curl", "-s", "-o", "/dev/null", "http://"+addr+"/v2/")
		if len(in) > 0 {
			probe = exec.Command(in[0], append(append([]string{}, in[1:]...), probe.Args...)...)
		}
		if probe.Run() == nil {
			return r
		}
		if time.Now().After(end) {
			t.Fatalf("docker-registry does not answer: %s", log.String())
		}
	}
}

// do sends one request and returns the answer's header.
func (r *registry) do(method, url, contentType string, body []byte) http.Header {
	r.t.Helper()
	if !strings.HasPrefix(url, "http://") {
		url = "http://" + r.addr + url
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if r.user != "" {
		req.SetBasicAuth(r.user, r.password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		text, _ := io.ReadAll(resp.Body) // for the message only
		r.t.Fatalf("%s %s: %s %s", method, url, resp.Status, text)
	}
	return resp.Header
}

// A described is content as a manifest names it.
type described struct {
	MediaType string            `json:"mediaType"`
	Digest    string            `json:"digest"`
	Size      int               `json:"size"`
	Platform  map[string]string `json:"platform,omitempty"`
}

func describe(mediaType string, b []byte) described {
	return described{MediaType: mediaType, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(b)), Size: len(b)}
}

// blob uploads content and describes it.
func (r *registry) blob(name, mediaType string, b []byte) described {
	r.t.Helper()
	d := describe(mediaType, b)
	at := r.do("POST", "/v2/"+name+"/blobs/uploads/", "", nil).Get("Location")
	mark := "?"
	if strings.Contains(at, "?") {
		mark = "&"
	}
	r.do("PUT", at+mark+"digest="+d.Digest, "application/octet-stream", b)
	return d
}

// manifest uploads a manifest under a tag, or its digest if tag is "".
func (r *registry) manifest(name, tag, mediaType string, m any) described {
	r.t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		r.t.Fatal(err)
	}
	d := describe(mediaType, b)
	if tag == "" {
		tag = d.Digest
	}
	r.do("PUT", "/v2/"+name+"/manifests/"+tag, mediaType, b)
	return d
}

const (
	indexType    = "application/vnd.docker.distribution.manifest.list.v2+json"
	manifestType = "application/vnd.docker.distribution.manifest.v2+json"
	configType   = "application/vnd.docker.container.image.v1+json"
	layerType    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// layer returns a compressed layer with one file of that many random bytes, and the digest
// of what is in it.
func layer(t *testing.T, seed uint64, size int) (compressed []byte, diffID string) {
	t.Helper()
	data := make([]byte, size)
	for i, r := 0, rand.New(rand.NewPCG(seed, 1)); i < size; i++ {
		data[i] = byte(r.Uint32())
	}
	var plain, packed bytes.Buffer
	tw := tar.NewWriter(&plain)
	err := tw.WriteHeader(&tar.Header{Name: fmt.Sprintf("file-%d", seed), Mode: 0o644, Size: int64(size)})
	if err == nil {
		_, err = tw.Write(data)
	}
	if err == nil {
		err = tw.Close()
	}
	zw := gzip.NewWriter(&packed)
	if err == nil {
		_, err = zw.Write(plain.Bytes())
	}
	if err == nil {
		err = zw.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return packed.Bytes(), fmt.Sprintf("sha256:%x", sha256.Sum256(plain.Bytes()))
}

// push uploads an image for two architectures with layers made from the seeds, and tags
// its index. It returns the digest of the index.
func (r *registry) push(name, tag string, seeds ...uint64) described {
	r.t.Helper()
	var all []described
	for _, arch := range []string{"amd64", "arm64"} {
		var layers []described
		var diffs []string
		for _, s := range seeds {
			b, diff := layer(r.t, s, 300_000)
			layers, diffs = append(layers, r.blob(name, layerType, b)), append(diffs, diff)
		}
		config, err := json.Marshal(map[string]any{"architecture": arch, "os": "linux", "config": map[string]any{"Cmd": []string{"true"}},
			"rootfs": map[string]any{"type": "layers", "diff_ids": diffs}})
		if err != nil {
			r.t.Fatal(err)
		}
		m := r.manifest(name, "", manifestType, map[string]any{"schemaVersion": 2, "mediaType": manifestType,
			"config": r.blob(name, configType, config), "layers": layers})
		m.Platform = map[string]string{"architecture": arch, "os": "linux"}
		all = append(all, m)
	}
	return r.manifest(name, tag, indexType, map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": all})
}
