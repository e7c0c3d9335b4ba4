package frontend

import (
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"
)

var settings = Settings{
	Env:     map[string]string{"SSL_CERT_FILE": "/dev/sutler/ca.pem", "APT_CONFIG": "/dev/sutler/apt.conf"},
	Files:   []string{"apt.conf", "ca.pem"},
	Proxied: []string{"YARN_HTTP_PROXY"},
}

var (
	newEngine = proxy{secrets: true}
	oldEngine = proxy{url: "http://u@h:1", none: "localhost"}
)

func definition(t *testing.T, st llb.State) *pb.Definition {
	t.Helper()
	def, err := st.Marshal(t.Context(), llb.LinuxAmd64)
	if err != nil {
		t.Fatal(err)
	}
	return def.ToPB()
}

func rewritten(t *testing.T, def *pb.Definition, p proxy) *pb.Definition {
	t.Helper()
	out, err := settings.rewrite(def, p)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// steps returns the steps of a definition that run commands, in order.
func steps(t *testing.T, def *pb.Definition) []*pb.ExecOp {
	t.Helper()
	var out []*pb.ExecOp
	for _, data := range def.Def {
		var op pb.Op
		if err := proto.Unmarshal(data, &op); err != nil {
			t.Fatal(err)
		}
		if op.GetExec() != nil {
			out = append(out, op.GetExec())
		}
	}
	return out
}

// describe writes what a step has of ours, in the form of the wants below.
func describe(e *pb.ExecOp) string {
	var out []string
	for _, kv := range e.Meta.Env {
		if !strings.HasPrefix(kv, "PATH=") {
			out = append(out, kv)
		}
	}
	for _, s := range e.Secretenv {
		out = append(out, s.Name+"<-"+s.ID)
	}
	if p := e.Meta.ProxyEnv; p != nil {
		out = append(out, "proxy("+p.HttpProxy+","+p.HttpsProxy+","+p.NoProxy+")")
	}
	for _, m := range e.Mounts {
		if m.SecretOpt != nil {
			out = append(out, m.Dest+"<-"+m.SecretOpt.ID)
		}
	}
	return strings.Join(out, " ")
}

func TestRewriteStep(t *testing.T) {
	const (
		env     = "APT_CONFIG=/dev/sutler/apt.conf SSL_CERT_FILE=/dev/sutler/ca.pem"
		secrets = "HTTP_PROXY<-sutler-proxy http_proxy<-sutler-proxy HTTPS_PROXY<-sutler-proxy https_proxy<-sutler-proxy"
		yarn    = "YARN_HTTP_PROXY<-sutler-proxy"
		none    = "NO_PROXY<-sutler-no-proxy no_proxy<-sutler-no-proxy " + yarn
		files   = "/dev/sutler/apt.conf<-sutler-apt.conf /dev/sutler/ca.pem<-sutler-ca.pem"
	)
	run := func(opts ...llb.RunOption) llb.State {
		return llb.Image("base").Run(append([]llb.RunOption{llb.Args([]string{"cmd"})}, opts...)...).Root()
	}
	for _, tt := range []struct {
		name  string
		state llb.State
		proxy proxy
		want  string
	}{
		{"secrets in the environment", run(), newEngine, env + " " + secrets + " " + none + " " + files},
		{"proxy variables", run(), oldEngine, env + " proxy(http://u@h:1,http://u@h:1,localhost) " + files},
		{"proxy unknown", run(), proxy{}, env + " " + files},
		{"no network", run(llb.Network(llb.NetModeNone)), newEngine, ""},
		{"host network", run(llb.Network(llb.NetModeHost)), newEngine, env + " " + secrets + " " + none + " " + files},
		{"variable of the image", run(llb.AddEnv("SSL_CERT_FILE", "/own")), newEngine,
			"SSL_CERT_FILE=/own APT_CONFIG=/dev/sutler/apt.conf " + secrets + " " + none + " " + files},
		{"further proxy variable of the image", run(llb.AddEnv("YARN_HTTP_PROXY", "own")), newEngine,
			"YARN_HTTP_PROXY=own " + env + " " + secrets + " " + strings.TrimSuffix(none, " "+yarn) + " " + files},
		{"proxy variable of the image", run(llb.AddEnv("https_proxy", "http://own")), newEngine, "https_proxy=http://own " + env + " " + files},
		{"proxy of the user", run(llb.WithProxy(llb.ProxyEnv{HTTPProxy: "http://own"})), newEngine, env + " proxy(http://own,,) " + files},
		{"proxy of the user, old engine", run(llb.WithProxy(llb.ProxyEnv{HTTPSProxy: "http://own"})), oldEngine, env + " proxy(,http://own,) " + files},
		{"exception of the user", run(llb.WithProxy(llb.ProxyEnv{NoProxy: "own"})), newEngine, env + " " + secrets + " " + yarn + " proxy(,,own) " + files},
		{"exception of the user, old engine", run(llb.WithProxy(llb.ProxyEnv{NoProxy: "own"})), oldEngine, env + " proxy(http://u@h:1,http://u@h:1,own) " + files},
		{"secret of the user", run(llb.AddSecret("/dev/sutler/ca.pem", llb.SecretID("own"))), newEngine,
			env + " " + secrets + " " + none + " /dev/sutler/ca.pem<-own /dev/sutler/apt.conf<-sutler-apt.conf"},
		{"directory taken", run(llb.AddMount("/dev/sutler", llb.Scratch())), newEngine, env + " " + secrets + " " + none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := steps(t, rewritten(t, definition(t, tt.state), tt.proxy))
			if len(got) != 1 || describe(got[0]) != tt.want {
				t.Errorf("step:\n got %s\nwant %s", describe(got[0]), tt.want)
			}
		})
	}
}

