package forwardauth

import (
	"bytes"
	"context"
	"net/http"
)

// Question is for proxies that do not ask by HTTP, such as Envoy's ext_authz by gRPC.
type Question struct {
	// Policy is the name of one: default, optional, aal2 or one of
	// [ForwardAuth.Policies]. It must be the proxy's word, never the client's.
	Policy string

	// Method and Header are the client's; the header in canonical form.
	Method string
	Header http.Header

	// URL is what the client asked for, as the proxy says: it becomes return_to where
	// Login allows its host. X-Forwarded headers do not count.
	URL string
}

// Answer is what ForwardAuth would answer by HTTP. Status is 200 where the request may
// pass; Header then has all of [ForwardAuth.HeaderNames].
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Answer answers a question as ServeHTTP does. A policy that does not exist is 503, because
// that is the operator's fault and no reason to let a request through.
func (f *ForwardAuth) Answer(ctx context.Context, q Question) Answer {
	w := written{header: http.Header{}}
	policy, ok := f.policyNamed(q.Policy)
	if !ok {
		f.log().Error("the proxy asks for a policy that does not exist: nobody is let through", "policy", q.Policy)
		refuse(&w, Policy{}, errNoPolicy, nil)
		return w.answer()
	}
	r := (&http.Request{Method: q.Method, Header: q.Header}).WithContext(ctx)
	f.serve(&w, r, policy, func() string { return f.Login.page(q.Method, q.Header["Accept"], q.URL) })
	return w.answer()
}

// written is an answer as it is written.
type written struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (w *written) Header() http.Header         { return w.header }
func (w *written) WriteHeader(status int)      { w.status = status }
func (w *written) Write(b []byte) (int, error) { return w.body.Write(b) }

func (w *written) answer() Answer { return Answer{w.status, w.header, w.body.Bytes()} }
