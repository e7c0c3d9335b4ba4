//go:build !linux

package intercept

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// Listen listens on address.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s for intercepted connections: %w", address, err)
	}
	return l, nil
}

// original knows nothing: there is no packet filter that could be asked.
func original(*net.TCPConn) netip.AddrPort { return netip.AddrPort{} }
