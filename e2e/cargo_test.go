package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sutler/internal/ecosystem/cargo"
)

// cargoProgram is Debian's: a cargo of rustup works only in its user's home.
const cargoProgram = "/usr/bin/cargo"

// cargoLine returns a command line of cargo with a home of its own, which has that configuration.
func cargoLine(t *testing.T, config string, words ...string) []string {
	t.Helper()
	home := t.TempDir()
	write(t, home+"/config.toml", config)
	return append([]string{"env", "CARGO_HOME=" + home, "CARGO_NET_RETRY=0", "RUSTC=/usr/bin/rustc", cargoProgram}, words...)
}

// crateProject makes a folder with a package that depends on the crates given, "name = version".
func crateProject(t *testing.T, name, version string, dependencies ...string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/Cargo.toml", fmt.Sprintf("[package]\nname = %q\nversion = %q\nedition = \"2021\"\nlicense = \"MIT\"\ndescription = \"x\"\n\n[dependencies]\n%s\n",
		name, version, strings.Join(dependencies, "\n")))
	write(t, dir+"/src/lib.rs", "// version "+version+"\n")
	return dir
}

// A crateRegistry is a sparse registry on a shelf: index and crates in folders of their own.
type crateRegistry struct {
	*shelf
	crates string            // folder
	index  map[string]string // lines of each crate
}

// publish puts a crate that cargo made in a project into the registry.
func (r *crateRegistry) publish(t *testing.T, project, name, version, deps string) []byte {
	t.Helper()
	crate, err := os.ReadFile(filepath.Join(project, "target", "package", name+"-"+version+".crate"))
	if err != nil {
		t.Fatal(err)
	}
	r.index[name] += fmt.Sprintf(`{"name":%q,"vers":%q,"deps":[%s],"cksum":%q,"features":{},"yanked":false}`+"\n", name, version, deps, sha256Of(crate))
	r.put("/index/"+name[:2]+"/"+name[2:4]+"/"+name, []byte(r.index[name]))
	r.put(r.crates+name+"/"+version+"/download", crate)
	return crate
}

// TestCargo fetches crates of a registry whose index and crates are on different hosts: cold,
// warm, at the native endpoint, from a hostile origin, after a change, with the origin gone.
func TestCargo(t *testing.T) {
	need(t, cargoProgram, "/usr/bin/rustc", "curl")
	hosts := cargo.New(cargo.Options{}).Profile().Hosts
	r := &crateRegistry{newShelf(t), "/static/crates/", map[string]string{}}
	r.put("/index/config.json", fmt.Appendf(nil, `{"dl":"https://%s/crates","api":"https://%s"}`, hosts[1], hosts[2]))
	d := start(t, r.settings(map[string]string{"https://" + hosts[0] + "/": "/index/", "https://" + hosts[1] + "/": "/static/"})...)
	pack := func(project, name, version, deps string) []byte {
		d.through(project, cargoLine(t, "", "package", "--no-verify", "--allow-dirty", "--quiet")...)
		return r.publish(t, project, name, version, deps)
	}
	pack(crateProject(t, "inner", "1.0.0"), "inner", "1.0.0", "")
	pack(crateProject(t, "outer", "1.0.0", `inner = "1"`), "outer", "1.0.0",
		`{"name":"inner","req":"^1","features":[],"optional":false,"default_features":true,"target":null,"kind":"normal"}`)

	app := crateProject(t, "app", "1.0.0", `outer = "1"`)
	_, s := d.through(app, cargoLine(t, "", "fetch")...)
	if s.Files < 5 || s.Verified < 2 || s.Unvouched > 0 || s.Failed > 0 {
		t.Errorf("cold: %d files, %d verified, %d unvouched, %d failed: %+v", s.Files, s.Verified, s.Unvouched, s.Failed, s.Lines)
	}
	lock, err := os.ReadFile(app + "/Cargo.lock")
	if err != nil || strings.Count(string(lock), "checksum") != 2 || strings.Contains(string(lock), d.addr) {
		t.Errorf("the lock file is %v\n%s", err, lock)
	}
	r.since()
	_, s = d.through(app, cargoLine(t, "", "fetch", "--locked")...)
	s.allFromStore(t, 1)
	if asked := r.since(); len(asked) > 0 {
		t.Errorf("warm: the origin was asked for %q", asked)
	}

	native := fmt.Sprintf("[source.crates-io]\nreplace-with = \"cache\"\n[source.cache]\nregistry = \"sparse+http://%s/cargo/\"\n", d.addr)
	line := cargoLine(t, native, "fetch")
	d.must(app, nil, line[0], line[1:]...)
	after, err := os.ReadFile(app + "/Cargo.lock")
	if asked := r.since(); err != nil || string(after) != string(lock) || len(asked) > 0 {
		t.Errorf("native: %v, the origin was asked for %q, the lock file is\n%s", err, asked, after)
	}

	// A version that the stored index does not know is no reason to give up: it is asked again.
	newer := crateProject(t, "inner", "1.1.0")
	crate := pack(newer, "inner", "1.1.0", "")
	r.put("/static/crates/inner/1.1.0/download", spoil(crate))
	address := "https://" + hosts[1] + "/crates/inner/1.1.0/download"
	if got := d.run(d.dir, nil, binary, "exec", "--", "curl", "-fsS", address); got.code == 0 {
		t.Error("curl got a crate that is not what the index states")
	}
	hostile := cargoLine(t, "", "update", "--quiet")
	d.through(app, hostile...)
	if got := d.run(app, nil, binary, append([]string{"exec", "--"}, cargoLine(t, "", "fetch")...)...); got.code == 0 {
		t.Error("cargo accepted a crate that is not what the index states")
	}
	r.put("/static/crates/inner/1.1.0/download", crate)
	_, s = d.through(app, cargoLine(t, "", "fetch")...)
	if s.Verified < 2 || s.Failed > 0 {
		t.Errorf("healed: %d verified, %d failed: %+v", s.Verified, s.Failed, s.Lines)
	}

	d.stop()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	_, s = d.through(app, cargoLine(t, "", "fetch", "--locked")...)
	s.allFromStore(t, 1)
}

