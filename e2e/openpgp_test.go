package e2e

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"sutler/internal/ecosystem/openpgp"
)

// A keyserver serves keys that gpg made, as the protocol HKP has it.
type keyserver struct {
	*httptest.Server
	mu    sync.Mutex
	keys  map[string]string // armoured, by fingerprint
	lie   string            // the fingerprint that every question gets the key of
	asked int
}

// ServeHTTP answers for full fingerprints and long ids.
func (k *keyserver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked++
	search := strings.TrimPrefix(r.FormValue("search"), "0x")
	for print, armoured := range k.keys {
		if r.URL.Path == "/pks/lookup" && r.FormValue("op") == "get" && len(search) >= 16 && strings.HasSuffix(print, search) {
			if k.lie != "" {
				armoured = k.keys[k.lie]
			}
			w.Header().Set("Content-Type", "application/pgp-keys")
			_, _ = w.Write([]byte(armoured)) // who went away does not read it
			return
		}
	}
	http.NotFound(w, r)
}

// keyring makes a folder for gpg, whose daemons end with the test. Their sockets need a short path.
func keyring(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd := exec.Command("gpgconf", "--homedir", dir, "--kill", "all")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("gpgconf: %v\n%s", err, out)
		}
		_ = os.RemoveAll(dir) // sockets may vanish while it is read
	})
	return dir
}

// keys starts a keyserver with two keys and returns their fingerprints.
func keys(t *testing.T) (*keyserver, []string) {
	t.Helper()
	home := keyring(t)
	gpg := func(args ...string) string {
		cmd := exec.Command("gpg", append([]string{"--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""}, args...)...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("gpg %v: %v", args, err)
		}
		return string(out)
	}
	k := &keyserver{keys: map[string]string{}}
	var prints []string
	for _, name := range []string{"One <one@example.org>", "Two <two@example.org>"} {
		gpg("--quick-gen-key", name, "ed25519", "sign", "never")
		_, fields, _ := strings.Cut(gpg("--with-colons", "--list-keys", name), "\nfpr:::::::::")
		print, _, _ := strings.Cut(fields, ":")
		prints = append(prints, print)
		k.keys[print] = gpg("--armor", "--export", print)
	}
	k.Server = httptest.NewServer(k)
	t.Cleanup(k.Close)
	return k, prints
}

// receive is a command that gets a key into a new keyring from a keyserver, through the
// proxy if one is set, and lists what came.
func receive(t *testing.T, server, name string) []string {
	t.Helper()
	return []string{"sh", "-c", `[ -z "$SUTLER_DIRMNGR_CONF" ] || cat "$SUTLER_DIRMNGR_CONF" >"$1/dirmngr.conf"
gpg --homedir "$1" --batch --keyserver "$2" --recv-keys "$3" && gpg --homedir "$1" --batch --with-colons --list-keys`, "sh", keyring(t), server, name}
}

// TestKeyserver gets keys with gpg and curl, by the native endpoint, by the proxy over HTTP
// and by interception: cold, warm, and with the keyserver gone.
func TestKeyserver(t *testing.T) {
	need(t, "gpg", "dirmngr", "curl")
	k, prints := keys(t)
	one, two := prints[0], prints[1]
	origin := strings.TrimPrefix(k.URL, "http://")
	local := "localhost" + origin[strings.LastIndexByte(origin, ':'):] // dirmngr wants a name
	public := openpgp.New(openpgp.Options{}).Profile().Mounts[0].Origin
	d := start(t, "UPSTREAM_ALLOW_LOOPBACK="+origin+","+local, "UPSTREAM_MIRRORS_ONLY=true",
		"UPSTREAM_MIRRORS="+public+"="+k.URL+"/pks/")
	check := func(way string, r result, print string) {
		t.Helper()
		if !strings.Contains(r.out, ":"+print+":") {
			t.Errorf("%s: the key did not come\n%s\n%s", way, r.out, r.err)
		}
	}
	for range 2 {
		for _, name := range []string{one, one[24:]} {
			command := receive(t, "hkp://"+d.addr, name)
			check("native endpoint", d.must(d.dir, nil, command[0], command[1:]...), one)
		}
		r, s := d.through(d.dir, receive(t, "hkp://"+local, two)...)
		check("proxy", r, two)
		if s.Verified != 1 || !strings.HasPrefix(s.Lines[0].Signer, two+" Two") {
			t.Errorf("proxy: %+v", s)
		}
		r, s = d.through(d.dir, "curl", "-fsS", public+"lookup?op=get&search=0x"+one)
		if r.out != k.keys[one] || s.Verified != 1 || s.FromStore == 0 {
			t.Errorf("interception: %+v\n%s", s, r.out)
		}
	}
	if k.asked != 3 {
		t.Errorf("the keyserver was asked %d times for two keys by three names", k.asked)
	}
	d.stop()
	k.Close()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	r, s := d.through(d.dir, receive(t, "hkp://"+local, two)...)
	check("offline", r, two)
	s.allFromStore(t, 1)
}

// TestKeyserverHostile answers with the key of another: no client gets it, and the right
// one works afterwards.
func TestKeyserverHostile(t *testing.T) {
	need(t, "gpg", "dirmngr", "curl")
	k, prints := keys(t)
	origin := strings.TrimPrefix(k.URL, "http://")
	d := start(t, "UPSTREAM_ALLOW_LOOPBACK="+origin)
	question := k.URL + "/pks/lookup?op=get&options=mr&search=0x" + prints[0]
	k.lie = prints[1]
	r := d.run(d.dir, nil, binary, "exec", "--", "curl", "-fsS", "--noproxy", "", question)
	if r.code == 0 || strings.Contains(r.out, "PGP") {
		t.Errorf("got the key of another: %d\n%s", r.code, r.out)
	}
	k.mu.Lock()
	k.lie = ""
	k.mu.Unlock()
	r, s := d.through(d.dir, "curl", "-fsS", "--noproxy", "", question)
	if r.out != k.keys[prints[0]] || s.Verified != 1 {
		t.Errorf("right key: %+v\n%s", s, r.out)
	}
}

// TestKeyserverTLS gets a key with gpg over TLS, by interception. dirmngr looks the
// keyserver's name up itself and wants dots in it, so a hosts file is put in place for it.
func TestKeyserverTLS(t *testing.T) {
	need(t, "gpg", "dirmngr", "unshare")
	const name = "keys.example.org"
	hosts := t.TempDir() + "/hosts"
	write(t, hosts, "127.0.0.1 localhost "+name+"\n")
	within := []string{"unshare", "-m", "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, hosts}
	if out, err := exec.Command(within[0], append(within[1:], "true")...).CombinedOutput(); err != nil {
		lacks(t, "no mount namespace: "+string(out))
	}
	k, prints := keys(t)
	d := start(t, "UPSTREAM_ALLOW_LOOPBACK="+strings.TrimPrefix(k.URL, "http://"), "UPSTREAM_MIRRORS_ONLY=true",
		"HOSTS=openpgp="+name, "UPSTREAM_MIRRORS=https://"+name+"/="+k.URL+"/")
	for range 2 {
		r, s := d.through(d.dir, append(within, receive(t, "hkps://"+name, prints[0])...)...)
		if !strings.Contains(r.out, ":"+prints[0]+":") || s.Verified != 1 {
			t.Errorf("%+v\n%s\n%s", s, r.out, r.err)
		}
	}
	if k.asked != 1 {
		t.Errorf("the keyserver was asked %d times", k.asked)
	}
}
