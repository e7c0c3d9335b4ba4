package attach

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"time"

	"sutler/internal/builder"
	"sutler/internal/probe"
)

// dialWithin bounds how long sutler's resolver may take to answer a connection.
const dialWithin = 5 * time.Second

// livePath answers where sutler lives.
const livePath = "/livez"

// loadSelf puts an image of this program into the engine. It stays for the next call, until
// Tidy.
func (e *engine) loadSelf(ctx context.Context, i engineInfo) (*builder.Self, error) {
	arch := map[string]string{"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}[i.Architecture]
	if runtime.GOOS != "linux" || arch != runtime.GOARCH {
		return nil, fmt.Errorf("%w: the engine is %s", builder.ErrArch, i.Architecture)
	}
	image, err := probe.Image("")
	if err != nil {
		return nil, err
	}
	return image, e.Load(ctx, image)
}

// probes runs a container on each network and returns what they can reach, sorted.
func (e *engine) probes(ctx context.Context, i engineInfo, name, port string) ([]string, error) {
	image, err := e.loadSelf(ctx, i)
	if err != nil {
		return nil, err
	}
	networks, err := e.networks(ctx)
	if err != nil {
		return nil, err
	}
	names, at := make([]string, len(networks)), map[string]string{}
	for n, on := range networks {
		if names[n] = on.name; on.gateway != "" && port != "" {
			at[on.name] = net.JoinHostPort(on.gateway, port)
		}
	}
	var facts []string
	var errs []error
	for _, seen := range probe.Networks(ctx, e, image, names, func(network string) probe.Spec {
		return probe.Spec{Endpoint: at[network], Names: []string{name}, Requests: []probe.Request{{Path: livePath}}}
	}) {
		errs = append(errs, seen.Err)
		for _, r := range slices.Concat(seen.Report.Names, seen.Report.Requests) {
			switch {
			case r.Status == http.StatusOK:
				facts = append(facts, "a container on network "+seen.Network+" fetches http://"+at[seen.Network]+livePath)
			case r.Status == 0 && r.Kind == probe.Fine:
				facts = append(facts, "a container on network "+seen.Network+" resolves "+r.Name)
			}
		}
	}
	slices.Sort(facts)
	return facts, errors.Join(errs...)
}

// Load implements probe.Host.
func (e *engine) Load(ctx context.Context, image *builder.Self) error {
	if e.ask(ctx, http.MethodGet, "/images/"+image.Ref+"/json", nil, nil) == nil {
		return nil
	}
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(image.Write(w)) }() // never fails
	resp, err := e.do(ctx, http.MethodPost, "/images/load?quiet=1", "application/x-tar", r)
	_ = r.Close() // ends the writer if the engine did not read it all
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// Run implements probe.Host.
func (e *engine) Run(ctx context.Context, image, network string, args []string) (string, error) {
	var made struct{ ID string }
	err := e.ask(ctx, http.MethodPost, "/containers/create", map[string]any{
		"Image": image, "Cmd": args, "Labels": map[string]string{probe.Name: probe.Owner()}, "HostConfig": map[string]any{"NetworkMode": network},
	}, &made)
	if err != nil {
		return "", err
	}
	at := "/containers/" + made.ID
	defer func() {
		// What is left behind is found by its label.
		_ = e.ask(context.WithoutCancel(ctx), http.MethodDelete, at+"?force=1&v=1", nil, nil)
	}()
	if err := e.ask(ctx, http.MethodPost, at+"/start", nil, nil); err != nil {
		return "", fmt.Errorf("a container on network %s does not start: %w", network, err)
	}
	if err := e.ask(ctx, http.MethodPost, at+"/wait", nil, nil); err != nil {
		return "", err
	}
	resp, err := e.do(ctx, http.MethodGet, at+"/logs?stdout=1&stderr=1", "", nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	return demultiplex(resp.Body)
}

// demultiplex returns what a container printed, from frames of a kind, a length and text.
func demultiplex(r io.Reader) (string, error) {
	var out bytes.Buffer
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

// Tidy implements probe.Host.
func (e *engine) Tidy(ctx context.Context, gone func(string) bool) {
	var containers []struct {
		ID     string
		Labels map[string]string
	}
	var images []struct{ RepoTags []string }
	filter := func(key string) string { return url.QueryEscape(`{"` + key + `":["` + probe.Name + `"]}`) }
	// Where the engine does not answer, nothing can be removed.
	_ = e.ask(ctx, http.MethodGet, "/containers/json?all=1&filters="+filter("label"), nil, &containers)
	for _, c := range containers {
		if gone(c.Labels[probe.Name]) {
			_ = e.ask(ctx, http.MethodDelete, "/containers/"+c.ID+"?force=1&v=1", nil, nil) // somebody else did
		}
	}
	_ = e.ask(ctx, http.MethodGet, "/images/json?filters="+filter("reference"), nil, &images)
	for _, i := range images {
		for _, tag := range i.RepoTags {
			if _, owner, _ := strings.Cut(tag, ":"); gone(owner) {
				_ = e.ask(ctx, http.MethodDelete, "/images/"+tag+"?force=1", nil, nil) // likewise
			}
		}
	}
}
