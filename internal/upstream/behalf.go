package upstream

import (
	"context"
	"net/http"
	"net/netip"
)

// clientKey is the key of the client's address in a context made by Behalf.
type clientKey struct{}

// Behalf returns a context for Pass and DialContext on behalf of a client that could go
// there without us: private addresses are not refused if [Client.Reaches] says that it
// reaches them, and tunnels lead to any port. Fetches, whose answers others get too, do not
// heed it.
func Behalf(ctx context.Context, client netip.Addr) context.Context {
	return context.WithValue(ctx, clientKey{}, client.Unmap())
}

// behalfOf returns the client of a context made by Behalf.
func behalfOf(ctx context.Context) (netip.Addr, bool) {
	a, ok := ctx.Value(clientKey{}).(netip.Addr)
	return a, ok
}

// reaches reports whether the client of ctx reaches a private address by itself.
func (c *Client) reaches(ctx context.Context, to netip.Addr) bool {
	from, ok := behalfOf(ctx)
	return ok && c.Reaches != nil && c.Reaches(from, to)
}

// transportFor returns the pool of connections for a request. What is done on behalf of a
// client has its own: a connection from there must not serve a fetch.
func (c *Client) transportFor(ctx context.Context) *http.Transport {
	if _, ok := behalfOf(ctx); !ok {
		return c.roundTripper()
	}
	c.onceApart.Do(func() {
		c.apart = c.roundTripper().Clone()
		c.apart.DisableKeepAlives = true // two clients may reach different things
	})
	return c.apart
}
