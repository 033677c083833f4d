// Package fakeory is the one double of Ory for tests: an Ory Kratos of either of two
// generations, with identities, sessions, flows and webhooks, that can fail on purpose.
// It starts in a millisecond, so a test has one of its own.
//
//	ory := fakeory.Start(t, fakeory.Config{Generation: fakeory.V26})
//	ada, err := ory.Register(ctx, "ada@example.com", "correct horse battery", "Ada")
//	mend := ory.Break(fakeory.DatabaseDown{}) // whoami now says 401 to everybody
//	defer mend()
//
// It has two forms. Both answer alike, and every fault strikes in both.
//
//   - A server, the default: two loopback ports, for a test of a whole program, of
//     timeouts and connections, or of anything that is given a URL only.
//   - In memory ([Config].InMemory): an [http.RoundTripper] that answers in the caller's
//     goroutine. It opens no socket and leaves no goroutine behind, so that it runs in a
//     testing/synctest bubble: a latency, a session's end and a window of the rate limits
//     then follow the bubble's clock. Hand it out as ory.Client{HTTP:
//     &http.Client{Transport: fake}}; webhooks come back by [Transport].
//
// [Ory.PutIdentity] and [Ory.PutSession] store what no API of Ory's lets a test choose.
// [Ory.Lie] answers a route otherwise, in any form: HTML, a proxy's 404, another
// identity. A test that needs one odd answer needs no double of its own.
//
// It repeats what surprises people about Ory: a parse hook sees the nil UUID, an
// empty 200 from it ends the registration, a PATCH reads and writes the whole
// identity without a lock, a PUT erases the metadata that it does not name, a batch
// import answers 200 when nothing was imported, and whoami says 401 when its
// database is down. What it answers is compared with captures of real servers of
// both generations (testdata), and the same contract suite runs against both of its
// forms and against a real Kratos v1.3.1.
//
// What it is not: it hashes nothing (an imported password hash lets nobody in),
// knows one identity schema, and has no recovery, OIDC, TOTP, SCIM or mail.
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

// Generation is which Kratos the fake plays.
type Generation int

const (
	// V1 is Kratos v1.3.1: updated_at never moves, no external_id, no cap on a
	// page, a batch import that one conflict undoes, redirects on the admin port.
	V1 Generation = iota
	// V26 is Kratos v26.2.0 and what Ory Network runs.
	V26
)

// String names the version as the captures do.
func (g Generation) String() string {
	if g == V1 {
		return "v1.3.1"
	}
	return "v26.2.0"
}

// Config says which Ory is played. The zero value is a Kratos v1.3.1 without
// webhooks that gives a session after registration.
type Config struct {
	// Generation defaults to V1.
	Generation Generation

	// Network adds what Ory Network puts before Kratos: one write of identities in
	// flight at a time, rate limits, x-ratelimit headers. It implies V26.
	Network bool

	// Limits are Network's rate limits; nil means those of a Production project
	// ([ProductionLimits]), an empty map none.
	Limits Limits

	// Hooks are the webhooks. [HooksFromKratos] reads them from a kratos.yml.
	Hooks Hooks

	// RetryUnit is what the fake waits where Kratos waits a second: between the
	// attempts of a webhook, and for a hook's Retry-After. Defaults to 5 ms.
	RetryUnit time.Duration

	// HookTimeout bounds one attempt of a webhook. Defaults to 30 s, as Kratos.
	HookTimeout time.Duration

	// ExtraTraits are the traits that the schema allows beside email and name. They
	// may hold anything.
	ExtraTraits []string

	// Cookie names the session cookie. Defaults to ory_kratos_session.
	Cookie string

	// InMemory leaves out the two ports: only [Ory.RoundTrip] reaches the fake.
	InMemory bool

	// HookTransport carries the webhooks. Defaults to the network; see [Transport].
	HookTransport http.RoundTripper
}

// Ory is a running fake. Its methods may be called from several goroutines at once.
type Ory struct {
	// PublicURL and AdminURL are the two addresses, without a final slash.
	PublicURL, AdminURL string

	config                      Config
	publicHandler, adminHandler http.Handler
	servers                     []*httptest.Server // none in memory
	hookClient, ownClient       *http.Client
	closing                     context.Context // ends with Close
	close                       context.CancelFunc
	background                  tally // hooks whose answer is ignored

	data   data
	faults faults
	limits limiter

	mu       sync.Mutex // over requests
	requests []*Request
}

// Start starts a fake for a test and ends it with the test.
func Start(t testing.TB, config Config) *Ory {
	t.Helper()
	o := New(config)
	t.Cleanup(o.Close)
	return o
}

// New starts a fake. The caller ends it with Close.
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

// Close ends the fake: hooks on their way are cut off, as by a kill of Kratos.
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

// WaitHooks returns when no webhook is on its way whose answer is ignored.
func (o *Ory) WaitHooks() { o.background.wait() }

// tally counts what runs in the background. Unlike a sync.WaitGroup it may be waited
// for while more is begun.
type tally struct {
	mu      sync.Mutex
	running int
	idle    chan struct{} // closed when running is 0 again; nil while it is
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
	Admin  bool   // on the admin port
	Method string // GET
	Path   string // decoded, without the query
	Query  string // as it came
	Header http.Header
	Body   []byte

	// Status is what was answered; 0 while the answer is not known, or when the
	// connection was dropped.
	Status int
}

// Requests returns all requests received so far, in the order of their arrival.
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

// Count is how many requests of a route were received so far.
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

// ForgetRequests empties the record.
func (o *Ory) ForgetRequests() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests = nil
}

// record notes a request on its arrival and leaves its body to be read again.
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
