package forwardauth

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
)

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
	Assertion  string // X-Auth-Assertion: a short-lived JWT, see Signer; empty where nothing is signed
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
			return defaultNames, fmt.Errorf("%q is not the name of a header", name)
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		if seen[name] {
			return defaultNames, fmt.Errorf("%s stands there twice", name)
		}
		names[i], seen[name] = name, true
	}
	return names, nil
}

// isHeaderName is stricter than HTTP: proxies drop or confuse the rest.
func isHeaderName(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == "" && s != ""
}

// headers returns the names of the headers, beside what is wrong with them: then they are
// the defaults.
func (f *ForwardAuth) headers() (*headerNames, error) {
	f.once.Do(func() {
		if f.names, f.badHeaders = f.Headers.names(); f.badHeaders != nil {
			f.log().Error("nobody is let through: ForwardAuth.Headers cannot be used", "error", f.badHeaders)
		}
	})
	return &f.names, f.badHeaders
}

func (f *ForwardAuth) headerNames() *headerNames {
	names, _ := f.headers()
	return names
}

// HeaderNames returns the names of the headers that every answer has, in canonical form.
func (f *ForwardAuth) HeaderNames() []string { return slices.Clone(f.headerNames()[:]) }

// setHeaders sets all headers to what is known of somebody.
func (f *ForwardAuth) setHeaders(h http.Header, p *symbolon.Principal, assertion string) {
	values := [...]string{string(p.User.ID), string(p.User.Identity), p.Session.ID, p.Session.AAL, p.Email, assertion}
	room := make([]string, len(values)) // one allocation for all
	for i, name := range f.headerNames() {
		room[i] = headerValue(values[i])
		h[name] = room[i : i+1 : i+1]
	}
}

// clearHeaders sets all headers to nothing: what a client sent is overwritten by
// every answer.
func (f *ForwardAuth) clearHeaders(h http.Header) {
	for _, name := range f.headerNames() {
		h[name] = nothingKnown[:1:1]
	}
}

// These are shared by all answers, and never written to.
var (
	nothingKnown = []string{""}
	noStore      = []string{"no-store"}
)

// maxHeaderValue keeps an answer below what proxies take: traits have no limit.
const maxHeaderValue = 1 << 10

// headerValue makes any text one line of visible ASCII that can be decoded again. A text
// that would be too long is left out.
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
