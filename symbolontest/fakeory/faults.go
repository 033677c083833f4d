package fakeory

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Fault is a failure that lasts until it is repaired; see [Ory.Break].
type Fault interface{ times() int }

// Times limits how many requests a fault affects. 0 means no limit.
type Times int

func (t Times) times() int { return int(t) }

// Route selects the requests of a fault: "GET /admin/identities/*", or a path without a
// method. * matches one segment (path.Match). The empty route matches every request.
type Route string

func (p Route) concerns(r *http.Request) bool { return p.matches(r.Method, r.URL.Path) }

func (p Route) matches(method, at string) bool {
	wanted, pattern, both := strings.Cut(string(p), " ")
	if !both {
		wanted, pattern = method, string(p)
	}
	ok, err := path.Match(pattern, at)
	return p == "" || wanted == method && err == nil && ok
}

type (
	// Latency waits before it carries out the request and answers.
	Latency struct {
		Times
		Route Route
		Wait  time.Duration
	}

	// Dropped closes the connection without an answer, before the request is carried out
	// or, with After, afterwards. Danger: Go's HTTP client sends a GET again by itself if
	// it used the connection before.
	Dropped struct {
		Times
		Route Route
		After bool
	}

	// CutBody carries out the request and sends the answer without its last Bytes bytes.
	// Then it closes the connection.
	CutBody struct {
		Times
		Route Route
		Bytes int
	}

	// Failing answers with an error in Ory's form and does not carry out the request.
	Failing struct {
		Times
		Route  Route
		Status int // defaults to 500
	}

	// RateLimited answers 429 as Ory Network does if a bucket is empty. Reset is the
	// x-ratelimit-reset, rounded up to whole seconds.
	RateLimited struct {
		Times
		Route Route
		Reset time.Duration
	}

	// DatabaseDown is Kratos without its database. As in real Kratos, whoami answers 401
	// to everybody, with the same bytes as a true 401. Readiness answers 503 and the
	// admin API 500.
	DatabaseDown struct{ Times }

	// TableBroken makes whoami answer the same false 401 while readiness answers 200, as
	// if a table of whoami were locked or missing. The session routes of the admin API
	// answer 500, unless SessionsReadable is set.
	TableBroken struct {
		Times
		SessionsReadable bool
	}

	// SlowWrites waits between the read and the write of an identity. Other writes in
	// this time are lost.
	SlowWrites struct {
		Times
		Wait time.Duration
	}

	// RacingWriter calls Write between the read and the write of a PATCH, a PUT or a
	// settings form. Requests that Write itself sends are not raced.
	RacingWriter struct {
		Times
		Write func(identityID string)
	}

	// LostHooks does not send webhooks and reports no error, as if Kratos were killed.
	// URL is a part of the hook's URL. An empty URL matches all hooks.
	LostHooks struct {
		Times
		URL string
	}

	// Lying answers a request with Answer instead of Ory. If Answer returns false, Ory
	// answers as usual. Otherwise the request is not carried out.
	Lying struct {
		Times
		Route  Route
		Answer Answer
	}

	// HostileListing answers GET /admin/identities with a wrong page.
	HostileListing struct {
		Times
		Kind Lie
	}
)

// Lie is the kind of a wrong page.
type Lie int

const (
	// EmptyPage is a 200 without identities and without a next link.
	EmptyPage Lie = iota
	// NoLink is a page without a Link header.
	NoLink
	// LoopLink is a page whose next link leads to the same page.
	LoopLink
	// LostRows is a page without the second half of its identities. Its Link header is
	// unchanged.
	LostRows
	// CutPage is a page whose body ends in the middle.
	CutPage
)

// Answer writes an answer instead of Ory, or returns false so that Ory answers. It may
// panic with [http.ErrAbortHandler] to close the connection. Several goroutines may call
// it at once.
type Answer func(w http.ResponseWriter, r *http.Request) bool

// Says returns an Answer with exactly this status and body.
func Says(status int, contentType, body string) Answer {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	}
}

// Lie replaces the answer of a route until repair is called. It is [Ory.Break] with
// [Lying].
func (o *Ory) Lie(route Route, answer Answer) (repair func()) {
	return o.Break(Lying{Route: route, Answer: answer})
}

// Break adds a fault until repair is called. Several faults may be active at once. If two
// of them have the same type, the first that matches a request is used.
func (o *Ory) Break(f Fault) (repair func()) {
	active := &activeFault{fault: f}
	active.left.Store(int64(f.times()))
	o.faults.mu.Lock()
	defer o.faults.mu.Unlock()
	o.faults.active = append(o.faults.active, active)
	return func() {
		o.faults.mu.Lock()
		defer o.faults.mu.Unlock()
		for n, a := range o.faults.active {
			if a == active {
				rest := append([]*activeFault{}, o.faults.active[:n]...)
				o.faults.active = append(rest, o.faults.active[n+1:]...)
				return
			}
		}
	}
}

type faults struct {
	mu     sync.Mutex
	active []*activeFault
}

type activeFault struct {
	fault Fault
	left  atomic.Int64
	busy  atomic.Bool // a RacingWriter is inside its Write
}