// TestCargoToken fetches from a registry that wants a token: cargo is told so by the
// registry's own 401, and what it gets with its token is not stored.
func TestCargoToken(t *testing.T) {
	need(t, cargoProgram, "/usr/bin/rustc")
	const origin, token = "http://rust.example/", "secret-of-one-client"
	r := &crateRegistry{newShelf(t), "/crates/", map[string]string{}}
	r.token = token
	r.put("/index/config.json", []byte(`{"dl":"`+origin+`crates","auth-required":true}`))
	d := start(t, r.settings(map[string]string{origin: "/"})...)
	project := crateProject(t, "inner", "1.0.0")
	d.must(project, nil, "env", cargoLine(t, "", "package", "--no-verify", "--allow-dirty", "--quiet")[1:]...)
	r.publish(t, project, "inner", "1.0.0", "")
	app := crateProject(t, "app", "1.0.0", `inner = { version = "1", registry = "mine" }`)
	config := "[registries.mine]\nindex = \"sparse+" + origin + "index/\"\ntoken = \"" + token + "\"\ncredential-provider = [\"cargo:token\"]\n"
	for range 2 {
		_, s := d.through(app, cargoLine(t, config, "fetch")...)
		if l, ok := s.served("/inner/1.0.0/download"); !ok || l.Outcome != "bypass" {
			t.Errorf("with the token: %+v", s.Lines)
		}
	}
	without := strings.Replace(config, token, "other", 1)
	if got := d.run(app, nil, binary, append([]string{"exec", "--"}, cargoLine(t, without, "fetch")...)...); got.code == 0 {
		t.Error("another token was as good")
	}
}

// TestCargoElsewhere fetches from a registry that nobody configured, over plain HTTP.
func TestCargoElsewhere(t *testing.T) {
	need(t, cargoProgram, "/usr/bin/rustc")
	const origin = "http://rust.example/"
	r := &crateRegistry{newShelf(t), "/crates/", map[string]string{}}
	r.put("/index/config.json", []byte(`{"dl":"`+origin+`crates"}`))
	d := start(t, r.settings(map[string]string{origin: "/"})...)
	project := crateProject(t, "inner", "1.0.0")
	d.must(project, nil, "env", cargoLine(t, "", "package", "--no-verify", "--allow-dirty", "--quiet")[1:]...)
	r.publish(t, project, "inner", "1.0.0", "")
	config := "[registries.mine]\nindex = \"sparse+" + origin + "index/\"\n"
	app := crateProject(t, "app", "1.0.0", `inner = { version = "1", registry = "mine" }`)
	_, s := d.through(app, cargoLine(t, config, "fetch")...)
	if s.Files < 3 || s.Verified < 1 || s.Unvouched > 0 || s.Failed > 0 {
		t.Errorf("cold: %+v", s.Lines)
	}
	r.since()
	_, s = d.through(app, cargoLine(t, config, "fetch", "--locked")...)
	s.allFromStore(t, 1)
	if asked := r.since(); len(asked) > 0 {
		t.Errorf("warm: the origin was asked for %q", asked)
	}
}
