// Package forwardauth answers proxies that ask about each request whether to let it through
// and which user it is: nginx auth_request, Caddy forward_auth, Traefik ForwardAuth,
// HAProxy, Envoy's ext_authz over HTTP, and Ory Oathkeeper's hydrator. It asks a
// [session.Verifier] and adds policies by path, headers for the application, and the
// redirect to the login page.
//
//	auth := &session.Verifier{Linker: linker}
//	http.ListenAndServe("127.0.0.1:4460", &forwardauth.ForwardAuth{Verifier: auth})
//
//	/auth           200 with the user's headers, else 401, 403, 503
//	/auth/optional  200 also for a request that would be denied, then with empty headers;
//	                503 for "don't know"
//	/auth/aal2      as /auth, and 403 without a second factor
//	/auth/p/NAME    by the policy NAME of Policies, or default, optional, aal2
//
// A request is answered in these steps:
//
//	path ── no such policy ───────────────────────────────▶ 404
//	  │
//	  ▼
//	session.Verifier ── don't know ───────────────────────▶ 503
//	  │  └─ nobody has signed in ── LoginRedirect, a page ─▶ 302
//	  │                          └─ anything else ─────────▶ 401
//	  │  └─ a policy, an account on hold ─────────────────▶ 403
//	  ▼
//	200, with all headers, which overwrite the client's
package forwardauth

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/forwardauth/assertion"
	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/internal/faults"
	"github.com/symbolon-id/symbolon/session"
)

// ForwardAuth answers a proxy. Set the fields before the first request and do not change
// them afterwards. A ForwardAuth must not be copied. Only Verifier is required.
//
// The path that the proxy asks for names the policy. The path is compared byte by byte, so
// do not put an http.ServeMux in front, because it cleans paths and redirects. Only
// /auth/p/NAME may be followed by more of a path, which is ignored. The query and the
// method are ignored, because some proxies pass on those of the client. No body is read.
//
// If Ory itself demands a second factor, the body of the 403 (redirect_browser_to) and
// Location contain the address where Ory asks for it.
type ForwardAuth struct {
	Verifier *session.Verifier

	// Headers names the headers of the answer. Empty names keep their defaults.
	Headers Headers

	// Policies are the policies of /auth/p/NAME, by name.
	Policies map[string]Policy

	// Login is the login page for policies with LoginRedirect.
	Login Login

	// Signer signs X-Auth-Assertion. If it is nil, the header is empty.
	Signer *assertion.Signer

	once       sync.Once // protects names and badHeaders
	names      headerNames
	badHeaders error
}

// Check reports all errors in the fields, without any network call.
func (f *ForwardAuth) Check() error {
	all := faults.Of("ForwardAuth")
	for name, p := range f.Policies {
		field := "Policies[" + name + "]"
		switch {
		case isBuiltin(name):
			all.Say(field, "default, optional and aal2 are built in; choose another name")
		case !isPolicyName(name):
			all.Say(field, "its name is part of a path: 1 to 64 of a-z, 0-9, '-' and '_'")
		}
		if p.LoginRedirect && f.Login.URL == "" {
			all.Say(field+".LoginRedirect", "it needs Login.URL")
		}
	}
	all.Take("Login", f.Login.Check())
	_, err := f.headers()
	for field, fault := range faults.In(err) {
		all.Add(field, fault)
	}
	if f.Signer != nil {
		all.Add("Signer", f.Signer.Check())
	}
	if f.Verifier == nil {
		all.Say("Verifier", "it is not set")
	} else {
		all.Add("Verifier", f.Verifier.Check())
	}
	return all.Err()
}

// ServeHTTP answers the proxy.
func (f *ForwardAuth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	policy, ok := f.policy(r.URL.EscapedPath())
	if !ok && f.ready() == nil {
		f.clearHeaders(w.Header())
		answer.Write(w, noSuchPath)
		return
	}
	f.serve(w, r, policy, func() string { return f.Login.redirect(r) })
}

// ready returns why nobody can be let through, or nil. The error matches
// symbolon.ErrUnavailable.
func (f *ForwardAuth) ready() error {
	if _, err := f.headers(); err != nil {
		return fmt.Errorf("forwardauth: %w: %w", err, symbolon.ErrUnavailable)
	}
	if f.Verifier == nil {
		return fmt.Errorf("forwardauth: ForwardAuth.Verifier is not set: %w", symbolon.ErrUnavailable)
	}
	return f.Verifier.Check()
}

// serve answers a request by a policy. login returns the login page for a browser, or "".
func (f *ForwardAuth) serve(w http.ResponseWriter, r *http.Request, policy Policy, login func() string) {
	err := f.ready()
	f.clearHeaders(w.Header())
	if err != nil {
		answer.Write(w, err)
		return
	}
	p, err := f.Verifier.Authenticate(r, policy.Require...)
	if err != nil && policy.optional && session.Denied(err) {
		p, err = nil, nil
	}
	if err == nil && p != nil {
		err = f.setHeaders(w.Header(), p)
	}
	if err != nil {
		refuse(w, policy, err, login)
		return
	}
	w.Header()["Cache-Control"] = noStore[:1:1]
	w.WriteHeader(http.StatusOK)
}

// refuse answers a request that is not let through. Only a request without a session is
// redirected to the login page.
func refuse(w http.ResponseWriter, policy Policy, err error, login func() string) {
	if policy.LoginRedirect && errors.Is(err, session.ErrUnauthenticated) {
		if to := login(); to != "" {
			w.Header().Set("Location", to)
			err = toLogin
		}
	}
	if to := session.SecondFactorURL(err); to != "" {
		w.Header().Set("Location", to)
	}
	answer.Write(w, err)
}

var toLogin = answer.New(http.StatusFound, answer.Unauthenticated, "Sign in first.")

func (f *ForwardAuth) log() *slog.Logger {
	if f.Verifier != nil && f.Verifier.Log != nil {
		return f.Verifier.Log
	}
	return slog.Default()
}
