package daemon

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"sutler/internal/ingress"
	"sutler/internal/ingress/forward"
	"sutler/internal/ingress/native"
)

// handler makes what serves clients: the forward proxy, and behind it the native endpoint.
func (d *process) handler() (http.Handler, error) {
	lines := d.sink()
	respond, err := ingress.New(ingress.Options{Engine: d.engine, Passer: d.fetcher(), Receipts: lines, Metrics: d.metrics,
		Log: d.options.Log, Rules: d.rules(), Profiles: d.profiles, Terms: d.termsOf, Local: d.local})
	if err != nil {
		return nil, err
	}
	endpoint := native.Handler{Respond: respond, Profiles: d.profiles, Metrics: d.metrics.Handler(), Names: d.hostNames()}
	aptCacher := endpoint
	aptCacher.AptCacher = true
	local := byListener{address: d.config.ACNG, there: native.New(aptCacher), elsewhere: native.New(endpoint)}
	d.conduit, err = ingress.NewConduit(ingress.ConduitOptions{Respond: respond, Intercepts: d.intercepts, Certificate: d.certificate,
		Dialer: d.fetcher(), Receipts: lines, Metrics: d.metrics, Log: d.options.Log, Rules: d.rules(),
		Distrusted: func(host, build string, err error) {
			d.trouble.add(fmt.Errorf("a client (build %q) broke the TLS handshake for %s off; if it pins certificates, add the host to intercept.except: %w", build, host, err))
		},
		Doubted: func(b ingress.Doubt) { d.trouble.add(errors.New(doubtText(b))) }})
	if err != nil {
		return nil, err
	}
	return forward.New(forward.Options{Conduit: d.conduit, Local: local, Own: d.isOwn})
}

// doubtText says which connections are tunnelled for a while, and why.
func doubtText(b ingress.Doubt) string {
	who := "all clients"
	if b.Peer.IsValid() {
		who = b.Peer.String()
	}
	return fmt.Sprintf("%s is tunnelled for %s until %s: %s", b.Host, who, b.Until.Local().Format(time.TimeOnly), b.Why)
}

// certificate returns what an intercepted connection presents.
func (d *process) certificate(name string) (*tls.Certificate, error) {
	if d.authority == nil {
		return nil, errors.New("interception is off")
	}
	return d.authority.Certificate(name)
}

// isOwn reports whether host:port is one of the listeners.
func (d *process) isOwn(hostport string) bool {
	a, err := netip.ParseAddrPort(hostport)
	return err == nil && d.listeners.own(a)
}

// server makes the server of all listeners.
func (d *process) server(h http.Handler) *http.Server { return ingress.NewServer(h, d.options.Log) }

// byListener answers what comes in by one listener differently: the one that stands for
// apt-cacher-ng has its paths, the others do not.
type byListener struct {
	address          string // host:port of the one listener, "" for none
	there, elsewhere http.Handler
}

// ServeHTTP implements http.Handler.
func (b byListener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if at, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && b.address != "" && at.String() == b.address {
		b.there.ServeHTTP(w, r)
		return
	}
	b.elsewhere.ServeHTTP(w, r)
}
