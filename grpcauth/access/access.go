// Package access decides who may call which method of a server that speaks gRPC or Connect.
// Packages grpcauth and connectauth put it in front of a server:
//
//	guard := &access.Guard{Verifier: auth, Methods: access.Methods{
//		"/grpc.health.v1.Health/*":    access.Open(),
//		"/shop.v1.Shop/Browse":        access.Optional(),
//		"/shop.v1.Shop/DeleteAccount": access.Require(session.AAL2, session.Fresh(15*time.Minute)),
//	}}
//
// A call carries its credential in the same headers, and by the same rules, as a request to
// [session.Verifier.Require]: X-Session-Token, else Ory's session cookie, else a Bearer
// token of Ory's. Inside, symbolon.UserFrom(ctx) returns the user.
package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
)

// Rule is the condition for a method's calls. The zero Rule is Require().
type Rule struct {
	policies []session.Policy
	open     bool
	optional bool
}

// Require lets in calls whose user is known and whose session meets the policies.
func Require(policies ...session.Policy) Rule { return Rule{policies: policies} }

// Optional lets every call in. The handler has a user if the caller has signed in. Only
// "don't know" is refused.
func Optional() Rule { return Rule{optional: true} }

// Open lets every call in and verifies nothing, for health checks and reflection. The
// handler never has a user.
func Open() Rule { return Rule{open: true} }

// Methods holds the rules by full method name, "/package.Service/Method". The rule of
// "/package.Service/*" is for all other methods of the service. Names are compared byte by
// byte.
type Methods map[string]Rule

// Guard lets calls in by the rules of their methods. Set the fields before the first call
// and do not change them afterwards. A Guard may be used by many calls at once, and by a
// gRPC and a Connect server together. It must not be copied. Only Verifier is required.
type Guard struct {
	Verifier *session.Verifier

	// Methods are the rules of single methods and services.
	Methods Methods

	// Default is the rule of every other method. Its zero value is Require().
	Default Rule

	// Recheck is how often the session of an open stream is verified again. If a new call
	// would be refused, a stream ends within Recheck, with the same status. "Don't know"
	// ends it with unavailable, but only if the session could not be verified for
	// [session.Verifier.Bound]. Policies are checked when a stream begins, and not again.
	//
	// The default, 0, verifies only when a stream begins. Danger: the stream then goes on
	// after its session was revoked or has expired, until client or handler end it.
	Recheck time.Duration

	once     sync.Once
	bad      error
	services map[string]Rule // by "/package.Service/"
}

// Check reports errors in the fields, without any network call. A guard with wrong fields
// lets nobody in.
func (g *Guard) Check() error {
	g.once.Do(func() { g.bad = g.setup() })
	return g.bad
}

func (g *Guard) setup() error {
	if g.Verifier == nil {
		return fmt.Errorf("access: Guard.Verifier is not set: %w", symbolon.ErrUnavailable)
	}
	g.services = map[string]Rule{}
	var bad []error
	for name, rule := range g.Methods {
		service, method, ok := split(name)
		switch {
		case !ok:
			bad = append(bad, fmt.Errorf("access: Guard.Methods: %q is not /package.Service/Method", name))
		case method == "*":
			g.services[service] = rule
		}
	}
	if g.Recheck < 0 {
		bad = append(bad, errors.New("access: Guard.Recheck is negative"))
	}
	if len(bad) > 0 {
		return fmt.Errorf("%w: %w", errors.Join(bad...), symbolon.ErrUnavailable)
	}
	return g.Verifier.Check()
}

// CheckMethods reports the names in Methods that no server of the program has, and the
// errors of Check. A rule with a misspelt name has no effect, and the method that it was
// meant for gets Default. served lists full method names.
func (g *Guard) CheckMethods(served []string) error {
	has := map[string]bool{}
	for _, name := range served {
		if service, _, ok := split(name); ok {
			has[name], has[service+"*"] = true, true
		}
	}
	var bad []error
	for name := range g.Methods {
		if !has[name] {
			bad = append(bad, fmt.Errorf("access: Guard.Methods: no server has %s", name))
		}
	}
	return errors.Join(append(bad, g.Check())...)
}

// split cuts "/package.Service/Method" after the second slash.
func split(name string) (service, method string, ok bool) {
	i := strings.LastIndexByte(name, '/')
	if i < 2 || name[0] != '/' || i == len(name)-1 || strings.IndexByte(name[1:i], '/') >= 0 {
		return "", "", false
	}
	return name[:i+1], name[i+1:], true
}

func (g *Guard) rule(method string) (Rule, bool) {
	if rule, ok := g.Methods[method]; ok {
		return rule, true
	}
	service, _, ok := split(method)
	if !ok {
		return Rule{}, false // because a server may serve the method under this spelling, too
	}
	if rule, ok := g.services[service]; ok {
		return rule, true
	}
	return g.Default, true
}

// Enter lets a call in or returns an error of [session.Verifier.Authenticate]; see [Code]
// and [Detail]. The returned context has the user. h is the call's header in canonical
// form, of which only the headers of [session.Verifier.Credential] are read.
func (g *Guard) Enter(ctx context.Context, method string, h http.Header) (context.Context, error) {
	ctx, _, err := g.enter(ctx, method, h)
	return ctx, err
}

func (g *Guard) enter(ctx context.Context, method string, h http.Header) (context.Context, *visit, error) {
	if err := g.Check(); err != nil {
		return ctx, nil, err
	}
	rule, ok := g.rule(method)
	if !ok {
		return ctx, nil, fmt.Errorf("access: %q is not the name of a method: %w", method, symbolon.ErrUnavailable)
	}
	if rule.open {
		return ctx, nil, nil
	}
	cred, p, err := g.verify(ctx, h, rule.policies)
	switch {
	case err == nil:
		return symbolon.WithPrincipal(ctx, p), &visit{guard: g, cred: cred, who: p}, nil
	case rule.optional && session.Denied(err):
		return ctx, nil, nil
	}
	return ctx, nil, err
}

func (g *Guard) verify(ctx context.Context, h http.Header, policies []session.Policy) (ory.Credential, *symbolon.Principal, error) {
	cred, err := g.Verifier.Credential(h)
	if err != nil {
		return cred, nil, err
	}
	p, err := g.Verifier.Verify(ctx, cred, policies...)
	return cred, p, err
}
