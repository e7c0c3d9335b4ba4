package intercept

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"sutler/internal/ingress"
)

// servePlain answers a request that came without TLS, by its Host field.
func (s *Server) servePlain(w http.ResponseWriter, r *http.Request) {
	a, _ := r.Context().Value(arrivalKey{}).(arrival)
	if r.Method == http.MethodConnect {
		ingress.Refuse(w, http.StatusMethodNotAllowed, "this is no proxy port; CONNECT works on sutler's own")
		return
	}
	host, port, err := s.named(a, r)
	if err != nil {
		ingress.Refuse(w, http.StatusMisdirectedRequest, err.Error())
		return
	}
	v, err := s.visit(a, host, portHTTP)
	if err != nil {
		ingress.Refuse(w, http.StatusBadRequest, fmt.Sprintf("Host: %q is no host", r.Host))
		return
	}
	if port != v.To.Port || r.URL.Scheme != "" && r.URL.Scheme != "http" {
		ingress.Refuse(w, http.StatusMisdirectedRequest,
			fmt.Sprintf("this connection leads to port %d over plain HTTP, not to %q; open another", v.To.Port, r.Host))
		return
	}
	u := &url.URL{Scheme: "http", Host: v.To.String(), Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	if v.To.Port == portHTTP {
		u.Host = strings.TrimSuffix(u.Host, ":80")
	}
	if u.Path == "" {
		u.Path = "/"
	}
	respond := s.Conduit.Respond
	respond.Respond(w, r, respond.Request(r, u, v.Build))
}

// named returns the host and port that a request names; where it names none, as HTTP/1.0
// may, the address that the client connected to.
func (s *Server) named(a arrival, r *http.Request) (host string, port int, err error) {
	want := portHTTP
	if a.original.IsValid() {
		want = int(a.original.Port())
	}
	if r.Host == "" {
		if !a.original.IsValid() {
			return "", 0, fmt.Errorf("the request has no Host field, and where the client wanted to go is not known")
		}
		return a.original.Addr().String(), want, nil
	}
	host, text, err := net.SplitHostPort(r.Host)
	if err != nil {
		return strings.Trim(r.Host, "[]"), want, nil // without a port
	}
	port, err = strconv.Atoi(text)
	return host, port, err
}
