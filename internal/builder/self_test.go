package builder

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

// elfFile makes the smallest program that Linux would take for one.
func elfFile(t *testing.T, machine elf.Machine, progs ...elf.ProgType) string {
	t.Helper()
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Ehsize: 64, Phentsize: 56, Phnum: uint16(len(progs))}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	if len(progs) > 0 {
		h.Phoff = 64
	}
	if err := binary.Write(&b, binary.LittleEndian, h); err != nil {
		t.Fatal(err)
	}
	for _, p := range progs {
		if err := binary.Write(&b, binary.LittleEndian, elf.Prog64{Type: uint32(p)}); err != nil {
			t.Fatal(err)
		}
	}
	at := t.TempDir() + "/program"
	if err := os.WriteFile(at, b.Bytes(), 0o755); err != nil {
		t.Fatal(err)
	}
	return at
}

func TestSelf(t *testing.T) {
	at := elfFile(t, elf.EM_AARCH64, elf.PT_LOAD)
	archive := func() (*Self, string) {
		s, err := NewSelf("v1.2+dirty", at, "")
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := s.Write(&b); err != nil {
			t.Fatal(err)
		}
		return s, b.String()
	}
	s, one := archive()
	_, two := archive()
	if one != two {
		t.Error("the same program makes two images")
	}
	if s.Ref != "sutler:v1.2-dirty" || s.Arch != "arm64" || !strings.HasPrefix(s.Digest, "sha256:") || s.Digest == s.ID {
		t.Errorf("%+v", s)
	}
	for _, want := range []string{`"Entrypoint":["/sutler"]`, `"Test":["CMD","/sutler","healthcheck"]`, `"org.opencontainers.image.version":"v1.2+dirty"`, "var/lib/sutler/", `"RepoTags":["sutler:v1.2-dirty"]`} {
		if !strings.Contains(one, want) {
			t.Errorf("the archive lacks %s", want)
		}
	}
}

func TestSelfRefuses(t *testing.T) {
	for name, at := range map[string]string{"a text": "self_test.go", "libraries": elfFile(t, elf.EM_X86_64, elf.PT_INTERP), "machine": elfFile(t, elf.EM_68K)} {
		if _, err := NewSelf("1", at, ""); !errors.Is(err, ErrProgram) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLoader loads by the commands of a client that is not there.
func TestLoader(t *testing.T) {
	s, err := NewSelf("1.0", elfFile(t, elf.EM_X86_64), "")
	if err != nil {
		t.Fatal(err)
	}
	arch, has, loaded := "amd64", "sha256:other", 0
	for _, l := range Loaders("k8s.io") {
		l.Run = func(_ context.Context, stdin io.Reader, name string, args ...string) ([]byte, error) {
			switch line := name + " " + strings.Join(args, " "); {
			case strings.Contains(line, "inspect"):
				return []byte(has), nil
			case stdin == nil:
				return []byte(arch + "\n"), nil
			case strings.Contains(line, "--namespace default"):
				t.Error(line)
			}
			n, err := io.Copy(io.Discard, stdin)
			loaded += int(n)
			return nil, err
		}
		has = "sha256:other"
		before := loaded
		if l.Has(t.Context(), s) || l.Load(t.Context(), s) != nil || loaded == before {
			t.Errorf("%s: an image of that name stands for this one", l.Name)
		}
		has = strings.TrimPrefix(s.ID, "sha256:")
		if got := l.Has(t.Context(), s); got != (l.Name != "containerd") {
			t.Errorf("%s has it: %v", l.Name, got)
		}
	}
	l := Loaders("")[0]
	l.Run = func(context.Context, io.Reader, string, ...string) ([]byte, error) { return []byte("arm64"), nil }
	if err := l.Load(t.Context(), s); !errors.Is(err, ErrArch) {
		t.Errorf("another architecture: %v", err)
	}
}
