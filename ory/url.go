package ory

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/symbolon-id/symbolon/internal/outbound"
)

// CheckURL reports why raw cannot be the address of Ory: it is not http or https, it has
// credentials, a query or a fragment, or it is plain http to a public address. Session
// tokens are sent there, so plain http is allowed only to loopback, private and link-local
// addresses, to names of one label, and to names below internal, local and localhost. The
// error never repeats the URL.
func CheckURL(raw string) error {
	_, err := parseURL(raw)
	return err
}

func parseURL(raw string) (*url.URL, error) {
	u, err := outbound.ParseURL(raw)
	switch {
	case err != nil:
		return nil, err
	case u.User != nil:
		return nil, errors.New("it must not hold credentials")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("it has a query or a fragment")
	case u.Scheme == "http" && !ownHost(u.Hostname()):
		return nil, fmt.Errorf("plain http to %s, which may be a public address: use https", u.Hostname())
	}
	return u, nil
}

// ownHost reports whether a host must be on this machine or in this network.
func ownHost(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap()
		return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if !strings.Contains(host, ".") {
		return true
	}
	for _, own := range []string{".internal", ".local", ".localhost"} {
		if strings.HasSuffix(host, own) {
			return true
		}
	}
	return false
}
