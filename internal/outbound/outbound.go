// Package outbound holds what the clients of other servers share.
package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"syscall"
)

// Client returns a client that uses the transport and the timeout of h, or own if h is nil
// or has no transport. It has no cookie jar and follows no redirect, because both could mix
// up people.
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
