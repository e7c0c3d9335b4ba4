package cli

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// TestKeepLogSmall sets the log of a running daemon aside; the daemon goes on writing to the
// same file, and another file is left alone.
func TestKeepLogSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := t.TempDir()
		path, log, err := openLog(state)
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		other, err := os.Create(t.TempDir() + "/other")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		ctx, stop := context.WithCancel(t.Context())
		for _, stderr := range []io.Writer{log, other, io.Discard} {
			go keepLogSmall(ctx, state, stderr, slog.New(slog.DiscardHandler))
		}
		write := func(text []byte) {
			for _, f := range []*os.File{log, other} {
				if _, err := f.Write(text); err != nil {
					t.Fatal(err)
				}
			}
			weigh(t)
		}
		write(bytes.Repeat([]byte("a"), maxLog))
		if n := size(log); n != maxLog {
			t.Errorf("%d bytes are in a log that is not too large", n)
		}
		write([]byte("b"))
		write([]byte("c"))
		aside, err := os.Stat(path + ".1")
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if string(text) != "c" || err != nil || aside.Size() != maxLog+1 || size(other) != maxLog+2 {
			t.Errorf("%.20q in the log (%v), %d bytes aside, %d in another file", text, err, aside.Size(), size(other))
		}
		stop()
		synctest.Wait()
	})
}

// weigh lets the time pass in which logs are weighed once.
func weigh(t *testing.T) {
	t.Helper()
	time.Sleep(weighEvery)
	synctest.Wait()
}
