package netx

import (
	"context"
	"net"
)

// TCP is the machine's network. Names are looked up by each Dial; connections have the
// keep-alives that package net sets.
type TCP struct{}

// Listen opens a port.
func (TCP) Listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", addr)
}

// Dial connects to addr.
func (TCP) Dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}
