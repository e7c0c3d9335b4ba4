package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"time"

	"sutler/internal/ociruntime"
	"sutler/internal/settings"
)

// lookEvery is how often the daemon looks for bridges that came or went, and for steps that
// have ended.
const lookEvery = 2 * time.Second

// steps keeps the folder from which sutler-runc serves build steps, and hears from it.
type steps struct {
	d       *process
	dir     string
	conn    *net.UnixConn // nil if there is no folder
	written ociruntime.Settings
	tried   map[netip.Addr]bool // bridges
	records records
	values  settings.Values
	given   []byte // the local authority's roots in the folder
}

func newSteps(d *process) *steps {
	return &steps{d: d, dir: d.config.Steps, tried: map[netip.Addr]bool{}, records: newRecords()}
}

// start makes the folder. Without it steps are not served, and everybody else is.
func (s *steps) start(ctx context.Context) {
	if s.dir == "" {
		return
	}
	if err := s.open(ctx); err != nil {
		s.d.trouble.add(fmt.Errorf("build steps are not served by sutler-runc: %w", err))
		s.close()
	}
}

func (s *steps) open(ctx context.Context) error {
	files := filepath.Join(s.dir, ociruntime.FilesName)
	if err := os.MkdirAll(files, 0o755); err != nil {
		return err
	}
	for _, dir := range []string{s.dir, files} {
		if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask is: steps run as any user
			return err
		}
	}
	if err := s.listen(ctx); err != nil { // first of all: the files may be another sutler's
		return err
	}
	s.values = settings.Values{Proxy: ociruntime.ProxyMark, Native: ociruntime.NativeMark, Dir: ociruntime.Dir}
	if err := s.give(); err != nil {
		return err
	}
	var err error
	if s.written.Network, err = os.Readlink("/proc/self/ns/net"); err != nil {
		return err
	}
	return s.refresh(ctx)
}

// give puts the files for steps into the folder, with the roots that are trusted now.
func (s *steps) give() error {
	roots := s.d.roots()
	if s.given != nil && bytes.Equal(roots, s.given) {
		return nil
	}
	if err := fill(filepath.Join(s.dir, ociruntime.FilesName), settings.Files(s.d.profiles, s.values, s.d.bundle())); err != nil {
		return err
	}
	s.given = roots
	return nil
}

// listen opens the socket for reports, which is also the sign of life.
func (s *steps) listen(ctx context.Context) error {
	at := filepath.Join(s.dir, ociruntime.SocketName)
	var dialer net.Dialer
	if c, err := dialer.DialContext(ctx, "unixgram", at); err == nil {
		return errors.Join(fmt.Errorf("another sutler serves them from %s; give this one another folder by `steps`", s.dir), c.Close())
	}
	if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: at})
	if err != nil {
		return err
	}
	s.conn = conn
	return os.Chmod(at, 0o600)
}

// close takes the folder out of use: from here on steps are left alone. The files stay,
// since running steps read them.
func (s *steps) close() {
	if s.conn == nil {
		return
	}
	for _, name := range []string{ociruntime.SettingsName, ociruntime.SocketName} {
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.d.trouble.add(err)
		}
	}
	s.d.trouble.add(s.conn.Close())
	s.conn = nil
}

// run keeps the folder up to date and takes reports until ctx is done.
func (s *steps) run(ctx context.Context) {
	if s.conn == nil {
		return
	}
	reports := make(chan ociruntime.Report)
	var readers sync.WaitGroup
	hear := func() {
		conn := s.conn
		readers.Go(func() { read(ctx, conn, reports) })
	}
	hear()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case r := <-reports:
			now := time.Now()
			s.records.report(r, now)
			if r.ID != "" && r.Container != "" {
				s.look(map[string]string{r.ID: r.Container}, now)
			}
		case id := <-s.records.first:
			s.d.trouble.add(s.records.begin(context.WithoutCancel(ctx), s.d.receipts, id))
		case now := <-tick.C:
			s.look(s.records.silentSince(now.Add(-quiet)), now)
			s.d.trouble.add(s.records.end(ctx, s.d.receipts, now))
			if s.keep(ctx) {
				hear()
			}
		case <-ctx.Done():
			s.close()
			readers.Wait()
			s.d.trouble.add(s.records.end(context.WithoutCancel(ctx), s.d.receipts, time.Now().Add(forget)))
			return
		}
	}
}

// keep brings the folder up to date and shows that the daemon lives. If somebody has deleted
// the folder it is made anew, and keep reports whether there is another socket to read from.
func (s *steps) keep(ctx context.Context) (another bool) {
	if s.conn == nil {
		return s.renew(ctx) // which failed before
	}
	s.d.trouble.add(s.refresh(ctx))
	err := ociruntime.Live(s.dir)
	s.d.trouble.once(err)
	return errors.Is(err, fs.ErrNotExist) && s.renew(ctx)
}

