package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"sutler/internal/ecosystem/huggingface"
)

// A hubOrigin stands in for the hub, with one model.
type hubOrigin struct {
	*shelf
	host string
}

// publish makes the model have a commit, whose large file has these bytes.
func (h hubOrigin) publish(commit, model string) {
	at := h.host + "/acme/pad/resolve/" + commit + "/"
	sum := sha256Of([]byte(model))
	h.put(h.host+"/api/models/acme/pad/revision/main?blobs=true", fmt.Appendf(nil,
		`{"id":"acme/pad","modelId":"acme/pad","sha":"%s","private":false,"tags":[],"downloads":0,"likes":0,"siblings":[{"rfilename":"config.json","size":2},`+
			`{"rfilename":"model.safetensors","size":%d,"lfs":{"sha256":"%s","size":%[2]d,"pointerSize":127}}]}`, commit, len(model), sum))
	h.put(h.host+"/api/models/acme/pad/revision/"+commit+"?blobs=true", h.files[h.host+"/api/models/acme/pad/revision/main?blobs=true"])
	tree := h.host + "/api/models/acme/pad/tree/" + commit + "?"
	h.put(tree+"expand=false&recursive=true", []byte(`[{"type":"file","oid":"1111111111111111111111111111111111111111","size":2,"path":"config.json"}]`))
	h.put(tree+"cursor=2&expand=false&recursive=true", fmt.Appendf(nil,
		`[{"type":"file","oid":"2222222222222222222222222222222222222222","size":%d,"path":"model.safetensors","lfs":{"oid":"%s","size":%[1]d,"pointerSize":127}}]`, len(model), sum))
	h.head[tree+"expand=false&recursive=true"] = map[string][]string{"Link": {"<https://" + tree + `recursive=true&expand=false&cursor=2>; rel="next"`}}
	h.put(at+"config.json", []byte("{}"))
	h.put(at+"model.safetensors", []byte(model))
	h.head[at+"config.json"] = map[string][]string{"X-Repo-Commit": {commit}, "Etag": {`"` + sha256Of([]byte("{}"))[:40] + `"`}}
	h.head[at+"model.safetensors"] = map[string][]string{"X-Repo-Commit": {commit}, "X-Linked-Etag": {`"` + sum + `"`}, "X-Linked-Size": {fmt.Sprint(len(model))}, "Etag": {`"` + sum + `"`}}
}

// TestHuggingFace downloads a model with the hub's own client: with the large file changed on
// the way, cold, warm, with a new commit, at the native endpoint, and with the hub gone.
func TestHuggingFace(t *testing.T) {
	h := hubOrigin{newShelf(t), huggingface.New(huggingface.Options{}).Profile().Hosts[0]}
	d := start(t, h.settings(map[string]string{"https://" + h.host + "/": "/" + h.host + "/"})...)
	first, second := strings.Repeat("0123456789", 4), strings.Repeat("abcdef0123", 4)
	old, fresh := strings.Repeat("weights\n", 10_000), strings.Repeat("weights of another kind\n", 5_000)
	h.publish(first, old)
	download := func(env []string, through ...string) (string, result) {
		t.Helper()
		dir := t.TempDir()
		command := append(append([]string{}, through...), inSid(t, "hf", "download", "acme/pad", "--local-dir", "out")...)
		r := d.run(dir, append(env, "HF_HOME="+dir+"/home", "HF_HUB_DISABLE_TELEMETRY=1", "HF_HUB_DISABLE_UPDATE_CHECK=1", "HF_HUB_DOWNLOAD_TIMEOUT=10"), command[0], command[1:]...)
		b, _ := os.ReadFile(dir + "/out/model.safetensors") // that it is not there is told by its text
		return string(b), r
	}
	want := func(what, text string, env []string, through ...string) {
		t.Helper()
		if got, r := download(env, through...); r.code != 0 || got != text {
			t.Errorf("%s: exit %d, %d bytes\n%s%s", what, r.code, len(got), r.out, r.err)
		}
	}
	through := []string{binary, "exec", "--"}
	model := h.host + "/acme/pad/resolve/" + first + "/model.safetensors"
	h.tamper(model, true)
	if got, r := download(nil, through...); r.code == 0 || got != "" {
		t.Errorf("the client took a file that was changed: exit %d\n%s%s", r.code, r.out, r.err)
	}
	h.tamper(model, false)
	want("cold", old, nil, through...)
	if s := d.last(); s.Failed > 0 || s.Verified == 0 || !s.has("/model.safetensors") {
		t.Errorf("cold: %+v", s)
	}
	before := h.count(model)
	want("warm", old, nil, through...)
	if s := d.last(); s.Downloaded > 0 {
		t.Errorf("warm: %+v", s)
	}
	want("at the endpoint", old, []string{"HF_ENDPOINT=http://" + d.addr + "/huggingface"})
	if n := h.count(model) - before; n != 0 {
		t.Errorf("warm, the hub was asked %d times", n)
	}
	h.publish(second, fresh)
	d.sutler("purge", "/revision/main")
	want("changed", fresh, nil, through...)
	d.stop()
	h.Close()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	want("offline", fresh, nil, through...)
}
