// Package fakeory is a fake Ory for tests. It plays an Ory Kratos of one of two
// generations, with identities, sessions, flows and webhooks, and it can fail on purpose.
// It starts in a millisecond, so each test can have its own.
//
//	ory := fakeory.Start(t, fakeory.Config{Generation: fakeory.V26})
//	ada, err := ory.Register(ctx, "ada@example.com", "correct horse battery", "Ada")
//	repair := ory.Break(fakeory.DatabaseDown{}) // whoami now answers 401 to everybody
//	defer repair()
//
// It has two forms. Both give the same answers and have the same faults.
//
//   - A server, the default. It listens on two loopback ports. Use it to test a whole
//     program, timeouts or connections, or code that accepts only a URL.
//   - In memory ([Config].InMemory). It is an [http.RoundTripper] that answers in the
//     caller's goroutine, without a socket and without goroutines of its own. It can
//     run in a testing/synctest bubble. Latencies, session expiry and rate limits then
//     follow the bubble's clock. Pass it as ory.Client{HTTP: &http.Client{Transport:
//     fake}}. Its webhooks are sent through [Config].HookTransport, see [Transport].
//
// [Ory.PutIdentity] and [Ory.PutSession] store values that Ory's API does not let a test
// choose. [Ory.Lie] replaces the answer of a route, for example by HTML, by a proxy's 404
// or by another identity. A test that needs one odd answer does not need a fake of its
// own.
//
// The fake repeats the surprising behaviour of Ory:
//
//   - A parse hook gets the nil UUID, and an empty 200 from it ends the registration.
//   - A PATCH reads and writes the whole identity without a lock.
//   - A PUT deletes the metadata that its body leaves out.
//   - A batch import answers 200 even if it imported nothing.
//   - whoami answers 401 while Ory's database is down.
//
// Its answers are compared with captures of real servers of both generations (testdata).
// The same contract suite runs against both forms and against a real Kratos v1.3.1.
//
// Limits: the fake hashes nothing, so nobody can sign in with an imported password hash.
// It knows one identity schema. It has no recovery, OIDC, TOTP, SCIM or mail.
package fakeory

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

// Generation is the generation of Kratos that the fake plays.
type Generation int

const (
	// V1 is Kratos v1.3.1. It never changes updated_at and has no external_id. Its pages
	// have no maximum size. One conflict rolls a whole batch import back. Its admin port
	// answers paths outside of /admin with redirects.
	V1 Generation = iota
	// V26 is Kratos v26.2.0. It is also used for Ory Network.
	V26
)

// String returns the version, which is also the name of the folder of captures.
func (g Generation) String() string {
	if g == V1 {
		return "v1.3.1"
	}
	return "v26.2.0"
}

// Config configures the fake. The zero value is a Kratos v1.3.1 without webhooks that
// creates a session after a registration.
type Config struct {
	// Generation defaults to V1.
	Generation Generation

	// Network adds the limits of Ory Network: one write of an identity at a time, rate
	// limits, and x-ratelimit headers. It implies V26.
	Network bool

	// Limits are the rate limits of Network. Defaults to the limits of a Production
	// project ([ProductionLimits]). An empty map means no limits.
	Limits Limits

	// Hooks are the webhooks. [HooksFromKratos] reads them from a kratos.yml.
	Hooks Hooks

	// RetryUnit replaces the second in Kratos' waits between the attempts of a webhook,
	// and in a hook's Retry-After. Defaults to 5 ms.
	RetryUnit time.Duration

	// HookTimeout limits one attempt of a webhook. Defaults to 30 s, as in Kratos.
	HookTimeout time.Duration

	// ExtraTraits are further traits of the schema, beside email and name. They accept
	// any value.
	ExtraTraits []string

	// Cookie names the session cookie. Defaults to ory_kratos_session.
	Cookie string

	// InMemory opens no ports. Only [Ory.RoundTrip] reaches the fake.
	InMemory bool

	// HookTransport sends the webhooks. Defaults to the network; see [Transport].
	HookTransport http.RoundTripper
}

// Ory is a running fake. Its methods may be called from several goroutines at once.
type Ory struct {
	// PublicURL and AdminURL are the two addresses, without a trailing slash.
	PublicURL, AdminURL string

	config                      Config
	publicHandler, adminHandler http.Handler
	servers                     []*httptest.Server // empty in memory
	hookClient, ownClient       *http.Client
	closing                     context.Context // done after Close
	close                       context.CancelFunc
	background                  tally // hooks whose answer Kratos ignores

	data   data
	faults faults
	limits limiter

	mu       sync.Mutex // guards requests
	requests []*Request
}

