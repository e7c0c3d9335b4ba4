package attach

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// backWithin bounds how long an engine may take to come back after a restart.
	backWithin = time.Minute
	// reloadWithin bounds how long an engine may take to read its file.
	reloadWithin = 15 * time.Second
	// pollEvery is how often a coming engine is asked.
	pollEvery = 100 * time.Millisecond
)

// ErrRefused means that a running tool did not take its file and goes on with what it has.
var ErrRefused = errors.New("not taken")

// errDown means that an engine does not answer.
var errDown = errors.New("docker does not answer")

// An engine is the API of a docker engine on a unix socket of this machine.
type engine struct {
	socket string
	client *http.Client
}

func newEngine(socket string) *engine {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &engine{socket: socket, client: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// do sends a request with a body of that type and returns the answer, whose body the
// caller closes. Answers from 400 on are errors.
func (e *engine) do(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, body)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return nil, fmt.Errorf("%w on %s: %w", errDown, e.socket, op.Err)
		}
		return nil, err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		defer func() { _ = resp.Body.Close() }() // only read from
		var m struct{ Message string }
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // the status says it too
		if json.Unmarshal(text, &m) != nil || m.Message == "" {
			m.Message = resp.Status
		}
		path, _, _ = strings.Cut(path, "?")
		return nil, fmt.Errorf("docker: %s %s: %s", method, path, m.Message)
	}
	return resp, nil
}

// ask sends a request with a JSON body, if in is not nil, and reads the answer into out,
// if that is not nil.
func (e *engine) ask(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	contentType := ""
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body, contentType = bytes.NewReader(data), "application/json"
	}
	resp, err := e.do(ctx, method, path, contentType, body)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// An engineInfo is what concerns us of what an engine says of itself.
type engineInfo struct {
	ID                 string
	ServerVersion      string
	Architecture       string
	OperatingSystem    string
	ContainersRunning  int
	LiveRestoreEnabled bool
	DefaultRuntime     string
	IndexServerAddress string
	RegistryConfig     struct{ Mirrors []string }
}

func (e *engine) info(ctx context.Context) (engineInfo, error) {
	var i engineInfo
	err := e.ask(ctx, http.MethodGet, "/info", nil, &i)
	return i, err
}

// awaitBack waits until the engine answers and knows itself.
func (e *engine) awaitBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, backWithin, fmt.Errorf("docker is not back after %s", backWithin))
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		_, err := e.info(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// reloaded subscribes to the event of a reload, calls hup, and waits for it: engines
// ignore a file that they do not understand, and then there is none.
func (e *engine) reloaded(ctx context.Context, hup func() error) error {
	ctx, cancel := context.WithTimeout(ctx, reloadWithin)
	defer cancel()
	filter := url.QueryEscape(`{"type":["daemon"],"event":["reload"]}`)
	resp, err := e.do(ctx, http.MethodGet, "/events?filters="+filter, "", nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	if err := hup(); err != nil {
		return err
	}
	var event struct{ Action string }
	err = json.NewDecoder(resp.Body).Decode(&event)
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%w: docker did not read its file within %s of being told to; its log says why (was the file in order before?)", ErrRefused, reloadWithin)
	}
	return err
}

// A network is one on which containers reach this machine by a gateway.
type network struct{ name, gateway string }

// networks returns the bridge networks.
func (e *engine) networks(ctx context.Context) ([]network, error) {
	var all []struct {
		Name, Driver string
		Internal     bool
		IPAM         struct{ Config []struct{ Gateway string } }
		Options      map[string]string
	}
	if err := e.ask(ctx, http.MethodGet, "/networks", nil, &all); err != nil {
		return nil, err
	}
	var out []network
	for _, n := range all {
		if n.Driver != "bridge" || n.Internal {
			continue
		}
		one := network{name: n.Name}
		for _, c := range n.IPAM.Config {
			if ip := net.ParseIP(c.Gateway); ip != nil && ip.To4() != nil && one.gateway == "" {
				one.gateway = c.Gateway
			}
		}
		if one.gateway == "" {
			// Engines leave it out until a container has used the network.
			one.gateway = interfaceAddr(n.Options["com.docker.network.bridge.name"])
		}
		out = append(out, one)
	}
	return out, nil
}

// interfaceAddr returns the IPv4 address of an interface of this machine, "" if it has none.
func interfaceAddr(name string) string {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return ""
	}
	addrs, err := i.Addrs()
	if err != nil {
		return ""
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	return ""
}

// Bridge returns the address of docker's own bridge on this machine, "" if it has none.
func Bridge() string { return interfaceAddr("docker0") }

// bridge returns the gateway of the network that containers are on by default.
func (e *engine) bridge(ctx context.Context) (string, error) {
	all, err := e.networks(ctx)
	if err != nil {
		return "", err
	}
	for _, n := range all {
		if n.name == defaultNetwork && n.gateway != "" {
			return n.gateway, nil
		}
	}
	return "", errors.New("docker has no default bridge on this machine")
}
