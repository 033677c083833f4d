// Package outbound has the code that the HTTP clients of packages ory and createurl share.
package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
)

// Client returns a client that uses the transport and the timeout of h, or own if h is nil
// or has no transport. It has no cookie jar and follows no redirect, because both could mix
// up the sessions of people.
func Client(h *http.Client, own *http.Transport) *http.Client {
	c := &http.Client{Transport: own, CheckRedirect: stay}
	if h != nil {
		c.Timeout = h.Timeout
		if h.Transport != nil {
			c.Transport = h.Transport
		}
	}
	return c
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// WhyNoAnswer says why a request that its caller did not cancel got no answer. The text
// repeats neither the URL nor a byte that was sent or received.
func WhyNoAnswer(err error) string {
	errno, refused := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "no answer in time"
	case is[*net.DNSError](err):
		return "its host name cannot be resolved"
	case is[*tls.CertificateVerificationError](err):
		return "its certificate is not valid"
	case refused:
		return "no connection (" + errno.Error() + ")"
	}
	return "the connection broke, or the answer is not HTTP"
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

// ParseURL reads the http(s) URL of a server. The error never contains the URL, which may
// contain a password.
func ParseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return nil, errors.New("it is not set")
	case err != nil:
		return nil, errors.New("it is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("it does not start with http:// or https://")
	case u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("it has no host")
	case isOddNumber(u.Hostname()):
		return nil, errors.New("its host is a number but not an IP address")
	}
	return u, nil
}

// isOddNumber reports whether some resolvers read the host as an IPv4 address although it
// is not in the usual form: 2130706433, 127.1, 0x7f.0.0.1.
func isOddNumber(host string) bool {
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