// strikes returns the first active fault of the type F that matches, and counts it as
// used once.
func strikes[F Fault](o *Ory, concerns func(F) bool) (found F, active *activeFault, ok bool) {
	o.faults.mu.Lock()
	defer o.faults.mu.Unlock()
	for _, a := range o.faults.active {
		f, is := a.fault.(F)
		if !is || !concerns(f) {
			continue
		}
		if f.times() > 0 && a.left.Add(-1) < 0 {
			continue
		}
		return f, a, true
	}
	return found, nil, false
}

// underFaults answers a request after all active faults and rate limits.
func (o *Ory) underFaults(admin bool, r *http.Request, h handler) answer {
	if f, _, ok := strikes(o, func(f Latency) bool { return f.Route.concerns(r) }); ok {
		o.sleep(r, f.Wait)
	}
	drop, _, dropped := strikes(o, func(f Dropped) bool { return f.Route.concerns(r) })
	if dropped && !drop.After {
		return answer{}
	}
	a, done := o.limits.admit(o.config.Network, r)
	if a == nil {
		defer done()
		if a = o.broken(admin, r); a == nil {
			made := h(r)
			a = &made
		}
		o.limits.mark(r, a)
	}
	if dropped {
		return answer{}
	}
	if f, _, ok := strikes(o, func(f CutBody) bool { return f.Route.concerns(r) }); ok {
		a.cut = min(f.Bytes, len(a.body))
	}
	return o.lieOnPage(r, *a)
}

// broken returns the answer of a fault that replaces Ory's answer, or nil.
func (o *Ory) broken(admin bool, r *http.Request) *answer {
	if f, _, ok := strikes(o, func(f Lying) bool { return f.Route.concerns(r) }); ok {
		if a := told(f.Answer, r); a != nil {
			return a
		}
	}
	if f, _, ok := strikes(o, func(f RateLimited) bool { return f.Route.concerns(r) }); ok {
		a := tooMany(0, 0, f.Reset)
		return &a
	}
	if f, _, ok := strikes(o, func(f Failing) bool { return f.Route.concerns(r) }); ok {
		a := internal("broken on command")
		if f.Status != 0 {
			a = failed(f.Status, errorBody{Message: "broken on command"})
		}
		return &a
	}
	if _, _, ok := strikes(o, func(DatabaseDown) bool { return true }); ok {
		return withoutDatabase(admin, r)
	}
	if f, _, ok := strikes(o, func(TableBroken) bool { return true }); ok {
		return withoutTable(f, r)
	}
	return nil
}

// told returns the answer of a Lying fault, or nil if Ory shall answer.
func told(lie Answer, r *http.Request) *answer {
	w := httptest.NewRecorder()
	lied := false
	if aborted := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { lied = lie(w, r) }), w, r); aborted {
		return &answer{}
	}
	if !lied {
		return nil
	}
	return &answer{status: w.Code, header: w.Result().Header, body: w.Body.Bytes(), asIs: true}
}

const (
	noDatabase = "failed to connect to `user=k database=postgres`: 127.0.0.1:5432 (127.0.0.1): dial error: dial tcp 127.0.0.1:5432: connect: connection refused"
	obfuscated = "error may contain sensitive information and was obfuscated"
)

func withoutDatabase(admin bool, r *http.Request) *answer {
	message := noDatabase
	if !admin {
		message = obfuscated
	}
	a := internal(message)
	switch p := strings.TrimPrefix(r.URL.Path, "/admin"); {
	case strings.HasSuffix(p, "/alive") || p == "/version":
		return nil
	case p == "/health/ready":
		a.status = http.StatusServiceUnavailable
	case !admin && p == "/sessions/whoami":
		a = unauthorized()
	case p == "/identities" && r.Method == http.MethodGet:
		a = internal("couldn't start a new transaction: could not create new transaction: " + noDatabase)
	}
	return &a
}

func withoutTable(f TableBroken, r *http.Request) *answer {
	a := unauthorized()
	switch p := r.URL.Path; {
	case p == "/sessions/whoami":
	case (strings.HasPrefix(p, "/admin/sessions") || strings.HasSuffix(p, "/sessions")) && !f.SessionsReadable:
		a = internal("Unable to locate the table")
	default:
		return nil
	}
	return &a
}

// between runs the faults that come between the read and the write of an identity.
func (o *Ory) between(id string) {
	if f, _, ok := strikes(o, func(SlowWrites) bool { return true }); ok {
		o.sleep(nil, f.Wait)
	}
	o.faults.mu.Lock()
	list := o.faults.active
	o.faults.mu.Unlock()
	for _, a := range list {
		f, is := a.fault.(RacingWriter)
		if !is || !a.busy.CompareAndSwap(false, true) {
			continue
		}
		if f.times() == 0 || a.left.Add(-1) >= 0 {
			f.Write(id)
		}
		a.busy.Store(false)
	}
}

// sleep returns early if the request ends or the fake closes. r may be nil.
func (o *Ory) sleep(r *http.Request, d time.Duration) {
	var gone <-chan struct{}
	if r != nil {
		gone = r.Context().Done()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-gone:
	case <-o.closing.Done():
	}
}
