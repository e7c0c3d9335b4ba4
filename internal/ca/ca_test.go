package ca

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// start is the time at which the tests' authorities are made.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clock is a settable time.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

// open opens an authority for hosts in dir and fails the test if it cannot.
func open(t *testing.T, dir string, now func() time.Time, hosts ...string) *CA {
	t.Helper()
	c, err := Open(dir, hosts, now)
	if err != nil {
		t.Fatalf("Open(%q): %v", hosts, err)
	}
	return c
}

// folder returns the path of a directory that does not exist yet.
func folder(t *testing.T) string { return filepath.Join(t.TempDir(), "ca") }

func TestOpenMakesOneAndReusesIt(t *testing.T) {
	at := &clock{t: start}
	dir := folder(t)
	first := open(t, dir, at.now, "registry.example", "*.files.example")
	if first.Made() != "there was none" {
		t.Errorf("Made = %q, want that there was none", first.Made())
	}
	for _, tt := range []struct {
		name  string
		at    time.Time
		hosts []string
		made  string // part of the reason; "" if the old one is reused
	}{
		{"same hosts", start.Add(time.Hour), []string{"registry.example", "*.files.example"}, ""},
		{"other spelling", start, []string{"*.Files.example", "REGISTRY.example", "registry.example"}, ""},
		{"fewer hosts", start, []string{"registry.example"}, ""},
		{"new host", start, []string{"registry.example", "other.example"}, "does not cover other.example"},
		{"name below a wildcard is a new name", start, []string{"a.files.example"}, "does not cover a.files.example"},
		{"about to end", start.Add(issuerLife - time.Hour), []string{"registry.example"}, "ends on 2027-03-01"},
		{"clock went back", start.Add(-24 * time.Hour), []string{"registry.example"}, "clock went back"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(dir, fileName))
			if err != nil {
				t.Fatal(err)
			}
			copied := folder(t)
			if err := errors.Join(os.Mkdir(copied, 0o700), os.WriteFile(filepath.Join(copied, fileName), text, 0o600)); err != nil {
				t.Fatal(err)
			}
			at := &clock{t: tt.at}
			c := open(t, copied, at.now, tt.hosts...)
			if (tt.made == "") != (c.Made() == "") || !strings.Contains(c.Made(), tt.made) {
				t.Errorf("Made = %q, want %q", c.Made(), tt.made)
			}
			if same := bytes.Equal(c.Root(), first.Root()); same != (tt.made == "") {
				t.Errorf("same root = %v, but Made = %q", same, c.Made())
			}
			if again := open(t, copied, at.now, tt.hosts...); again.Made() != "" {
				t.Errorf("second Open made another: %s", again.Made())
			}
		})
	}
}

func TestOpenReplacesWhatItCannotUse(t *testing.T) {
	at := &clock{t: start}
	good := folder(t)
	open(t, good, at.now, "registry.example")
	text, err := os.ReadFile(filepath.Join(good, fileName))
	if err != nil {
		t.Fatal(err)
	}
	stranger := folder(t)
	open(t, stranger, at.now, "registry.example")
	other, err := os.ReadFile(filepath.Join(stranger, fileName))
	if err != nil {
		t.Fatal(err)
	}
	cut := bytes.LastIndex(text, []byte("-----BEGIN"))
	otherCut := bytes.LastIndex(other, []byte("-----BEGIN"))
	for name, damaged := range map[string][]byte{
		"empty":              nil,
		"no key":             text[:cut],
		"key of another":     append(slices.Clone(text[:cut]), other[otherCut:]...),
		"root of another":    append(firstBlock(t, other), text[len(firstBlock(t, text)):]...),
		"names that lie":     bytes.Replace(text, []byte("Names: registry.example"), []byte("Names: *.example.com"), 1),
		"names that are bad": bytes.Replace(text, []byte("Names: registry.example"), []byte("Names: *"), 1),
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t)
			if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, fileName), damaged, 0o600)); err != nil {
				t.Fatal(err)
			}
			if c := open(t, dir, at.now, "registry.example"); !strings.Contains(c.Made(), "cannot be read") {
				t.Errorf("Made = %q, want that the old one cannot be read", c.Made())
			}
		})
	}
}

// firstBlock returns the PEM text of the first block.
func firstBlock(t *testing.T, text []byte) []byte {
	t.Helper()
	b, _ := pem.Decode(text)
	if b == nil {
		t.Fatal("no PEM block")
	}
	return pem.EncodeToMemory(b)
}

