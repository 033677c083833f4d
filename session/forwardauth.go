package session

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/answer"
)

// ForwardAuth answers a proxy that asks, for each request it has before it, whether
// to let it through and who it is: nginx auth_request, Caddy forward_auth, Traefik
// ForwardAuth, HAProxy, Envoy's ext_authz over HTTP. Set the fields before the first
// request and leave them alone afterwards. Only Verifier is required.
//
//	/auth           200 with the user's headers, else 401, 403, 503
//	/auth/optional  200 for everybody, with empty headers for strangers; 503
//	/auth/aal2      as /auth, and 403 without a second factor
//	/auth/p/NAME    as Policies say, or one of default, optional, aal2
//
// The policy is the path that the proxy asks for. It is matched exactly, byte by
// byte, and the query never counts: some proxies pass on what the client wrote. So
// it must not stand behind an http.ServeMux, which cleans paths and redirects. Only
// behind /auth/p/NAME anything may follow, and is ignored. Methods do not count
// either, since proxies pass on the client's, and no body is read.
//
// A 403 aal2_required of Ory's own says in its body (redirect_browser_to) and in
// Location where Ory asks for the second factor.
type ForwardAuth struct {
	Verifier *Verifier

	// Policies are those of /auth/p/NAME, by their names.
	Policies map[string]ProxyPolicy

	// Login is where policies with LoginRedirect send browsers.
	Login Login

	// Signer, where there is one, signs X-Auth-Assertion. Nil leaves it empty.
	Signer *Signer
}

// Check reports what is wrong with the fields. It asks nobody.
func (f *ForwardAuth) Check() error {
	for name, p := range f.Policies {
		switch {
		case !IsPolicyName(name) || IsBuiltinPolicy(name):
			return fmt.Errorf("session: ForwardAuth.Policies: a policy cannot be called %q", name)
		case p.LoginRedirect && f.Login.URL == "":
			return fmt.Errorf("session: ForwardAuth.Policies: %s redirects to the login page, and Login.URL is not set", name)
		}
	}
	if err := f.Login.check(); err != nil {
		return fmt.Errorf("session: ForwardAuth.%w", err)
	}
	if f.Signer != nil {
		if err := f.Signer.Check(); err != nil {
			return err
		}
	}
	return f.Verifier.Check()
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
	policy, ok := f.policy(r.URL.EscapedPath())
	if !ok && f.Verifier.Check() == nil {
		f.Verifier.clearHeaders(w.Header())
		answer.Write(w, noSuchPath)
		return
	}
	f.serve(w, r, policy, func() string { return f.Login.redirect(r) })
}

// serve answers behind a policy. login says where a browser can sign in, or "".
func (f *ForwardAuth) serve(w http.ResponseWriter, r *http.Request, policy ProxyPolicy, login func() string) {
	v := f.Verifier
	err := v.Check()
	v.clearHeaders(w.Header())
	if err != nil {
		answer.Write(w, err)
		return
	}
	p, err := v.Authenticate(r, policy.Policies...)
	if err != nil && policy.optional && Denied(err) {
		p, err = nil, nil
	}
	assertion := ""
	if p != nil && f.Signer != nil {
		assertion, err = f.Signer.Assert(p)
	}
	if err != nil {
		refuse(w, policy, err, login)
		return
	}
	if p != nil {
		v.setHeaders(w.Header(), p, assertion)
	}
	w.Header()["Cache-Control"] = noStore[:1:1]
	w.WriteHeader(http.StatusOK)
}

// refuse answers whoever is not let through. Only "nobody has signed in" is ever
// answered by a redirect to the login page.
func refuse(w http.ResponseWriter, policy ProxyPolicy, err error, login func() string) {
	if policy.LoginRedirect && errors.Is(err, ErrUnauthenticated) {
		if to := login(); to != "" {
			w.Header().Set("Location", to)
			err = toLogin
		}
	}
	if to := SecondFactorURL(err); to != "" {
		w.Header().Set("Location", to)
	}
	answer.Write(w, err)
}

var toLogin = answer.New(http.StatusFound, answer.Unauthenticated, "Sign in first.")

// setHeaders sets all headers to what is known of somebody.
func (v *Verifier) setHeaders(h http.Header, p *symbolon.Principal, assertion string) {
	values := [...]string{string(p.User.ID), string(p.User.Identity), p.Session.ID, p.Session.AAL, p.Email, assertion}
	room := make([]string, len(values)) // one allocation for all
	for i, name := range v.names {
		room[i] = headerValue(values[i])
		h[name] = room[i : i+1 : i+1]
	}
}

// clearHeaders sets all headers to nothing: what a client sent is overwritten by
// every answer.
func (v *Verifier) clearHeaders(h http.Header) {
	for _, name := range v.names {
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
