package session

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon/session/internal/turn"
)

type addressKey struct{}

// withAddress returns a context with a client's address, in the form of [turn.Client].
func withAddress(ctx context.Context, address netip.Addr) context.Context {
	return context.WithValue(ctx, addressKey{}, turn.Client(address))
}

func addressIn(ctx context.Context) netip.Addr {
	a, _ := ctx.Value(addressKey{}).(netip.Addr)
	return a
}

// withOrigin adds the client's address to a context. Without a request (r is nil) the
// address comes from [Verifier.ClientAddress].
func (v *Verifier) withOrigin(ctx context.Context, r *http.Request) context.Context {
	switch {
	case r != nil:
		return withAddress(ctx, v.origin(r))
	case v.ClientAddress != nil:
		return withAddress(ctx, v.ClientAddress(ctx))
	}
	return ctx
}

// maxHops is the largest number of addresses that are read from X-Forwarded-For.
const maxHops = 16

// origin returns the address of a request's client, or the zero address if it is not known.
// X-Forwarded-For is read from its end, because each proxy adds the address of its peer
// there. Only addresses that a trusted proxy has added are used.
func (v *Verifier) origin(r *http.Request) netip.Addr {
	at, ok := parseAddress(r.RemoteAddr)
	if !ok || !v.trusts(at) {
		return at
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for n := len(hops) - 1; n >= max(0, len(hops)-maxHops) && v.trusts(at); n-- {
		next, ok := parseAddress(strings.TrimSpace(hops[n]))
		if !ok {
			break
		}
		at = next
	}
	return at
}

func (v *Verifier) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(v.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// parseAddress reads an IP address with or without a port.
func parseAddress(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		with, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		a = with.Addr()
	}
	return a.Unmap().WithZone(""), true
}
