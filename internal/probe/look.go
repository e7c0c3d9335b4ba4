package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Limits of a probe: all of it must end well before the container's client gives up.
const (
	dialWithin    = 4 * time.Second
	resolveWithin = 6 * time.Second
	lostWithin    = time.Second // an answer to one who waits for another
	askAgain      = 200 * time.Millisecond
	answerWithin  = 20 * time.Second
	hostWithin    = 5 * time.Second
	lookWithin    = 30 * time.Second
)

// A Spec says what a probe looks at.
type Spec struct {
	// ID tells one look from another: builders would not run the same step twice.
	ID       string   `json:"id,omitempty"`
	Endpoint string   `json:"endpoint,omitempty"` // host:port of sutler, as it is reached from there; "": it is not looked for
	Others   []string `json:"others,omitempty"`   // asked one after the other if nobody answers at Endpoint
	Names    []string `json:"names,omitempty"`
	// Led is the address that the names have where sutler leads them to itself; "": any will do.
	Led      string        `json:"led,omitempty"`
	Await    time.Duration `json:"await,omitempty"` // for the names to lead there
	Hosts    []string      `json:"hosts,omitempty"` // asked over HTTPS after that, whoever they say they are
	TLS      string        `json:"tls,omitempty"`   // host to open TLS to through the proxy; "" for none
	Roots    string        `json:"roots,omitempty"` // PEM: what build steps are told to trust
	Requests []Request     `json:"requests,omitempty"`
}

// A Request is the first thing that a client of an ecosystem asks for.
type Request struct {
	Ecosystem string `json:"ecosystem"`
	Path      string `json:"path"` // at the native endpoint
}

// A Report is what a probe saw.
type Report struct {
	ID       string   `json:"id,omitempty"`    // of the spec
	Proxy    string   `json:"proxy,omitempty"` // of the environment, host:port
	Files    bool     `json:"files,omitempty"` // the files that build steps are given are there
	At       string   `json:"at,omitempty"`    // the endpoint that Connect and the rest are about
	Connect  Result   `json:"connect"`
	Ready    Result   `json:"ready"`
	Names    []Result `json:"names,omitempty"`
	Hosts    []Result `json:"hosts,omitempty"` // Name is the URL
	TLS      Result   `json:"tls"`
	Requests []Result `json:"requests,omitempty"`
	Resolver []string `json:"resolver,omitempty"` // nameservers of /etc/resolv.conf
}