// TestRewriteDigests checks that a definition stays one: each input names an operation
// before it, and so does everything that is said of operations.
func TestRewriteDigests(t *testing.T) {
	base := llb.Image("base")
	first := base.Run(llb.Shlex("one"), llb.WithCustomName("first")).Root()
	second := first.Run(llb.Shlex("two")).Root().File(llb.Mkdir("/d", 0o755))
	quiet := base.Run(llb.Shlex("three"), llb.Network(llb.NetModeNone)).Root()
	def := definition(t, second.File(llb.Copy(quiet, "/a", "/b")))
	def.Source = &pb.Source{Locations: map[string]*pb.Locations{}}
	for d := range def.Metadata {
		def.Source.Locations[d] = &pb.Locations{}
	}
	out := rewritten(t, def, newEngine)
	known := map[string]bool{}
	changed := 0
	for i, data := range out.Def {
		var op pb.Op
		if err := proto.Unmarshal(data, &op); err != nil {
			t.Fatal(err)
		}
		for _, in := range op.Inputs {
			if !known[in.Digest] {
				t.Errorf("operation %d has the unknown input %s", i, in.Digest)
			}
		}
		known[digest.FromBytes(data).String()] = true
		if string(data) != string(def.Def[i]) {
			changed++
		}
	}
	// Two steps, mkdir, copy and the end follow; the image and the quiet step do not.
	if changed != 5 || len(out.Def) != 7 {
		t.Errorf("%d of %d operations changed, want 5 of 7", changed, len(out.Def))
	}
	if len(out.Metadata) != len(def.Metadata) || len(out.Source.Locations) != len(def.Source.Locations) {
		t.Errorf("%d metadata, %d locations, want %d", len(out.Metadata), len(out.Source.Locations), len(def.Metadata))
	}
	for d := range out.Metadata {
		if !known[d] || out.Source.Locations[d] == nil {
			t.Errorf("metadata or no location of the unknown operation %s", d)
		}
	}
	names := 0
	for _, m := range out.Metadata {
		if m.Description["llb.customname"] == "first" {
			names++
		}
	}
	if names != 1 {
		t.Errorf("%d operations are named first, want 1", names)
	}
}

