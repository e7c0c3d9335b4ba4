package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"sutler/internal/builder"
	"sutler/internal/config"
	"sutler/internal/ecosystem/all"
	"sutler/internal/probe"
)

// System returns the Env of this machine under a configuration. What has to do with the
// daemon and the program itself is left to the caller: Version, Ignored, Vars, Status and
// Start.
func System(c config.Config) Env {
	e := Env{
		Config: c, Root: os.Geteuid() == 0,
		Now: time.Now, ReadFile: os.ReadFile, Stat: os.Stat, Glob: filepath.Glob, Chmod: os.Chmod, Remove: os.RemoveAll, Free: freeBytes,
		Interfaces: interfaces, Resolve: net.DefaultResolver.LookupHost,
		Run: builder.Command, Build: build, Context: buildContext, Look: probe.Look, Do: client(c).Do,
		Image: func() (*builder.Self, error) { return probe.Image("") },
	}
	for _, eco := range all.New(all.Options{}) {
		e.Profiles = append(e.Profiles, eco.Profile())
	}
	return e
}

// client returns what reaches origins as sutler does, without its credentials.
func client(c config.Config) *http.Client {
	proxy := http.ProxyFromEnvironment
	if u, err := url.Parse(c.Upstream.Proxy); err == nil && c.Upstream.Proxy != "" {
		proxy = http.ProxyURL(u)
	}
	return &http.Client{Transport: &http.Transport{Proxy: proxy, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// stopDelay is how long a builder's client may take to end after it was interrupted.
const stopDelay = 10 * time.Second

// build runs a program with these variables besides those of this one and returns all that
// it prints. It is interrupted, not killed, when ctx is done: it has a build to end.
func build(ctx context.Context, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopDelay
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return out, err
}

// buildContext makes a folder to build from.
func buildContext(files map[string]string) (dir string, remove func(), err error) {
	if dir, err = os.MkdirTemp("", probe.Name+"-"); err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) } // a leftover of a private folder, nothing to add
	program, err := probe.Program()
	for name, text := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	if err == nil {
		err = copyFile(filepath.Join(dir, "sutler"), program)
	}
	if err != nil {
		remove()
		return "", nil, err
	}
	return dir, remove, nil
}

// copyFile copies a program. A link would not do: its file may be on another file system.
func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read from
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}

// freeBytes returns the bytes that an ordinary user may still write to a file system.
func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("%s: %w", dir, err)
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:gosec,unconvert // the types differ by platform
}

// interfaces returns the addresses of this machine by the name of the interface.
func interfaces() (map[string][]netip.Addr, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	out := map[string][]netip.Addr{}
	for _, i := range list {
		out[i.Name] = nil
		addrs, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", i.Name, err)
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				out[i.Name] = append(out[i.Name], p.Addr().Unmap())
			}
		}
	}
	return out, nil
}

// withoutUser returns a URL without user name and password, for people to see.
func withoutUser(text string) string { return NewRedactor(nil, nil).Text(text) }