// renew makes the folder anew, and reports whether there is a socket to read from.
func (s *steps) renew(ctx context.Context) bool {
	s.close()
	s.given, s.written = nil, ociruntime.Settings{}
	if err := s.open(ctx); err != nil {
		s.d.trouble.once(fmt.Errorf("the folder for build steps cannot be made anew: %w", err))
		s.close()
	}
	return s.conn != nil
}

// look notes which of some steps run.
func (s *steps) look(steps map[string]string, now time.Time) {
	s.records.looked(steps, s.d.peers.alive(steps), now)
}

// read passes reports on until the socket is closed.
func read(ctx context.Context, conn *net.UnixConn, to chan<- ociruntime.Report) {
	buf := make([]byte, ociruntime.MaxReport)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		var r ociruntime.Report
		if json.Unmarshal(buf[:n], &r) != nil {
			continue // of another version; only a name is lost
		}
		select {
		case to <- r:
		case <-ctx.Done():
			return
		}
	}
}

// refresh listens on new bridges and writes the settings if they have changed, and the
// files if the local authority has.
func (s *steps) refresh(ctx context.Context) error {
	if err := s.give(); err != nil {
		return err
	}
	if s.d.config.Bridges {
		addrs, err := bridges()
		if err != nil {
			return err
		}
		for _, b := range addrs {
			a := b.addr
			at := net.JoinHostPort(a.String(), s.d.listeners.port())
			internal, _ := s.d.closed.is(ctx, b)
			switch {
			case !internal && !s.tried[a]:
				s.tried[a] = true
				s.d.trouble.add(s.d.listeners.listen(ctx, at))
			case internal && s.tried[a]: // another network had the address before
				delete(s.tried, a)
				s.d.trouble.add(s.d.listeners.close(at))
			}
		}
	}
	now := s.written
	now.Env = s.environment()
	now.Listen = s.reachable()
	if reflect.DeepEqual(now, s.written) {
		return nil
	}
	s.written = now
	return now.Write(s.dir)
}

// metadata are the addresses of the services that tell machines of clouds what they are.
// They answer each machine of its own, and sutler asks them for nobody.
const metadata = "169.254.169.254,fd00:ec2::254"

// environment returns the variables of steps. They reach this machine's own addresses, and
// metadata, directly: what they may reach there, its packet filter says.
func (s *steps) environment() []ociruntime.Variable {
	v := s.values
	if v.NoProxy = s.d.noProxy(); v.NoProxy != "" {
		v.NoProxy += "," + metadata
		all, err := net.InterfaceAddrs()
		s.d.trouble.add(err)
		for _, a := range all {
			if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
				v.NoProxy += "," + p.Addr().String()
			}
		}
	}
	var out []ociruntime.Variable
	for _, e := range settings.Env(s.d.profiles, v, false) {
		out = append(out, ociruntime.Variable{Name: e.Name, Value: e.Value})
	}
	return out
}

// reachable returns the listeners by which steps reach the daemon: an unspecified address
// stands for loopback and all bridges.
func (s *steps) reachable() []ociruntime.Listener {
	var out []ociruntime.Listener
	add := func(addr netip.Addr, port uint16) {
		name, found := interfaceOf(addr)
		if addr.IsLoopback() {
			name = ""
		}
		l := ociruntime.Listener{Address: netip.AddrPortFrom(addr, port).String(), Interface: name}
		if found && !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	for _, a := range s.d.listeners.addresses() {
		ap, err := netip.ParseAddrPort(a)
		switch {
		case err != nil || a == s.d.config.ACNG:
		case !ap.Addr().IsUnspecified():
			add(ap.Addr().Unmap(), ap.Port())
		default:
			add(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ap.Port())
			addrs, err := bridges()
			s.d.trouble.add(err)
			for _, b := range addrs {
				add(b.addr, ap.Port())
			}
		}
	}
	slices.SortFunc(out, func(a, b ociruntime.Listener) int {
		if (a.Interface == "") != (b.Interface == "") {
			return len(a.Interface) - len(b.Interface) // loopback first
		}
		return 0
	})
	return out
}

// interfaceOf returns the name of the interface that has an address.
func interfaceOf(addr netip.Addr) (string, bool) {
	all, err := net.Interfaces()
	if err != nil {
		return "", false
	}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has just gone
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == addr {
				return i.Name, true
			}
		}
	}
	return "", false
}

// fill makes a folder hold these files, each replaced in one piece, and no others.
func fill(dir string, files map[string][]byte) error {
	have, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range have {
		if _, keep := files[f.Name()]; !keep {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, f.Name())))
		}
	}
	for name, data := range files {
		err = errors.Join(err, ociruntime.Replace(filepath.Join(dir, name), data, 0o644))
	}
	return err
}
