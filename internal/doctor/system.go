package doctor

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"sutler/internal/builder"
	"sutler/internal/config"
	"sutler/internal/ecosystem/all"
)

// System returns the Env of this machine under a configuration. What has to do with the
// daemon and the program itself is left to the caller: Version, Ignored, Vars, Status,
// Start and Image.
func System(c config.Config) Env {
	e := Env{
		Config: c, Root: os.Geteuid() == 0,
		Now: time.Now, ReadFile: os.ReadFile, Stat: os.Stat, Glob: filepath.Glob, Chmod: os.Chmod, Free: freeBytes,
		Interfaces: interfaces, Resolve: net.DefaultResolver.LookupHost,
		Run: builder.Command, Probe: Probe, Do: client(c).Do,
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