// A Result is how one thing went. Its zero value means that it was not tried.
type Result struct {
	Name   string `json:"name,omitempty"`
	Kind   Kind   `json:"kind,omitempty"`
	Status int    `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
}

// A Kind sorts the ways in which things go wrong.
type Kind string

// The kinds of results.
const (
	Fine       Kind = "fine"
	TimedOut   Kind = "timeout"    // nothing came back: packets are dropped
	Closed     Kind = "refused"    // nobody listens
	Forbidden  Kind = "prohibited" // a firewall says so, or there is no route
	Unresolved Kind = "unresolved" // no such name
	Distrusted Kind = "distrusted" // a certificate by somebody else
	Failed     Kind = "failed"
)

// given is a file that build steps are given, with the roots that they are to trust.
const given = "/dev/sutler/ca.pem"

// Look looks at sutler and at the network from where it runs. It uses no proxy of the
// environment but says which there is.
func Look(ctx context.Context, s Spec) Report {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	r := Report{ID: s.ID, Resolver: resolvers()}
	if u, err := url.Parse(os.Getenv("http_proxy")); err == nil {
		r.Proxy = u.Host // without the name of a build or a password
	}
	if roots, err := os.ReadFile(given); err == nil {
		s.Roots, r.Files = string(roots), true
	}
	r.settle(ctx, &s)
	var all, named sync.WaitGroup
	r.Names = make([]Result, len(s.Names))
	for i, name := range s.Names {
		named.Go(func() { r.Names[i] = lead(ctx, name, s) })
	}
	r.Hosts = make([]Result, len(s.Hosts))
	for i, host := range s.Hosts {
		all.Go(func() {
			named.Wait() // it is the way that the names lead to which is of interest
			r.Hosts[i] = reach(ctx, host)
		})
	}
	if r.Connect.Kind == Fine {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		defer client.CloseIdleConnections()
		all.Go(func() { r.Ready = ask(ctx, client, "http://"+s.Endpoint+"/readyz") })
		if s.TLS != "" {
			all.Go(func() { r.TLS = handshake(ctx, s) })
		}
		r.Requests = make([]Result, len(s.Requests))
		for i, q := range s.Requests {
			all.Go(func() {
				r.Requests[i] = ask(ctx, client, "http://"+s.Endpoint+q.Path)
				r.Requests[i].Name = q.Ecosystem
			})
		}
	}
	named.Wait()
	all.Wait()
	return r
}

// settle settles on the first endpoint at which somebody answers.
func (r *Report) settle(ctx context.Context, s *Spec) {
	if s.Endpoint == "" {
		return
	}
	r.At, r.Connect = s.Endpoint, connect(ctx, s.Endpoint)
	for _, at := range s.Others {
		if r.Connect.Kind == Fine {
			break
		}
		if c := connect(ctx, at); c.Kind == Fine {
			r.At, r.Connect = at, c
		}
	}
	s.Endpoint = r.At
}

func connect(ctx context.Context, address string) Result {
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err == nil {
		err = c.Close()
	}
	return result(address, err)
}

// lead asks for a name until it leads where the spec says, or its time has passed.
func lead(ctx context.Context, name string, s Spec) Result {
	late := time.After(s.Await)
	for {
		r := resolve(ctx, name, s)
		if r.Kind == Fine {
			return r
		}
		select {
		case <-late:
			return r
		case <-ctx.Done():
			return r
		case <-time.After(askAgain):
		}
	}
}

// resolve asks for a name once. While one waits, what is lost is asked for again soon.
func resolve(ctx context.Context, name string, s Spec) Result {
	within := resolveWithin
	if s.Await > 0 {
		within = lostWithin
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	found, err := net.DefaultResolver.LookupHost(ctx, name)
	if err == nil && s.Led != "" && !slices.Contains(found, s.Led) {
		err = fmt.Errorf("%s leads to %s", name, strings.Join(found, ", "))
	}
	return result(name, err)
}

// reach asks a host over HTTPS. It need not prove who it is: there are no roots where a
// probe runs, and nothing is sent that is secret.
func reach(ctx context.Context, host string) Result {
	ctx, cancel := context.WithTimeout(ctx, hostWithin)
	defer cancel()
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return ask(ctx, client, "https://"+host+"/")
}

// ask sends one request; an answer of whatever status is an answer. It is not HEAD because
// the reason of a failure is in the body, of which only the beginning is read.
func ask(ctx context.Context, client *http.Client, url string) Result {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return result(url, err)
	}
	req.Header.Set("User-Agent", "sutler-doctor")
	resp, err := client.Do(req)
	if err != nil {
		return result(url, err)
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	r := Result{Name: url, Kind: Fine, Status: resp.StatusCode}
	if resp.StatusCode >= http.StatusInternalServerError {
		r.Kind = Failed
		r.Error = resp.Status
		if text, err := io.ReadAll(io.LimitReader(resp.Body, 300)); err == nil && len(text) > 0 {
			r.Error += ": " + strings.TrimSpace(string(text))
		}
	}
	return r
}

// handshake opens TLS to a host through the proxy, trusting what build steps trust.
func handshake(ctx context.Context, s Spec) Result {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", s.Endpoint)
	if err != nil {
		return result(s.TLS, err)
	}
	defer func() { _ = c.Close() }() // nothing was written that counts
	if end, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(end); err != nil {
			return result(s.TLS, err)
		}
	}
	if _, err := fmt.Fprintf(c, "CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\nUser-Agent: sutler-doctor\r\n\r\n", s.TLS, s.TLS); err != nil {
		return result(s.TLS, err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return result(s.TLS, err)
	}
	if resp.StatusCode != http.StatusOK {
		return Result{Name: s.TLS, Kind: Failed, Status: resp.StatusCode, Error: "the proxy says " + resp.Status}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(s.Roots))
	t := tls.Client(c, &tls.Config{RootCAs: roots, ServerName: s.TLS, MinVersion: tls.VersionTLS12})
	return result(s.TLS, t.HandshakeContext(ctx))
}

// result sorts an error.
func result(name string, err error) Result {
	if err == nil {
		return Result{Name: name, Kind: Fine}
	}
	return Result{Name: name, Kind: kindOf(err), Error: err.Error()}
}

func kindOf(err error) Kind {
	var name *net.DNSError
	var timeout net.Error
	var unknown x509.UnknownAuthorityError
	var wrong x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown), errors.As(err, &wrong), errors.As(err, &invalid):
		return Distrusted
	case errors.As(err, &name) && name.IsNotFound:
		return Unresolved
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return TimedOut
	case errors.Is(err, syscall.ECONNREFUSED):
		return Closed
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return Forbidden
	}
	return Failed
}

// resolvers returns the nameservers that programs here ask.
func resolvers() []string {
	text, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			out = append(out, f[1])
		}
	}
	return out
}
