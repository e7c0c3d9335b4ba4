package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"sutler/internal/pty"
)

// TestProgressBar shows a bar on a terminal while something long goes on, and leaves nothing
// of it behind.
func TestProgressBar(t *testing.T) {
	for _, args := range []string{"verify", "prune --older 90d", "purge x"} {
		t.Run(args, func(t *testing.T) {
			keys, screen, err := pty.Open()
			if err != nil {
				t.Skip(err)
			}
			defer keys.Close()
			b := newBench(t)
			seen := make(chan string, 1)
			go func() {
				var text []byte
				for buf := make([]byte, 4096); ; {
					n, err := keys.Read(buf)
					text = append(text, buf[:n]...)
					if i := bytes.Index(text, []byte("1 of 3 files")); i >= 0 && bytes.Contains(text[i:], []byte("2.0 KiB")) {
						seen <- string(text)
						return
					}
					if err != nil {
						seen <- ""
						return
					}
				}
			}()
			bar := ""
			b.fake.shown = func() {
				select {
				case bar = <-seen:
				case <-time.After(20 * time.Second):
				}
			}
			b.start()
			var out bytes.Buffer
			code := Main(t.Context(), Program{Args: strings.Fields(args), Env: b.env, Stdin: strings.NewReader(""), Stdout: &out, Stderr: screen, Serve: b.fake.serve})
			if err := screen.Close(); err != nil {
				t.Fatal(err)
			}
			if code != 0 || !strings.Contains(bar, "33 %") || strings.Contains(out.String(), "33 %") {
				t.Errorf("exit %d, bar %q, result %q", code, bar, out.String())
			}
		})
	}
}
