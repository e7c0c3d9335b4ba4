package attach

import (
	"archive/tar"
	"bufio"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// probeImage is the image of throw-away containers, made of this program and nothing else.
	probeImage = "sutler-probe"
	// probeTag tells the images of running sutlers apart; the last one is removed by Tidy.
	probeTag = "attach"
	// probeWithin bounds one question of a probe.
	probeWithin = 5 * time.Second
	// probesWithin bounds all containers together.
	probesWithin = time.Minute
)

// errNoProbe means that no throw-away container can be made here.
var errNoProbe = errors.New("no throw-away container")

// Probe prints what can be reached from where it runs, one fact a line: it is what the
// throw-away containers do.
func Probe(ctx context.Context, w io.Writer, name, address string) error {
	var facts []string
	within, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	var r net.Resolver
	if name != "" {
		if _, err := r.LookupHost(within, name); err == nil {
			facts = append(facts, "resolves "+name)
		}
	}
	if address != "" {
		if err := fetch(ctx, address); err == nil {
			facts = append(facts, "fetches "+address)
		}
	}
	_, err := fmt.Fprintln(w, strings.Join(append(facts, "done"), "\n"))
	return err
}

// fetch asks for a URL and wants 200.
func fetch(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// loadProbe makes the image from the program that runs, unless it is there.
func (e *engine) loadProbe(ctx context.Context, i engineInfo) error {
	arch := map[string]string{"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}[i.Architecture]
	if runtime.GOOS != "linux" || arch != runtime.GOARCH {
		return fmt.Errorf("%w: this program does not run on the engine (%s)", errNoProbe, i.Architecture)
	}
	if e.ask(ctx, http.MethodGet, "/images/"+probeImage+":"+probeTag+"/json", nil, nil) == nil {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if !static(self) {
		return fmt.Errorf("%w: %s is not linked statically", errNoProbe, self)
	}
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(tarProgram(w, self)) }() // never fails
	resp, err := e.do(ctx, http.MethodPost, "/images/create?fromSrc=-&repo="+probeImage+"&tag="+probeTag, "application/x-tar", r)
	_ = r.Close() // ends the writer if the engine did not read it all
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// static reports whether a program needs no loader.
func static(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // only read from
	return !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}

// tarProgram writes an archive with one program in it.
func tarProgram(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read from
	info, err := f.Stat()
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	if err := t.WriteHeader(&tar.Header{Name: "sutler", Mode: 0o755, Size: info.Size()}); err != nil {
		return err
	}
	if _, err := io.Copy(t, f); err != nil {
		return err
	}
	return t.Close()
}

// probes runs a container on each network and returns what they say, sorted.
func (e *engine) probes(ctx context.Context, i engineInfo, name, port string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, probesWithin)
	defer cancel()
	if err := e.loadProbe(ctx, i); err != nil {
		return nil, err
	}
	networks, err := e.networks(ctx)
	if err != nil {
		return nil, err
	}
	facts, errs := make([][]string, len(networks)), make([]error, len(networks))
	var group sync.WaitGroup
	for n, on := range networks {
		group.Go(func() { facts[n], errs[n] = e.probe(ctx, on, name, port) })
	}
	group.Wait()
	all := slices.Concat(facts...)
	slices.Sort(all)
	return all, errors.Join(errs...)
}

// probe runs a container on a network.
func (e *engine) probe(ctx context.Context, on network, name, port string) ([]string, error) {
	command := []string{"/sutler", "lookout", "--resolve=" + name}
	if on.gateway != "" && port != "" {
		command = append(command, "--fetch=http://"+net.JoinHostPort(on.gateway, port)+"/livez")
	}
	var made struct{ ID string }
	err := e.ask(ctx, http.MethodPost, "/containers/create", map[string]any{
		"Image": probeImage + ":" + probeTag, "Entrypoint": []string{}, "Cmd": command, "Labels": map[string]string{probeImage: probeTag},
		"HostConfig": map[string]any{"NetworkMode": on.name},
	}, &made)
	if err != nil {
		return nil, err
	}
	defer func() {
		// What is left behind is found by its label.
		_ = e.ask(context.WithoutCancel(ctx), http.MethodDelete, "/containers/"+made.ID+"?force=1&v=1", nil, nil)
	}()
	if err := e.ask(ctx, http.MethodPost, "/containers/"+made.ID+"/start", nil, nil); err != nil {
		return nil, fmt.Errorf("a container on network %s does not start: %w", on.name, err)
	}
	var end struct{ StatusCode int }
	if err := e.ask(ctx, http.MethodPost, "/containers/"+made.ID+"/wait", nil, &end); err != nil {
		return nil, err
	}
	resp, err := e.do(ctx, http.MethodGet, "/containers/"+made.ID+"/logs?stdout=1&stderr=1", "", nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	text, err := demultiplex(resp.Body)
	if err != nil {
		return nil, err
	}
	facts := strings.Fields(strings.ReplaceAll(text, " ", "\x00"))
	if n := len(facts); n == 0 || facts[n-1] != "done" {
		return nil, fmt.Errorf("a container on network %s ended with %d: %s", on.name, end.StatusCode, strings.TrimSpace(text))
	}
	facts = facts[:len(facts)-1]
	for n, f := range facts {
		facts[n] = "a container on network " + on.name + " " + strings.ReplaceAll(f, "\x00", " ")
	}
	return facts, nil
}

// demultiplex returns what a container printed, from frames of a kind, a length and text.
func demultiplex(r io.Reader) (string, error) {
	var out strings.Builder
	in := bufio.NewReader(r)
	var head [8]byte
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return out.String(), err
		}
		if _, err := io.CopyN(&out, in, int64(binary.BigEndian.Uint32(head[4:]))); err != nil {
			return out.String(), err
		}
	}
}

// untidy removes all that probes may have left, also of a sutler that was killed.
func (e *engine) untidy(ctx context.Context) {
	var left []struct{ ID string }
	filter := url.QueryEscape(`{"label":["` + probeImage + `"]}`)
	if e.ask(ctx, http.MethodGet, "/containers/json?all=1&filters="+filter, nil, &left) == nil {
		for _, c := range left {
			_ = e.ask(ctx, http.MethodDelete, "/containers/"+c.ID+"?force=1&v=1", nil, nil) // somebody else did
		}
	}
	_ = e.ask(ctx, http.MethodDelete, "/images/"+probeImage+":"+probeTag+"?force=1", nil, nil) // none was made
}
