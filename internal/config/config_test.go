package config

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// home is a user with a home folder and nothing else.
func home() Place {
	return Place{Getenv: func(name string) string { return map[string]string{"HOME": "/home/ada"}[name] }}
}

// write puts text into a file of its own, readable by its owner, and returns the path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sutler.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPrecedence(t *testing.T) {
	const key = "store.max_size"
	file, later := write(t, "[store]\nmax_size = \"1GiB\"\n"), write(t, "store.max_size = \"2GiB\"\n")
	env := []string{"SUTLER_STORE_MAX_SIZE=3GiB"}
	flags := map[string]Flag{key: {"max-size", "4GiB"}}
	for _, tt := range []struct {
		name   string
		in     Sources
		want   int64
		origin string
	}{
		{"default", Sources{}, 20 << 30, "default"},
		{"file over default", Sources{Files: []string{file}}, 1 << 30, file + ":2:1"},
		{"later file over earlier", Sources{Files: []string{file, later}}, 2 << 30, later + ":1:1"},
		{"environment over file", Sources{Files: []string{file}, Env: env}, 3 << 30, "SUTLER_STORE_MAX_SIZE"},
		{"flag over all", Sources{Files: []string{file}, Env: env, Flags: flags}, 4 << 30, "--max-size"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Place = home()
			l, err := Load(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if l.Store.MaxSize != tt.want {
				t.Errorf("MaxSize = %d, want %d", l.Store.MaxSize, tt.want)
			}
			if got := l.Origin(key).String(); got != tt.origin {
				t.Errorf("Origin = %s, want %s", got, tt.origin)
			}
		})
	}
}

