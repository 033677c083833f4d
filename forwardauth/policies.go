package forwardauth

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/session"
)

// Policy is what ForwardAuth requires of the requests of one path.
type Policy struct {
	// Require lists conditions on a valid session.
	Require []session.Policy

	// LoginRedirect sends browsers without a session to [ForwardAuth.Login] instead of
	// answering 401. Leave it false behind nginx, because auth_request turns every status
	// except 2xx, 401 and 403 into a 500.
	LoginRedirect bool

	optional bool
}

// builtin are the built-in policies.
var builtin = map[string]Policy{
	"default":  {},
	"optional": {optional: true},
	"aal2":     {Require: []session.Policy{session.AAL2}},
}

// isBuiltin reports whether name is a built-in policy.
func isBuiltin(name string) bool { _, ok := builtin[name]; return ok }

// isPolicyName reports whether s can name a policy: 1 to 64 of a-z, 0-9, "-" and "_", which
// need no escape in a path.
func isPolicyName(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == "" && s != "" && len(s) <= 64
}

const named = "/auth/p/"

// policy finds the policy of a path. The path is compared byte by byte. Only /auth/p/NAME
// may be followed by more, which is ignored, because Envoy appends the path that the client
// asked for.
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
	p, ok := builtin[name] // first, so that Policies cannot redefine them
	if !ok {
		p, ok = f.Policies[name]
	}
	return p, ok
}

var noSuchPath = answer.New(http.StatusNotFound, answer.NotFound, "There is no such policy.")

var errNoPolicy = fmt.Errorf("forwardauth: no such policy: %w", symbolon.ErrUnavailable)
