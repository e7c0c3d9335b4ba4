package e2e

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hexMaker makes a repository with Hex's own library, which rebar3 carries: a tarball of the
// package pad for each version, and the signed lists.
const hexMaker = `#!/usr/bin/env escript
main([Ebin, Key, Out | Versions]) ->
    true = code:add_patha(Ebin),
    {ok, Pem} = file:read_file(Key),
    Releases = [release(Out, list_to_binary(V)) || V <- Versions],
    Repo = #{repository => <<"acme">>},
    list(Out, "packages/pad", Pem, r3_hex_registry:encode_package(Repo#{name => <<"pad">>, releases => Releases})),
    list(Out, "names", Pem, r3_hex_registry:encode_names(Repo#{packages => [#{name => <<"pad">>}]})),
    list(Out, "versions", Pem, r3_hex_registry:encode_versions(Repo#{packages =>
        [#{name => <<"pad">>, versions => [V || #{version := V} <- Releases], retired => []}]})).

release(Out, V) ->
    Meta = #{<<"name">> => <<"pad">>, <<"app">> => <<"pad">>, <<"version">> => V, <<"build_tools">> => [<<"rebar3">>], <<"requirements">> => #{}},
    App = ["{application, pad, [{vsn, \"", V, "\"}, {applications, [kernel, stdlib]}]}.\n"],
    {ok, #{tarball := T, inner_checksum := In, outer_checksum := Sum}} =
        r3_hex_tarball:create(Meta, [{"src/pad.app.src", iolist_to_binary(App)}, {"src/pad.erl", <<"-module(pad).\n">>}]),
    put(Out, ["tarballs/pad-", V, ".tar"], T),
    #{version => V, inner_checksum => In, outer_checksum => Sum, dependencies => []}.

list(Out, Name, Pem, Payload) -> put(Out, Name, zlib:gzip(r3_hex_registry:sign_protobuf(Payload, Pem))).

put(Out, Name, Bytes) ->
    Path = filename:join(Out, iolist_to_binary(Name)),
    ok = filelib:ensure_dir(Path),
    ok = file:write_file(Path, Bytes).
`

// A hexRepository is a private repository of Hex on a shelf.
type hexRepository struct {
	*shelf
	t      *testing.T
	rebar3 string // the program
	dir    string // with the maker, Hex's library and the keys
	public string // the key that clients know
}

func newHexRepository(t *testing.T) *hexRepository {
	t.Helper()
	need(t, "escript", "openssl")
	r := &hexRepository{shelf: newShelf(t), t: t, rebar3: debianFile(t, "rebar3", "usr/bin/rebar3"), dir: t.TempDir()}
	write(t, r.dir+"/make", hexMaker)
	r.library()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, r.dir+"/key", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	r.public = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	return r
}

// library unpacks the library of Hex from rebar3, which is an archive.
func (r *hexRepository) library() {
	r.t.Helper()
	b, err := os.ReadFile(r.rebar3)
	if err != nil {
		r.t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range z.File {
		if name := filepath.Base(f.Name); strings.HasPrefix(name, "r3_hex_") {
			module, err := fs.ReadFile(z, f.Name)
			if err != nil {
				r.t.Fatal(err)
			}
			write(r.t, r.dir+"/ebin/"+name, string(module))
		}
	}
}

// publish makes the repository have these versions.
func (r *hexRepository) publish(versions ...string) {
	r.t.Helper()
	out := r.t.TempDir()
	output(r.t, "escript", append([]string{r.dir + "/make", r.dir + "/ebin", r.dir + "/key", out}, versions...)...)
	err := filepath.WalkDir(out, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		r.put(strings.TrimPrefix(path, out), b)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// compile compiles a project that needs pad, with a rebar3 that has been used for nothing. It
// returns the version that was fetched, "" if none was.
func (r *hexRepository) compile(d *daemon) (string, result) {
	r.t.Helper()
	dir := r.t.TempDir()
	write(r.t, dir+"/rebar.config", `{deps, [{pad, "~> 1.0"}]}.`)
	write(r.t, dir+"/src/app.app.src", `{application, app, [{vsn, "1"}, {applications, [kernel, stdlib, pad]}]}.`)
	script := `set -e; mkdir -p .config/rebar3; cat >.config/rebar3/rebar.config <<END
{ssl_cacerts_path, ["$SSL_CERT_FILE"]}.
{hex, [{repos, [#{name => <<"acme">>, repo_url => <<"https://` + hexHost + `">>, repo_public_key => <<"` + r.public + `">>}]}]}.
END
exec "$0" compile`
	got := d.run(dir, []string{"HOME=" + dir}, binary, "exec", "--", "sh", "-c", script, r.rebar3)
	app, err := os.ReadFile(dir + "/_build/default/lib/pad/ebin/pad.app")
	if err != nil {
		return "", got
	}
	_, rest, _ := strings.Cut(string(app), `{vsn,"`)
	version, _, _ := strings.Cut(rest, `"`)
	return version, got
}

// TestHex compiles with rebar3 from a private repository: with a tarball changed on the way,
// cold, warm, with a new release, and with the repository gone. rebar3 does not send the name
// in the proxy's URL, so no receipt has its requests.
func TestHex(t *testing.T) {
	repo := newHexRepository(t)
	repo.publish("1.0.0")
	d := start(t, append(repo.settings(map[string]string{"https://" + hexHost + "/": "/"}), "HOSTS=hex="+hexHost)...)
	good := repo.files["tarballs/pad-1.0.0.tar"]
	repo.put("/tarballs/pad-1.0.0.tar", spoil(good))
	if version, got := repo.compile(d); got.code == 0 || version != "" {
		t.Errorf("rebar3 took a tarball that was changed: exit %d\n%s%s", got.code, got.out, got.err)
	}
	if n := metric(t, d, "sutler_verify_failures_total"); n == 0 {
		t.Error("no failed verification was counted")
	}
	repo.put("/tarballs/pad-1.0.0.tar", good)
	want := func(what, version string) {
		t.Helper()
		if fetched, got := repo.compile(d); got.code != 0 || fetched != version {
			t.Errorf("%s: exit %d, pad %q, want %s\n%s%s", what, got.code, fetched, version, got.out, got.err)
		}
	}
	want("cold", "1.0.0")
	repo.since()
	want("warm", "1.0.0")
	if asked := repo.since(); len(asked) != 0 {
		t.Errorf("warm, the repository was asked for %v", asked)
	}
	repo.publish("1.0.0", "1.1.0")
	d.sutler("purge", "/packages/pad")
	want("changed", "1.1.0")
	d.stop()
	repo.Close()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	want("offline", "1.1.0")
}