func TestEveryKeyFromTheEnvironment(t *testing.T) {
	l, err := Load(Sources{Place: home(), Env: []string{
		"SUTLER_LISTEN=127.0.0.1:1,[::1]:2", "SUTLER_BRIDGES=false", "SUTLER_ACNG_LISTEN=127.0.0.1:3142",
		"SUTLER_SOCKET=/run/a.sock", "SUTLER_STORE_VERIFY_EVERY=2d", "SUTLER_UPSTREAM_MAX_PER_HOST=3",
		"SUTLER_POLICY_UNKNOWN_HOSTS=refuse", "SUTLER_HOSTS=generic=dl.example", "PATH=/bin", "SUTLER_CONFIG=/x",
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := Default(home())
	want.Listen, want.Bridges, want.ACNG = []string{"127.0.0.1:1", "[::1]:2"}, false, "127.0.0.1:3142"
	want.Socket, want.Store.VerifyEvery, want.Upstream.MaxPerHost = "/run/a.sock", 48*time.Hour, 3
	want.Policy.UnknownHosts, want.Hosts = Refuse, []string{"generic=dl.example"}
	if diff := cmp.Diff(want, l.Config, cmp.AllowUnexported(Secret{})); diff != "" {
		t.Errorf("Load: (-want +got)\n%s", diff)
	}
	if len(l.Ignored) != 0 {
		t.Errorf("Ignored = %q, want none", l.Ignored)
	}
}

func TestForeignVariablesAreIgnoredAloud(t *testing.T) {
	l, err := Load(Sources{Place: home(), Env: []string{"SUTLER_PORT=tcp://10.0.0.1:7885", "SUTLER_STORE_DRI=/x"}})
	if err != nil {
		t.Fatal(err)
	}
	want := "SUTLER_STORE_DRI: unknown variable; did you mean SUTLER_STORE_DIR?"
	if len(l.Ignored) != 2 || l.Ignored[1] != want {
		t.Errorf("Ignored = %q, want two, the second %q", l.Ignored, want)
	}
}

func TestProblems(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"syntax", "listen = [\n", "f:1:11: array is incomplete"},
		{"no value", "bridges =\n", "f:1:"},
		{"twice", "bridges = true\nbridges = false\n", "f:2:1: "},
		{"slip in a key", "[store]\nmax_sise = \"1GiB\"\n", "f:2:1: store.max_sise: unknown key; did you mean store.max_size?"},
		{"swapped letters", "scoket = \"/x\"\n", "f:1:1: scoket: unknown key; did you mean socket?"},
		{"wrong section", "[upstream]\n  max_size = \"1GiB\"\n", "f:2:3: upstream.max_size: unknown key; did you mean store.max_size?"},
		{"slip in a section", "[stoer]\ndir = \"/x\"\n", "f:1:2: stoer: unknown key"},
		{"nothing near", "colour = \"blue\"\n", "f:1:1: colour: unknown key\n"},
		{"in an inline table", "store = { dri = \"/x\" }\n", "f:1:1: store.dri: unknown key; did you mean store.dir?"},
		{"size without unit", "[store]\nmax_size = 5\n", "f:2:1: store.max_size: write a size with its unit"},
		{"size as bare text", "store.max_size = \"500\"\n", "f:1:1: store.max_size: write a size with its unit"},
		{"duration", "freshness.grace = \"soon\"\n", "f:1:1: freshness.grace: write a duration with its unit"},
		{"choice", "policy.unknown_hosts = \"allow\"\n", "f:1:1: policy.unknown_hosts: write one of tunnel, refuse"},
		{"list", "listen = 7885\n", "f:1:1: listen: write a list of strings"},
		{"no port", "listen = [\"127.0.0.1\"]\n", "f:1:1: listen: \"127.0.0.1\": write address:port"},
		{"all addresses", "listen = [\"0.0.0.0:7885\"]\n", "listen_any"},
		{"all addresses by leaving them out", "listen = [\":7885\"]\n", "listen_any"},
		{"relative path", "store.dir = \"cache\"\n", "write an absolute path"},
		{"one folder for both", "store.dir = \"/x\"\nstore.state = \"/x\"\n", "f:1:1: store.dir: is the same folder"},
		{"long socket", "socket = \"/" + strings.Repeat("x", 120) + "\"\n", "a socket can have 103"},
		{"host with port", "hosts = [\"generic=dl.example:443\"]\n", "without scheme and port"},
		{"credential without secret", "\n[[credentials]]\nprefix = \"https://a.example/\"\n", "f:2:3: credentials[0]: write user and password"},
		{"second credential", "[[credentials]]\nprefix = \"https://a.example/\"\ntoken=\"t\"\n[[credentials]]\nuser = \"u\"\npasword = \"p\"\n",
			"f:6:1: credentials[1].pasword: unknown key; did you mean password?"},
		{"user in the prefix", "[[credentials]]\nprefix = \"https://u:hush@a.example/\"\ntoken = \"t\"\n", "write a URL without user"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(home(), "f", []byte(tt.text))
			var ps Problems
			if !errors.As(err, &ps) {
				t.Fatalf("Parse = %v, want Problems", err)
			}
			if got := err.Error() + "\n"; !strings.Contains(got, tt.want) || strings.Contains(got, "hush") {
				t.Errorf("Parse = %q, want %q in it, and no secret", got, tt.want)
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	text := "listen = [\"nowhere\"]\nsokcet = \"/x\"\n[store]\nmax_size = 1\nverify_every = \"x\"\n[log]\nlevel = \"loud\"\n"
	_, err := Load(Sources{Place: home(), Files: []string{write(t, text)}, Env: []string{"SUTLER_BRIDGES=perhaps"}})
	var ps Problems
	if !errors.As(err, &ps) {
		t.Fatalf("Load = %v, want Problems", err)
	}
	var keys []string
	for _, p := range ps {
		keys = append(keys, fmt.Sprintf("%d %s", p.Line, p.Key))
	}
	want := []string{"2 sokcet", "4 store.max_size", "5 store.verify_every", "7 log.level", "0 bridges", "1 listen"}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("problems: (-want +got)\n%s", diff)
	}
}

func TestCredentialsOfAllFilesAddUp(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("hush\nmore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	one := write(t, "[[credentials]]\nprefix = \"https://a.example/\"\ntoken = \"tok\"\n")
	two := write(t, fmt.Sprintf("[[credentials]]\nprefix = \"https://b.example/\"\nuser = \"ada\"\npassword_file = %q\n", password))
	l, err := Load(Sources{Place: home(), Files: []string{one, two}})
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Credentials) != 2 || l.Credentials[0].Token.Reveal() != "tok" || l.Credentials[1].Password.Reveal() != "hush" {
		t.Errorf("Credentials: %d, want token tok and password hush", len(l.Credentials))
	}
	if err := os.Chmod(one, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Sources{Place: home(), Files: []string{one}}); err == nil || !strings.Contains(err.Error(), "everybody can read") {
		t.Errorf("Load of a public file with a token = %v, want a problem", err)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	text := "[upstream]\nproxy = \"http://ada:hush@proxy.example:3128\"\n[[credentials]]\nprefix = \"https://a.example/\"\nuser = \"ada\"\npassword = \"hush\"\n"
	l, err := Parse(home(), "f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "credentials", l.Credentials, "secret", l.Credentials[0].Password)
	c := l.Credentials
	for name, shown := range map[string]string{
		"settings": fmt.Sprintf("%+v", l.Settings()), "log": log.String(),
		"%v": fmt.Sprintf("%v", c), "%+v": fmt.Sprintf("%+v", c), "%#v": fmt.Sprintf("%#v", c), "%x": fmt.Sprintf("%x", c[0].Password),
	} {
		if strings.Contains(shown, "hush") || strings.Contains(shown, fmt.Sprintf("%x", "hush")) {
			t.Errorf("%s shows the password: %s", name, shown)
		}
		if !strings.Contains(shown, hidden) {
			t.Errorf("%s does not say that there is a password: %s", name, shown)
		}
	}
}

func TestTemplateChangesNothing(t *testing.T) {
	var b strings.Builder
	if err := WriteTemplate(&b, home()); err != nil {
		t.Fatal(err)
	}
	l, err := Parse(home(), "f", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(home()), l.Config, cmp.AllowUnexported(Secret{})); diff != "" {
		t.Errorf("the template changes the defaults:\n%s", diff)
	}
	// With its comment signs away it must still be a correct file that says the defaults.
	active := strings.NewReplacer("\n#[[", "\n[[", "\n# ", "\n## ").Replace(b.String())
	active, _, _ = strings.Cut(active, "\n[[")
	active = strings.ReplaceAll(strings.ReplaceAll(active, "\n##", "\n//"), "\n#", "\n")
	active = strings.ReplaceAll(strings.TrimPrefix(active, "# "), "\n//", "\n#")
	l, err = Parse(home(), "f", []byte("# "+active))
	if err != nil {
		t.Fatalf("Parse of the template made active: %v\n%s", err, active)
	}
	for _, s := range l.Settings() {
		if s.Source != "file" {
			t.Errorf("the template lacks %s", s.Key)
		}
	}
}

func TestPlace(t *testing.T) {
	env := map[string]string{"HOME": "/h", "XDG_CACHE_HOME": "/c", "XDG_RUNTIME_DIR": "/r", "XDG_STATE_HOME": "relative"}
	getenv := func(n string) string { return env[n] }
	user, system := Default(Place{Getenv: getenv}), Default(Place{System: true, Getenv: getenv})
	got := []string{user.Store.Dir, user.Store.State, user.Socket, Default(home()).Socket, system.Store.Dir, system.Store.State, system.Socket}
	want := []string{"/c/sutler", "/h/.local/state/sutler", "/r/sutler.sock", "/home/ada/.local/state/sutler/run/sutler.sock",
		"/var/cache/sutler", "/var/lib/sutler", "/run/sutler/sutler.sock"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("folders: (-want +got)\n%s", diff)
	}
}

func TestFilesInOrder(t *testing.T) {
	dir := t.TempDir()
	p := Place{Getenv: func(n string) string { return map[string]string{"XDG_CONFIG_HOME": dir}[n] }}
	if got, err := p.Files(); err != nil || len(got) != 0 {
		t.Errorf("Files = %q, %v, want none", got, err)
	}
	for _, f := range []string{"conf.d/20.toml", "conf.d/10.toml", "sutler.toml", "conf.d/note.txt"} {
		path := filepath.Join(dir, "sutler", f)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := p.Files()
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i], _ = filepath.Rel(filepath.Join(dir, "sutler"), got[i])
	}
	if diff := cmp.Diff([]string{"sutler.toml", "conf.d/10.toml", "conf.d/20.toml"}, got); diff != "" {
		t.Errorf("Files: (-want +got)\n%s", diff)
	}
}

func TestUnits(t *testing.T) {
	for _, tt := range []struct {
		text string
		want int64 // -1 for an error
	}{
		{"0", 0}, {"1B", 1}, {"20GiB", 20 << 30}, {"500MB", 500e6}, {"1.5 GiB", 3 << 29},
		{"", -1}, {"5", -1}, {"-1GiB", -1}, {"many", -1}, {"9EiB", -1}, {"5 parsecs", -1},
	} {
		got, err := ParseSize(tt.text)
		if err != nil {
			got = -1
		}
		if got != tt.want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", tt.text, got, err, tt.want)
		}
	}
	for _, tt := range []struct {
		text string
		want time.Duration
	}{
		{"10m", 10 * time.Minute}, {"168h", 168 * time.Hour}, {"7d", 168 * time.Hour}, {"0s", 0}, {"1h30m", 90 * time.Minute},
		{"", -1}, {"10", -1}, {"-5m", -1}, {"d", -1}, {"99999999d", -1},
	} {
		got, err := ParseDuration(tt.text)
		if err != nil {
			got = -1
		}
		if got != tt.want {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", tt.text, got, err, tt.want)
		}
	}
}

// FuzzParse checks that a configuration that is accepted can be written down and read
// again without change, and that each problem has a place inside the file.
func FuzzParse(f *testing.F) {
	f.Add("listen = [\"127.0.0.1:7885\"]\n[store]\nmax_size = \"1GiB\"\nverify_every = \"90s\"\n")
	f.Add("[[credentials]]\nprefix = \"https://a.example/\"\ntoken = \"t\"\n[[credentials]]\nusr = 1\n")
	f.Add("store = { dir = \"/x\\u007f\" }\n")
	f.Add("[a.b]\nc.d = { e = [ { f = 1 } ] }\n")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse(home(), "f", []byte(text))
		var ps Problems
		if errors.As(err, &ps) {
			for _, p := range ps {
				if lines := strings.Count(text, "\n") + 1; p.Line > lines || (p.Source == "file" && p.Line > 0 && p.Column < 1) {
					t.Errorf("problem %v outside of the %d lines", p, lines)
				}
			}
			return
		}
		var again strings.Builder
		for _, k := range l.table {
			fmt.Fprintf(&again, "%s = %s\n", k.name, k.bind(&l.Config).toml())
		}
		second, err := Parse(home(), "f", []byte(again.String()))
		if err != nil {
			t.Fatalf("Parse of what was accepted: %v\n%s", err, again.String())
		}
		for _, k := range l.table {
			if a, b := k.bind(&l.Config).plain(), k.bind(&second.Config).plain(); !reflect.DeepEqual(a, b) {
				t.Errorf("%s: %v, written and read again %v", k.name, a, b)
			}
		}
	})
}

func TestDNSKeys(t *testing.T) {
	l, err := Load(Sources{Place: home(), Env: []string{"SUTLER_DNS_LISTEN=172.17.0.1:53", "SUTLER_DNS_REDIRECT=docker0",
		"SUTLER_DNS_ZONES=corp.example=10.0.0.53 10.0.0.54; b.example=10.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"corp.example=10.0.0.53 10.0.0.54", "b.example=10.0.0.1"}, l.DNS.Zones); diff != "" {
		t.Error(diff)
	}
	for _, env := range []string{"LISTEN=0.0.0.0:53", "LISTEN=[::]:53", "LISTEN=docker0:53", "CLIENTS=x", "ADDRESS=x", "REDIRECT=docker0", "DOMAIN=a/b", "RAWDNS=x"} {
		if _, err := Load(Sources{Place: home(), Env: []string{"SUTLER_DNS_" + env}}); err == nil {
			t.Errorf("%s is no error", env)
		}
	}
	if err := interfaceName(`x" drop`); err == nil {
		t.Error("a rule is no name of an interface")
	}
}
