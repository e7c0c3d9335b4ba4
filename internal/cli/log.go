package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// logName is the log's file name in the folder of the state.
const logName = "sutler.log"

const (
	// maxLog is the size, in bytes, from which the log is set aside.
	maxLog = 10 << 20
	// logTail is how much of the log is shown when the daemon does not start, bytes.
	logTail = 4 << 10
	// weighEvery is how often the log is weighed.
	weighEvery = 10 * time.Second
)

// openLog opens the log of daemons in the background, setting a large one aside.
func openLog(state string) (string, *os.File, error) {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return "", nil, err
	}
	path := filepath.Join(state, logName)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, err
	}
	return path, f, setAside(f, path)
}

// setAside moves what is in a log of that path, opened for appending, to another file, if it is
// much. The file stays the same: it is also where a crash is written.
func setAside(log *os.File, path string) error {
	if size(log) <= maxLog {
		return nil
	}
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // only read from
	to, err := os.OpenFile(path+".1", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close(), log.Truncate(0))
}

// keepLogSmall sets the log of a daemon in the background aside whenever it has become large,
// until ctx is done. It does nothing if the daemon writes elsewhere: whoever keeps that, as a
// service manager does, bounds it.
func keepLogSmall(ctx context.Context, state string, stderr io.Writer, log *slog.Logger) {
	path := filepath.Join(state, logName)
	f, ok := stderr.(*os.File)
	if !ok || !isThatFile(f, path) {
		return
	}
	tick := time.NewTicker(weighEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := setAside(f, path); err != nil {
			log.Warn("the log cannot be set aside", "err", err.Error())
			return
		}
	}
}

// isThatFile reports whether f is the file that has that path.
func isThatFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

// tail returns the last lines of what was written to a file after its first bytes, for an
// error message.
func tail(path string, after int64) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }() // only read from
	if _, err := f.Seek(max(after, size(f)-logTail), io.SeekStart); err != nil {
		return err.Error()
	}
	b, err := io.ReadAll(io.LimitReader(f, logTail))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}
