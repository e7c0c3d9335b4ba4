package ca

import (
	"bytes"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// trusts reports whether a client that holds a bundle accepts what c presents now.
func trusts(t *testing.T, bundle []byte, c *CA, now time.Time) bool {
	t.Helper()
	leaf, err := c.Certificate("registry.example")
	if err != nil {
		t.Fatal(err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	issuer, err := x509.ParseCertificate(leaf.Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	between.AddCert(issuer)
	_, err = leaf.Leaf.Verify(x509.VerifyOptions{DNSName: "registry.example", Roots: roots, Intermediates: between, CurrentTime: now})
	return err == nil
}

// TestRotate goes through a rotation hour by hour, with a restart after each: whoever got a
// bundle may use it for as long as the overlap, at least.
func TestRotate(t *testing.T) {
	at := &clock{t: start}
	dir := folder(t)
	c := open(t, dir, at.now, "registry.example")
	first := c.Root()
	old, err := os.Open(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Close() }() // only read from
	const begins, overlap = 5, 24
	bundles := map[int][]byte{}
	for hour := range 60 {
		at.set(start.Add(time.Duration(hour) * time.Hour))
		if hour == begins {
			if err := c.Rotate(overlap * time.Hour); err != nil {
				t.Fatal(err)
			}
			if err := c.Rotate(overlap * time.Hour); !errors.Is(err, ErrRotating) {
				t.Errorf("a second Rotate = %v", err)
			}
		}
		if _, err := c.Settle(); err != nil {
			t.Fatal(err)
		}
		c = open(t, dir, at.now, "registry.example")
		if c.Made() != "" {
			t.Fatalf("hour %d: made another: %s", hour, c.Made())
		}
		if _, err := c.Settle(); err != nil {
			t.Fatal(err)
		}
		_, rotating := c.Next()
		if want := hour >= begins && hour < begins+overlap; rotating != want || (len(c.Roots()) > len(c.Root())) != want {
			t.Errorf("hour %d: rotating = %v, want %v", hour, rotating, want)
		}
		if same := bytes.Equal(c.Root(), first); same != (hour < begins+overlap) {
			t.Errorf("hour %d: the old one signs: %v", hour, same)
		}
		bundles[hour] = c.Bundle(nil)
		for made, b := range bundles {
			if !trusts(t, b, c, at.now()) && (hour-made < overlap || made >= begins) {
				t.Errorf("a bundle of hour %d is of no use in hour %d", made, hour)
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil || bytes.Contains(text, first) {
		t.Errorf("the old one is still there: %v", err)
	}
	rest := new(bytes.Buffer)
	if _, err := rest.ReadFrom(old); err != nil || rest.Len() == 0 || len(bytes.Trim(rest.Bytes(), "\x00")) > 0 {
		t.Errorf("the old key was not overwritten: %d bytes, %v", rest.Len(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("directory holds %v, %v", entries, err)
	}
}

func TestRotateNow(t *testing.T) {
	at := &clock{t: start}
	for _, running := range []bool{false, true} {
		c := open(t, folder(t), at.now, "registry.example")
		before := c.Bundle(nil)
		if running {
			if err := c.Rotate(time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		during := c.Bundle(nil)
		if err := c.Rotate(0); err != nil {
			t.Fatal(err)
		}
		if trusts(t, before, c, start) || trusts(t, during, c, start) != running || !trusts(t, c.Bundle(nil), c, start) {
			t.Errorf("running=%v: the old authority still signs, or nobody trusts the new one", running)
		}
	}
}

// TestRotationByItself looks once a day for three years.
func TestRotationByItself(t *testing.T) {
	at := &clock{t: start}
	dir := folder(t)
	c := open(t, dir, at.now, "registry.example")
	var last []byte
	switches := 0
	for day := range 3 * 365 {
		at.set(start.AddDate(0, 0, day))
		if _, err := c.Settle(); err != nil {
			t.Fatal(err)
		}
		if last != nil && !trusts(t, last, c, at.now()) {
			t.Errorf("day %d: a bundle of yesterday is of no use", day)
		}
		if b := c.Bundle(nil); !bytes.Equal(b, last) {
			last = b
			switches++
		}
		if left := c.Info().Expires.Sub(at.now()); left < 28*24*time.Hour {
			t.Errorf("day %d: what signs ends in %v", day, left)
		}
	}
	if switches != 7 { // the first one, and two for each of three rotations
		t.Errorf("%d bundles in three years", switches)
	}
}

func TestOpenInTheMiddleOfARotation(t *testing.T) {
	at := &clock{t: start}
	begun := func() (dir string, next []byte) {
		dir = folder(t)
		c := open(t, dir, at.now, "registry.example")
		if err := c.Rotate(time.Hour); err != nil {
			t.Fatal(err)
		}
		_, n := c.current()
		return dir, encodeCertificate(n.root)
	}
	at.set(start)
	for _, tt := range []struct {
		name     string
		spoil    func(dir string) error
		hosts    []string
		promoted bool // the next one signs
		rotating bool
		made     bool // said to be another one
	}{
		{"as it was", func(string) error { return nil }, []string{"registry.example"}, false, true, false},
		{"the old one is damaged", func(dir string) error { return os.WriteFile(filepath.Join(dir, fileName), nil, 0o600) }, []string{"registry.example"}, true, false, true},
		{"the next one is damaged", func(dir string) error { return os.WriteFile(filepath.Join(dir, nextName), nil, 0o600) }, []string{"registry.example"}, false, false, false},
		{"others can read the next one", func(dir string) error { return os.Chmod(filepath.Join(dir, nextName), 0o644) }, nil, false, false, false},
		{"another host", func(string) error { return nil }, []string{"registry.example", "other.example"}, false, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, next := begun()
			if err := tt.spoil(dir); err != nil {
				t.Fatal(err)
			}
			if tt.hosts == nil {
				if _, err := Open(dir, []string{"registry.example"}, at.now); !errors.Is(err, ErrLoose) {
					t.Errorf("Open = %v, want ErrLoose", err)
				}
				return
			}
			c := open(t, dir, at.now, tt.hosts...)
			_, rotating := c.Next()
			if bytes.Equal(c.Root(), next) != tt.promoted || rotating != tt.rotating || (c.Made() != "") != tt.made {
				t.Errorf("promoted %v, rotating %v, made %q", bytes.Equal(c.Root(), next), rotating, c.Made())
			}
			if again := open(t, dir, at.now, tt.hosts...); again.Made() != "" {
				t.Errorf("a second Open made another: %s", again.Made())
			}
		})
	}
}

// TestRotateWhileOthersAsk is for the race detector.
func TestRotateWhileOthersAsk(t *testing.T) {
	c := open(t, folder(t), nil, "registry.example", "*.files.example")
	done := make(chan error, 1)
	go func() {
		for range 20 {
			if err := c.Rotate(0); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			if !trusts(t, c.Bundle(nil), c, time.Now()) {
				t.Error("a leaf of an old authority was kept")
			}
			return
		default:
			_, err := c.Certificate("registry.example")
			if err != nil {
				t.Fatal(err)
			}
			c.Roots()
			c.Info()
		}
	}
}