// Start starts a fake for a test and closes it at the end of the test.
func Start(t testing.TB, config Config) *Ory {
	t.Helper()
	o := New(config)
	t.Cleanup(o.Close)
	return o
}

// New starts a fake. The caller closes it.
func New(config Config) *Ory {
	o := &Ory{config: config.withDefaults(), data: newData()}
	o.limits.limits = o.config.Limits
	o.closing, o.close = context.WithCancel(context.Background())
	o.hookClient = &http.Client{Timeout: o.config.HookTimeout, Transport: o.config.HookTransport}
	o.publicHandler, o.adminHandler = o.publicRoutes(), o.adminRoutes()
	o.PublicURL, o.AdminURL = memoryPublic, memoryAdmin
	o.ownClient = &http.Client{Transport: o}
	if !o.config.InMemory {
		o.ownClient = &http.Client{Timeout: o.config.HookTimeout, Transport: network()}
		o.servers = []*httptest.Server{httptest.NewServer(o.publicHandler), httptest.NewServer(o.adminHandler)}
		o.PublicURL, o.AdminURL = o.servers[0].URL, o.servers[1].URL
	}
	return o
}

func (c Config) withDefaults() Config {
	if c.Network {
		c.Generation = V26
		if c.Limits == nil {
			c.Limits = ProductionLimits()
		}
	} else {
		c.Limits = nil
	}
	if c.RetryUnit <= 0 {
		c.RetryUnit = 5 * time.Millisecond
	}
	if c.HookTimeout <= 0 {
		c.HookTimeout = 30 * time.Second
	}
	if c.Cookie == "" {
		c.Cookie = "ory_kratos_session"
	}
	if c.HookTransport == nil {
		c.HookTransport = network()
	}
	return c
}

func network() *http.Transport { return &http.Transport{MaxIdleConnsPerHost: 64} }

// Close stops the fake and cuts running webhooks off, as a kill of Kratos does.
func (o *Ory) Close() {
	o.close()
	for _, s := range o.servers {
		s.CloseClientConnections()
	}
	for _, s := range o.servers {
		s.Close()
	}
	o.background.wait()
	o.hookClient.CloseIdleConnections()
	o.ownClient.CloseIdleConnections()
}

// WaitHooks waits until no hook with Ignore is running.
func (o *Ory) WaitHooks() { o.background.wait() }

// tally counts running goroutines. Unlike a sync.WaitGroup it allows new goroutines while
// another goroutine waits.
type tally struct {
	mu      sync.Mutex
	running int
	idle    chan struct{} // closed when running is 0 again; nil while running is 0
}

func (t *tally) begin(work func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running++; t.idle == nil {
		t.idle = make(chan struct{})
	}
	go func() {
		work()
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.running--; t.running == 0 {
			close(t.idle)
			t.idle = nil
		}
	}()
}

func (t *tally) wait() {
	t.mu.Lock()
	idle := t.idle
	t.mu.Unlock()
	if idle != nil {
		<-idle
	}
}

// Request is one request that the fake received.
type Request struct {
	Admin  bool   // received on the admin port
	Method string // such as GET
	Path   string // decoded, without the query
	Query  string // as received
	Header http.Header
	Body   []byte

	// Status is the status of the answer. It is 0 before the answer, and if the
	// connection was dropped.
	Status int
}

// Requests returns all requests so far, in the order of their arrival.
func (o *Ory) Requests() []Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make([]Request, len(o.requests))
	for n, r := range o.requests {
		out[n] = *r
		out[n].Header, out[n].Body = r.Header.Clone(), slices.Clone(r.Body)
	}
	return out
}

// Count returns the number of requests of a route so far.
func (o *Ory) Count(route Route) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.requests {
		if route.matches(r.Method, r.Path) {
			n++
		}
	}
	return n
}

// ForgetRequests empties the list of requests.
func (o *Ory) ForgetRequests() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests = nil
}

// record stores a request on its arrival. The body can be read again afterwards.
func (o *Ory) record(admin bool, r *http.Request) (*Request, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	noted := &Request{Admin: admin, Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
		Header: r.Header.Clone(), Body: body}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests = append(o.requests, noted)
	return noted, nil
}

func (o *Ory) answered(noted *Request, status int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	noted.Status = status
}
