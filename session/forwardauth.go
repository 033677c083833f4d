package session

import (
	"fmt"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/answer"
)

// ForwardAuth answers a proxy that asks, for each request it has before it, whether
// to let it through and who it is: nginx auth_request, Caddy forward_auth, Traefik
// ForwardAuth.
//
//	/auth           200 with the user's headers, else 401, 403, 503
//	/auth/optional  200 for everybody, with empty headers for strangers; 503
//	/auth/aal2      as /auth, and 403 without a second factor
//
// The policy is the path that the proxy asks for. It is matched exactly, byte by
// byte, and the query never counts: some proxies pass on what the client wrote. So
// it must not stand behind an http.ServeMux, which cleans paths and redirects.
// Methods do not count either, since proxies pass on the client's, and no body is
// read.
type ForwardAuth struct {
	Verifier *Verifier
}

// Headers names the headers of ForwardAuth's answers. An empty name is the default.
//
// Every answer has all of them, empty where there is nothing to say, so that a proxy
// that copies them overwrites what a client sent under these names. Values are one
// line of visible ASCII: all other bytes, the space and "%" are percent-encoded.
type Headers struct {
	UserID     string // X-User-Id
	IdentityID string // X-Identity-Id
	SessionID  string // X-Session-Id
	AAL        string // X-Auth-Aal
	Email      string // X-Auth-Email: the first verified address
	Assertion  string // X-Auth-Assertion: empty, until there are signed assertions
}

// headerNames are Headers in canonical form, in that order.
type headerNames [6]string

var defaultNames = headerNames{"X-User-Id", "X-Identity-Id", "X-Session-Id", "X-Auth-Aal", "X-Auth-Email", "X-Auth-Assertion"}

// names returns names that can be used even beside an error.
func (h Headers) names() (headerNames, error) {
	names := headerNames{h.UserID, h.IdentityID, h.SessionID, h.AAL, h.Email, h.Assertion}
	seen := map[string]bool{}
	for i, name := range names {
		if name == "" {
			name = defaultNames[i]
		}
		if !isHeaderName(name) {
			return defaultNames, fmt.Errorf("Headers: %q is not the name of a header", name)
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		if seen[name] {
			return defaultNames, fmt.Errorf("Headers: %s stands there twice", name)
		}
		names[i], seen[name] = name, true
	}
	return names, nil
}

// isHeaderName is stricter than HTTP: proxies drop or confuse the rest.
func isHeaderName(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == "" && s != ""
}

// ServeHTTP answers the proxy.
func (f *ForwardAuth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := f.Verifier
	err := v.Check()
	v.setHeaders(w.Header(), nil)
	if err != nil {
		answer.Write(w, err)
		return
	}
	var p *symbolon.Principal
	switch r.URL.EscapedPath() {
	case "/auth":
		p, err = v.Authenticate(r)
	case "/auth/aal2":
		p, err = v.Authenticate(r, AAL2)
	case "/auth/optional":
		if p, err = v.Authenticate(r); err != nil && Denied(err) {
			p, err = nil, nil
		}
	default:
		err = noSuchPath
	}
	if err != nil {
		answer.Write(w, err)
		return
	}
	v.setHeaders(w.Header(), p)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

var noSuchPath = answer.New(http.StatusNotFound, answer.NotFound, "There is no such policy.")

// setHeaders sets all headers: to what p says, or to nothing.
func (v *Verifier) setHeaders(h http.Header, p *symbolon.Principal) {
	if p == nil {
		p = &symbolon.Principal{}
	}
	values := []string{string(p.User.ID), string(p.User.Identity), p.Session.ID, p.Session.AAL, p.Email, ""}
	for i, name := range v.names {
		values[i] = headerValue(values[i])
		h[name] = values[i : i+1 : i+1]
	}
}

// maxHeaderValue keeps an answer below what proxies take: traits have no limit.
const maxHeaderValue = 1 << 10

// headerValue makes any text one line of visible ASCII that can be decoded again.
// What would be too long is left out.
func headerValue(s string) string {
	clean := true
	for i := range len(s) {
		clean = clean && plain(s[i])
	}
	if clean && len(s) <= maxHeaderValue {
		return s
	}
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range min(len(s), maxHeaderValue+1) {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	if b.Len() > maxHeaderValue {
		return ""
	}
	return b.String()
}

func plain(c byte) bool { return c > ' ' && c < 0x7f && c != '%' }
