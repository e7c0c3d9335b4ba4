package dns

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"time"
)

// An Engine says where the API of a container engine is.
type Engine struct {
	URL string // "unix:///var/run/docker.sock", "tcp://10.0.0.2:2376", "http://…"

	// Cert and Key are PEM files with what identifies us, CA holds who may sign the engine's
	// certificate. Without Verify the engine's certificate is not checked.
	CA, Cert, Key string
	Verify        bool
}

// engineWithin bounds one request to the engine.
const engineWithin = 3 * time.Second

// maxEngineAnswer bounds what is read of one answer of the engine.
const maxEngineAnswer = 64 << 20

// errNoContainer says that the engine knows no such container.
var errNoContainer = errors.New("no such container")

// An engineAPI asks a container engine. Requests name no version of the API: what is read
// here has been there since 1.21.
type engineAPI struct {
	client *http.Client
	base   string
}

// newEngineAPI makes a client; it connects only when it asks.
func newEngineAPI(e Engine) (*engineAPI, error) {
	u, err := url.Parse(e.URL)
	if err != nil {
		return nil, fmt.Errorf("engine %q: %w", e.URL, err)
	}
	t := &http.Transport{MaxIdleConnsPerHost: 4, MaxConnsPerHost: 16, IdleConnTimeout: time.Minute, Proxy: nil}
	base := ""
	switch u.Scheme {
	case "unix":
		path := u.Path
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
		base = "http://engine"
	case "http", "https":
		base = u.Scheme + "://" + u.Host
	case "tcp":
		base = "http://" + u.Host
		if e.Cert != "" {
			base = "https://" + u.Host
		}
	default:
		return nil, fmt.Errorf("engine %q: write unix:///path or tcp://host:port", e.URL)
	}
	if e.Cert != "" {
		if t.TLSClientConfig, err = e.tls(); err != nil {
			return nil, err
		}
	}
	return &engineAPI{client: &http.Client{Transport: t, Timeout: engineWithin}, base: base}, nil
}

// tls returns how the engine is recognised, and how we are.
func (e Engine) tls() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(e.Cert, e.Key)
	if err != nil {
		return nil, fmt.Errorf("engine %s: %w", e.URL, err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, InsecureSkipVerify: !e.Verify}
	if e.CA == "" {
		return c, nil
	}
	pem, err := os.ReadFile(e.CA)
	if err != nil {
		return nil, fmt.Errorf("engine %s: %w", e.URL, err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("engine %s: %s holds no certificate", e.URL, e.CA)
	}
	return c, nil
}

// get reads one answer of the engine into v.
func (e *engineAPI) get(ctx context.Context, path string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.base+path, nil)
	if err != nil {
		return err
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return json.NewDecoder(io.LimitReader(resp.Body, maxEngineAnswer)).Decode(v)
	case http.StatusNotFound, http.StatusBadRequest: // the latter: several have that prefix
		return errNoContainer
	}
	return fmt.Errorf("the engine answered %s with %s", path, resp.Status)
}

// An endpoint is a container's place in one network.
type endpoint struct {
	IPAddress, GlobalIPv6Address string
	Aliases                      []string
}

// An inspected container is what the engine says of one.
type inspected struct {
	ID              string `json:"Id"`
	Name            string
	NetworkSettings struct {
		endpoint
		Networks map[string]endpoint
	}
	Node struct{ IP string }
}

// A listed container is a line of the engine's list.
type listed struct {
	ID              string `json:"Id"`
	Names           []string
	Labels          map[string]string
	NetworkSettings struct{ Networks map[string]endpoint }
}

// inspect asks for the container of that name, full id or unique beginning of an id.
func (e *engineAPI) inspect(ctx context.Context, name string) (c inspected, err error) {
	return c, e.get(ctx, "/containers/"+url.PathEscape(name)+"/json", &c)
}

// list asks for all running containers.
func (e *engineAPI) list(ctx context.Context) (all []listed, err error) {
	return all, e.get(ctx, "/containers/json", &all)
}

// addresses returns each address of these places once.
func addresses(places ...endpoint) []netip.Addr {
	var out []netip.Addr
	seen := map[netip.Addr]bool{}
	for _, p := range places {
		for _, text := range [...]string{p.IPAddress, p.GlobalIPv6Address} {
			if a, err := netip.ParseAddr(text); err == nil && !seen[a] {
				seen[a] = true
				out = append(out, a)
			}
		}
	}
	return out
}

// addresses returns the addresses of a container in all its networks.
func (c inspected) addresses() []netip.Addr {
	places := []endpoint{c.NetworkSettings.endpoint}
	for _, n := range c.NetworkSettings.Networks {
		places = append(places, n)
	}
	return addresses(places...)
}

// addresses returns the addresses of a container in all its networks.
func (l listed) addresses() []netip.Addr {
	var places []endpoint
	for _, n := range l.NetworkSettings.Networks {
		places = append(places, n)
	}
	return addresses(places...)
}
