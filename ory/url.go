package ory

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// CheckURL reports why raw cannot be the address of Ory: it is not http or https, it has
// credentials, a query or a fragment, or it is plain http to a public address. Session
// tokens are sent there, so plain http is allowed only to loopback, private and link-local
// addresses, to names of one label, and to names below internal, local and localhost. The
// error never repeats the URL.
func CheckURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return errors.New("it is not set")
	case err != nil:
		return errors.New("it is not a URL") // the parser's error repeats the URL, which may hold a password
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("it does not start with http:// or https://")
	case u.User != nil:
		return errors.New("it must not hold credentials")
	case u.Hostname() == "" || u.Opaque != "":
		return errors.New("it names no host")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return errors.New("it has a query or a fragment")
	}
	host := u.Hostname()
	if oddNumber(host) {
		return errors.New("its host is a number but not an IP address")
	}
	if u.Scheme == "http" && !ownHost(host) {
		return fmt.Errorf("plain http to %s, which may be a public address: use https", host)
	}
	return nil
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

// oddNumber reports whether some resolvers would read the host as an IPv4 address
// although it is not written as one: 2130706433, 0x7f.1, 127.1.
func oddNumber(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return false
	}
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	if hex, ok := strings.CutPrefix(strings.ToLower(last), "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}