func TestOpenKeepsOthersOut(t *testing.T) {
	at := &clock{t: start}
	dir := folder(t)
	open(t, dir, at.now, "registry.example")
	for path, want := range map[string]os.FileMode{dir: 0o700 | os.ModeDir, filepath.Join(dir, fileName): 0o600} {
		if info, err := os.Lstat(path); err != nil || info.Mode() != want {
			t.Errorf("mode of %s = %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
	for _, tt := range []struct {
		name  string
		spoil func(dir string) error
	}{
		{"directory others can enter", func(dir string) error { return os.Chmod(dir, 0o711) }},
		{"directory the group can read", func(dir string) error { return os.Chmod(dir, 0o740) }},
		{"file the group can read", func(dir string) error { return os.Chmod(filepath.Join(dir, fileName), 0o640) }},
		{"file others can write", func(dir string) error { return os.Chmod(filepath.Join(dir, fileName), 0o602) }},
		{"file is a link", func(dir string) error {
			f := filepath.Join(dir, fileName)
			return errors.Join(os.Rename(f, f+".moved"), os.Symlink(f+".moved", f))
		}},
		{"file is a directory", func(dir string) error {
			f := filepath.Join(dir, fileName)
			return errors.Join(os.Remove(f), os.Mkdir(f, 0o700))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := folder(t)
			open(t, dir, at.now, "registry.example")
			if err := tt.spoil(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir, []string{"registry.example"}, at.now); !errors.Is(err, ErrLoose) {
				t.Errorf("Open = %v, want ErrLoose", err)
			}
		})
	}
}

func TestFileHoldsOneKey(t *testing.T) {
	at := &clock{t: start}
	dir := folder(t)
	c := open(t, dir, at.now, "registry.example")
	text, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("PRIVATE KEY-----\n")); n != 2 { // BEGIN and END
		t.Errorf("%d key lines in the file, want those of one key", n)
	}
	if c.key.PublicKey.Equal(c.root.PublicKey) {
		t.Error("the key in the file is the root's")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("directory holds %v, %v, want %s alone", entries, err, fileName)
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, tt := range []struct {
		in   []string
		want []string // nil: refused
	}{
		{[]string{"B.example", "a.example", "b.example"}, []string{"a.example", "b.example"}},
		{[]string{"*.a.example", "nexus"}, []string{"*.a.example", "nexus"}},
		{nil, nil},
		{[]string{"*"}, nil},
		{[]string{"*.com"}, nil},
		{[]string{"a.*.example"}, nil},
		{[]string{"192.0.2.1"}, nil},
		{[]string{"2001:db8::1"}, nil},
		{[]string{"a.example", ""}, nil},
		{[]string{".example.org"}, nil},
		{[]string{"a..example"}, nil},
		{[]string{"-a.example"}, nil},
		{[]string{long + ".example"}, nil},
		{[]string{"a.example\nb.example"}, nil},
		{[]string{"a.example:443"}, nil},
	} {
		got, err := Names(tt.in)
		if !slices.Equal(got, tt.want) || (err != nil) != (tt.want == nil) || err != nil && !errors.Is(err, ErrName) {
			t.Errorf("Names(%q) = %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestCertificate(t *testing.T) {
	at := &clock{t: start}
	c := open(t, folder(t), at.now, "registry.example", "*.files.example")
	for _, tt := range []struct {
		name string
		want string // the one name of the leaf; "" if refused
	}{
		{"registry.example", "registry.example"},
		{"REGISTRY.Example.", "registry.example"},
		{"a.files.example", "a.files.example"},
		{"b.a.files.example", "b.a.files.example"},
		{"files.example", ""},
		{"below.registry.example", ""},
		{"xregistry.example", ""},
		{"evilfiles.example", ""},
		{"other.example", ""},
		{"example", ""},
		{"", ""},
		{"*.files.example", ""},
		{".files.example", ""},
		{"192.0.2.1", ""},
		{"registry.example\x00.evil.example", ""},
	} {
		leaf, err := c.Certificate(tt.name)
		if tt.want == "" {
			if !errors.Is(err, ErrName) {
				t.Errorf("Certificate(%q) = %v, want ErrName", tt.name, err)
			}
			continue
		}
		if err != nil || !slices.Equal(leaf.Leaf.DNSNames, []string{tt.want}) {
			t.Errorf("Certificate(%q) = %v, want a leaf for %s alone", tt.name, err, tt.want)
			continue
		}
		if err := verify(c, leaf, tt.want, start); err != nil {
			t.Errorf("verify %s: %v", tt.want, err)
		}
		if life := leaf.Leaf.NotAfter.Sub(start); life != leafLife {
			t.Errorf("life of %s = %v, want %v", tt.want, life, leafLife)
		}
	}
}

// verify checks leaf for name as a client does that trusts the root alone.
func verify(c *CA, leaf *tls.Certificate, name string, now time.Time) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(c.Root())
	issuer, err := x509.ParseCertificate(leaf.Certificate[1])
	if err != nil {
		return err
	}
	between.AddCert(issuer)
	_, err = leaf.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: between, CurrentTime: now})
	return err
}

// forge returns a leaf that the authority would never issue, signed with its key, as a
// thief would make it.
func forge(t *testing.T, c *CA, template *x509.Certificate) *tls.Certificate {
	t.Helper()
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	template.NotBefore, template.NotAfter = c.issuer.NotBefore, c.issuer.NotAfter
	template.KeyUsage = x509.KeyUsageDigitalSignature
	leaf, err := sign(template, c.issuer, &key.PublicKey, c.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw, c.issuer.Raw}, PrivateKey: key, Leaf: leaf}
}

func TestStolenKeyIsWorthLittle(t *testing.T) {
	at := &clock{t: start}
	c := open(t, folder(t), at.now, "registry.example", "*.files.example")
	good := forge(t, c, &x509.Certificate{DNSNames: []string{"registry.example"}})
	if err := verify(c, good, "registry.example", start); err != nil {
		t.Fatalf("inside the list: %v", err) // else the refusals below mean nothing
	}
	for _, tt := range []struct {
		name, host string
		template   x509.Certificate
	}{
		{"outside name", "bank.example", x509.Certificate{DNSNames: []string{"bank.example"}}},
		{"inside and outside name", "registry.example", x509.Certificate{DNSNames: []string{"registry.example", "bank.example"}}},
		{"wildcard above", "registry.example", x509.Certificate{DNSNames: []string{"*.example"}}},
		{"IPv4 address", "192.0.2.1", x509.Certificate{IPAddresses: everyIP()[:1]}},
		{"IPv6 address", "2001:db8::1", x509.Certificate{IPAddresses: everyIP()[1:]}},
		{"code signing", "registry.example", x509.Certificate{DNSNames: []string{"registry.example"},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := verify(c, forge(t, c, &tt.template), tt.host, start); err == nil {
				t.Errorf("a client accepts it for %s", tt.host)
			}
		})
	}
	if err := verify(c, good, "registry.example", start.Add(issuerLife+time.Hour)); err == nil {
		t.Error("a client accepts it a year later")
	}
}

func TestIntermediateCannotMakeAuthorities(t *testing.T) {
	at := &clock{t: start}
	c := open(t, folder(t), at.now, "registry.example")
	if !c.issuer.MaxPathLenZero || c.issuer.MaxPathLen != 0 {
		t.Errorf("path length = %d, want 0", c.issuer.MaxPathLen)
	}
	if c.root.NotAfter.Sub(start) != rootLife || c.issuer.NotAfter.Sub(start) != issuerLife {
		t.Errorf("root ends %v, intermediate %v", c.root.NotAfter, c.issuer.NotAfter)
	}
}

func TestLeavesAreRenewed(t *testing.T) {
	at := &clock{t: start}
	c := open(t, folder(t), at.now, "registry.example")
	end := c.issuer.NotAfter
	var last *tls.Certificate
	for _, tt := range []struct {
		name string
		at   time.Time
		same bool
		err  error
	}{
		{"first", start, false, nil},
		{"a day later", start.Add(24 * time.Hour), true, nil},
		{"before its end", start.Add(33 * time.Hour), false, nil},
		{"clock went back", start.Add(time.Hour), false, nil},
		{"clock jumped a year less an hour", end.Add(-time.Hour), false, nil},
		{"cannot live longer than the intermediate", end.Add(-time.Minute), true, nil},
		{"after the end of the authority", end.Add(time.Minute), true, ErrExpired},
		{"clock back again", end.Add(-time.Hour), true, nil},
		{"before the authority", start.Add(-2 * time.Hour), true, ErrExpired},
	} {
		at.set(tt.at)
		leaf, err := c.Certificate("registry.example")
		if !errors.Is(err, tt.err) {
			t.Fatalf("%s: %v, want %v", tt.name, err, tt.err)
		}
		if err != nil {
			continue
		}
		if (leaf == last) != tt.same {
			t.Errorf("%s: same leaf = %v, want %v", tt.name, leaf == last, tt.same)
		}
		if err := verify(c, leaf, "registry.example", tt.at); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		last = leaf
	}
}

func TestCertificateIsSharedAndBounded(t *testing.T) {
	at := &clock{t: start}
	c := open(t, folder(t), at.now, "*.files.example")
	got := make([]*tls.Certificate, 32)
	var group sync.WaitGroup
	for i := range got {
		group.Go(func() {
			leaf, err := c.Certificate("a.files.example")
			if err != nil {
				t.Error(err)
			}
			got[i] = leaf
		})
	}
	group.Wait()
	if slices.ContainsFunc(got, func(l *tls.Certificate) bool { return l != got[0] }) {
		t.Error("concurrent callers got different leaves")
	}
	for i := range maxLeaves + 10 {
		if _, err := c.Certificate(fmt.Sprintf("n%d.files.example", i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.leaves) > maxLeaves {
		t.Errorf("%d leaves in memory, want at most %d", len(c.leaves), maxLeaves)
	}
}

// FuzzCovers checks that no name is issued that the constraints would not permit.
func FuzzCovers(f *testing.F) {
	f.Add("registry.example")
	f.Add("a.files.example")
	f.Add("evil.files.example.")
	names, err := Names([]string{"registry.example", "*.files.example"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if !validName(host) || !covers(names, host) {
			t.Skip()
		}
		if host != "registry.example" && !strings.HasSuffix(host, ".files.example") {
			t.Errorf("covers(%q)", host)
		}
	})
}

func BenchmarkCertificate(b *testing.B) {
	c, err := Open(filepath.Join(b.TempDir(), "ca"), []string{"registry.example"}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Certificate("registry.example"); err != nil {
			b.Fatal(err)
		}
	}
}