// TestRewriteTwice: definitions come back from the solver as parts of later ones.
func TestRewriteTwice(t *testing.T) {
	def := definition(t, llb.Image("base").Run(llb.Shlex("one")).Run(llb.Shlex("two")).Root())
	for _, p := range []proxy{newEngine, oldEngine} {
		once := rewritten(t, def, p)
		twice := rewritten(t, once, p)
		if !slices.EqualFunc(once.Def, twice.Def, func(a, b []byte) bool { return string(a) == string(b) }) {
			t.Errorf("rewriting twice differs from once: %s, then %s", describe(steps(t, once)[0]), describe(steps(t, twice)[0]))
		}
	}
}

// TestRewriteSource: an old engine recognises the source that its own frontend fetched.
func TestRewriteSource(t *testing.T) {
	def := definition(t, llb.HTTP("http://context", llb.Filename("context")))
	const want = "\x1a\x2a\n\x0ehttp://context\x12\x18\n\rhttp.filename\x12\acontext" + "Z\x00"
	out := rewritten(t, def, oldEngine)
	if got := string(out.Def[0]); got != want {
		t.Errorf("source = %q, want %q", got, want)
	}
	var end pb.Op
	if err := proto.Unmarshal(out.Def[1], &end); err != nil || end.Inputs[0].Digest != digest.FromBytes(out.Def[0]).String() {
		t.Errorf("the end follows %v, %v", end.Inputs, err)
	}
	if got := rewritten(t, def, newEngine); string(got.Def[0]) != string(def.Def[0]) {
		t.Errorf("source for a new engine = %q, want %q", got.Def[0], def.Def[0])
	}
}

// TestRewriteIsConstant: nothing that a new engine stores depends on the build.
func TestRewriteIsConstant(t *testing.T) {
	def := definition(t, llb.Image("base").Run(llb.Shlex("one")).Root())
	for _, data := range rewritten(t, def, proxy{secrets: true, url: "http://u@h:7885"}).Def {
		if strings.Contains(string(data), "7885") {
			t.Errorf("the proxy is part of the definition: %q", data)
		}
	}
}

func TestParseSettings(t *testing.T) {
	for _, tt := range []struct{ name, text, err string }{
		{"good", `{"env":{"A":"b"},"files":["ca.pem"]}`, ""},
		{"empty", `{}`, ""},
		{"proxied", `{"proxied":["A_PROXY"]}`, ""},
		{"path", `{"files":["../x"]}`, "plain name"},
		{"dots", `{"files":[".."]}`, "plain name"},
		{"unknown", `{"proxy":"x"}`, "unknown field"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseSettings([]byte(tt.text))
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("ParseSettings = %v, want %q", err, tt.err)
			}
		})
	}
}

func TestVisible(t *testing.T) {
	got := visible(map[string]string{
		"build-arg:A": "1", "build-arg:SUTLER_PROXY": "x", "build-arg:BUILDKIT_SYNTAX": "x",
		"context:localhost/sutler-frontend:abc": "x", "context:base": "docker-image://x", "target": "t",
	})
	if len(got) != 4 || got["build-arg:A"] != "1" || got["context:base"] == "" || got["target"] != "t" || got["cmdline"] == "" {
		t.Errorf("visible = %v", got)
	}
}

func FuzzRewrite(f *testing.F) {
	op, err := proto.Marshal(&pb.Op{Op: &pb.Op_Exec{Exec: &pb.ExecOp{Meta: &pb.Meta{Args: []string{"x"}}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(op)
	f.Fuzz(func(t *testing.T, data []byte) {
		once, err := settings.rewrite(&pb.Definition{Def: [][]byte{data}}, newEngine)
		if err != nil {
			return
		}
		twice, err := settings.rewrite(once, newEngine)
		if err != nil || string(once.Def[0]) != string(twice.Def[0]) {
			t.Errorf("rewriting twice = %q, %v, once = %q", twice.GetDef(), err, once.Def[0])
		}
	})
}
