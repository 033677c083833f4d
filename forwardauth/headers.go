package forwardauth

import (
	"cmp"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/faults"
)

// Headers names the headers of ForwardAuth's answers. An empty name is the default. A name
// that HTTP or a proxy gives another meaning is refused, such as Content-Length, Connection,
// Set-Cookie, Cookie or Host. Only the header of Assertion may be named Authorization; its
// value is then the bare JWT, without "Bearer".
//
// Every answer has all of these headers, if necessary with an empty value. So a proxy that
// copies them overwrites the client's headers of the same names. A value is one line of
// visible ASCII. The space, "%" and every byte that is not visible ASCII are percent-encoded.
type Headers struct {
	UserID     string // X-User-Id
	IdentityID string // X-Identity-Id
	SessionID  string // X-Session-Id
	AAL        string // X-Auth-Aal
	Email      string // X-Auth-Email: the first verified address
	Assertion  string // X-Auth-Assertion: a short-lived JWT, see Signer
}

// headerNames are Headers in canonical form, in the same order.
type headerNames [6]string

var defaultNames = headerNames{"X-User-Id", "X-Identity-Id", "X-Session-Id", "X-Auth-Aal", "X-Auth-Email", "X-Auth-Assertion"}

// headerFields are the fields of Headers, in the same order.
var headerFields = [6]string{"UserID", "IdentityID", "SessionID", "AAL", "Email", "Assertion"}

// names returns usable names even if it returns an error. The error has an entry for each
// wrong field of ForwardAuth.
func (h Headers) names() (headerNames, error) {
	names := headerNames{h.UserID, h.IdentityID, h.SessionID, h.AAL, h.Email, h.Assertion}
	all, seen := faults.Of("ForwardAuth"), map[string]bool{}
	for i, name := range names {
		field := "Headers." + headerFields[i]
		name = textproto.CanonicalMIMEHeaderKey(cmp.Or(name, defaultNames[i]))
		switch {
		case !isHeaderName(name):
			all.Say(field, fmt.Sprintf("%q is not the name of a header", name))
		case isReserved(name) || name == "Authorization" && headerFields[i] != "Assertion":
			all.Say(field, fmt.Sprintf("it must not be %s, because HTTP or a proxy gives that header another meaning", name))
		case seen[name]:
			all.Say("Headers", name+" is named twice")
		}
		names[i], seen[name] = name, true
	}
	if err := all.Err(); err != nil {
		return defaultNames, err
	}
	return names, nil
}

// isHeaderName is stricter than HTTP, because proxies drop or confuse other names.
func isHeaderName(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == "" && s != ""
}

// reserved are the names, in canonical form, that would break an answer, a request or a
// connection. Authorization is not among them, because some upstreams read a token there.
var reserved = []string{
	"Connection", "Expect", "Http2-Settings", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", // one connection
	"Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization",
	"Age", "Allow", "Alt-Svc", "Cache-Control", "Clear-Site-Data", "Date", "Expires", "Location", "Pragma", "Retry-After", // the answer's own
	"Set-Cookie", "Strict-Transport-Security", "Vary", "Www-Authenticate", "X-Content-Type-Options",
	"Cookie", "Host", "Range", // the upstream needs the client's value
	"Proxy", // CGI makes HTTP_PROXY of it, the address of a proxy
}

// reservedPrefixes are for whole families of names. nginx obeys X-Accel-Redirect and others.
var reservedPrefixes = []string{"Access-Control-", "Content-", "If-", "Sec-", "X-Accel-"}

func isReserved(name string) bool {
	return slices.Contains(reserved, name) ||
		slices.ContainsFunc(reservedPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// headers returns the names of the headers. If Headers is wrong, it returns the defaults and
// an error.
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

// HeaderNames returns the names of the headers of every answer, in canonical form.
func (f *ForwardAuth) HeaderNames() []string { return slices.Clone(f.headerNames()[:]) }

// setHeaders sets all headers for a principal. An error means that the assertion could not
// be signed.
func (f *ForwardAuth) setHeaders(h http.Header, p *symbolon.Principal) error {
	assertion, err := f.Signer.Assert(p)
	if err != nil {
		return err
	}
	values := [...]string{string(p.User.ID), string(p.User.Identity), p.Session.ID, p.Session.AAL, p.Email, assertion}
	room := make([]string, len(values)) // one allocation for all
	for i, name := range f.headerNames() {
		room[i] = headerValue(values[i])
		h[name] = room[i : i+1 : i+1]
	}
	return nil
}

// clearHeaders makes all headers empty, so that every answer overwrites the client's
// headers.
func (f *ForwardAuth) clearHeaders(h http.Header) {
	for _, name := range f.headerNames() {
		h[name] = empty[:1:1]
	}
}

// These are shared by all answers and never written to.
var (
	empty   = []string{""}
	noStore = []string{"no-store"}
)

// maxHeaderValue limits a value, because a trait may have any length, and proxies limit
// their headers.
const maxHeaderValue = 1 << 10

// headerValue encodes text as one line of visible ASCII. It returns "" if the result would
// be too long.
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
