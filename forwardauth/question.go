package forwardauth

import (
	"bytes"
	"context"
	"net/http"
)

// Question is the question of a proxy that does not ask by HTTP, such as Envoy's ext_authz
// by gRPC.
type Question struct {
	// Policy names a policy: default, optional, aal2 or one of [ForwardAuth.Policies]. It
	// must come from the proxy and never from the client.
	Policy string

	// Method and Header are those of the client's request. Header is in canonical form.
	Method string
	Header http.Header

	// URL is the client's URL according to the proxy. It becomes return_to if Login allows
	// its host. X-Forwarded headers are
	// not used for it.
	URL string

	// Client is the client's address according to the proxy, with or without a port. See
	// [session.Verifier.TrustedProxies].
	Client string
}

// Answer is the answer that ForwardAuth would give by HTTP. If the request may pass, Status
// is 200 and Header has all of [ForwardAuth.HeaderNames].
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Answer answers a question as ServeHTTP does. The answer for a policy that does not exist
// is 503, because it is the operator's mistake, and nobody may pass because of it.
func (f *ForwardAuth) Answer(ctx context.Context, q Question) Answer {
	w := written{header: http.Header{}}
	policy, ok := f.policyNamed(q.Policy)
	if !ok {
		f.log().Error("the proxy asks for a policy that does not exist: nobody is let through", "policy", q.Policy)
		refuse(&w, Policy{}, errNoPolicy, nil)
		return w.answer()
	}
	r := (&http.Request{Method: q.Method, Header: q.Header, RemoteAddr: q.Client}).WithContext(ctx)
	f.serve(&w, r, policy, func() string { return f.Login.page(q.Method, q.Header["Accept"], q.URL) })
	return w.answer()
}

// written is an http.ResponseWriter that keeps the answer.
type written struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (w *written) Header() http.Header         { return w.header }
func (w *written) WriteHeader(status int)      { w.status = status }
func (w *written) Write(b []byte) (int, error) { return w.body.Write(b) }

func (w *written) answer() Answer { return Answer{w.status, w.header, w.body.Bytes()} }
