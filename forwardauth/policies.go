package forwardauth

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/session"
)

// Policy is what ForwardAuth asks of a request behind one path.
type Policy struct {
	// Require are the conditions on the session, beyond its being good.
	Require []session.Policy

	// LoginRedirect sends browsers without a session to [ForwardAuth.Login] instead of
	// answering 401. Behind nginx leave it false:
	// auth_request makes a 500 of everything but 2xx, 401 and 403.
	LoginRedirect bool

	optional bool
}

// builtin are the policies that are always there.
var builtin = map[string]Policy{
	"default":  {},
	"optional": {optional: true},
	"aal2":     {Require: []session.Policy{session.AAL2}},
}

// isBuiltin reports whether a policy of this name is always there.
func isBuiltin(name string) bool { _, ok := builtin[name]; return ok }

// isPolicyName reports whether a policy can be called so: 1 to 64 of a-z, 0-9, "-"
// and "_", which stand in a path as they are.
func isPolicyName(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == "" && s != "" && len(s) <= 64
}

const named = "/auth/p/"

// policy finds the policy of a path, which is compared byte by byte. Only behind
// /auth/p/NAME may anything follow: there Envoy appends the path that the client
// asked for, and whatever that is says nothing.
func (f *ForwardAuth) policy(path string) (Policy, bool) {
	switch path {
	case "/auth":
		return builtin["default"], true
	case "/auth/optional":
		return builtin["optional"], true
	case "/auth/aal2":
		return builtin["aal2"], true
	}
	rest, ok := strings.CutPrefix(path, named)
	if !ok {
		return Policy{}, false
	}
	name, _, _ := strings.Cut(rest, "/")
	return f.policyNamed(name)
}

func (f *ForwardAuth) policyNamed(name string) (Policy, bool) {
	p, ok := builtin[name] // first: nobody redefines these
	if !ok {
		p, ok = f.Policies[name]
	}
	return p, ok
}

var noSuchPath = answer.New(http.StatusNotFound, answer.NotFound, "There is no such policy.")

var errNoPolicy = fmt.Errorf("forwardauth: no such policy: %w", symbolon.ErrUnavailable)
