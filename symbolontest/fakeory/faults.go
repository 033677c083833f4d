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

// Fault is something that goes wrong until it is mended; see [Ory.Break].
type Fault interface{ times() int }

// Times is how often a fault strikes before it ends by itself. 0: until it is repaired.
type Times int

func (t Times) times() int { return int(t) }

// Route says which requests a fault concerns: "GET /admin/identities/*", or a path
// without a method; * is one segment (path.Match). The empty route is every request.
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

// The faults.
type (
	// Latency answers after a while. What is asked is done at the end of it.
	Latency struct {
		Times
		Route Route
		Wait  time.Duration
	}

	// Dropped closes the connection without an answer. What was asked is not done,
	// unless After: then it was, and nobody hears of it. Go's own client repeats a GET
	// by itself when that happens on a connection that it has used before.
	Dropped struct {
		Times
		Route Route
		After bool
	}

	// CutBody sends the answer without its last Bytes bytes, then closes the
	// connection. What was asked is done.
	CutBody struct {
		Times
		Route Route
		Bytes int
	}

	// Failing answers with an error of Ory's form and does nothing.
	Failing struct {
		Times
		Route  Route
		Status int // 500 when 0
	}

	// RateLimited answers 429 as Ory Network does when a bucket is empty, with an
	// x-ratelimit-reset of Reset, in whole seconds.
	RateLimited struct {
		Times
		Route Route
		Reset time.Duration
	}

	// DatabaseDown is Kratos without its database. Danger of the real thing: whoami
	// says 401 to everybody, in the bytes of a real 401. Readiness says 503 and the
	// admin API 500.
	DatabaseDown struct{ Times }

	// TableBroken is the same false 401 while readiness says 200: a table of whoami's
	// is locked or gone. The admin API's sessions say 500, unless SessionsReadable.
	TableBroken struct {
		Times
		SessionsReadable bool
	}

	// SlowWrites lengthens the moment between the reading and the writing of an
	// identity, in which other writes are undone.
	SlowWrites struct {
		Times
		Wait time.Duration
	}

	// RacingWriter writes in exactly that moment: Write is called between the reading
	// and the writing of a PATCH, a PUT or a settings form. What it writes itself is
	// not raced again.
	RacingWriter struct {
		Times
		Write func(identityID string)
	}

	// LostHooks loses webhooks as a kill of Kratos does: they are not sent, and
	// nothing says so. URL is a part of the hook's URL; empty: all of them.
	LostHooks struct {
		Times
		URL string
	}

	// Lying answers otherwise: with a form that is not Ory's, late, or not at all. What
	// was asked is not done, unless Answer returns false: then the truth is told.
	Lying struct {
		Times
		Route  Route
		Answer Answer
	}

	// HostileListing answers GET /admin/identities with a page that lies.
	HostileListing struct {
		Times
		Kind Lie
	}
)

// Lie is what is wrong with a page of a listing.
type Lie int

const (
	// EmptyPage is a 200 with no identity and no next link.
	EmptyPage Lie = iota
	// NoLink is a page without a Link header.
	NoLink
	// LoopLink is a page whose next link leads to itself.
	LoopLink
	// LostRows is a page that lacks the second half of its identities, its link whole.
	LostRows
	// CutPage is a page whose bytes end in the middle.
	CutPage
)

// Answer writes an answer in Ory's place, or reports false and leaves it to Ory. It may
// panic with [http.ErrAbortHandler] to close the connection. It is called by several
// goroutines at once.
type Answer func(w http.ResponseWriter, r *http.Request) bool

// Says answers with a status and a body, word for word.
func Says(status int, contentType, body string) Answer {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	}
}

// Lie has a route answered otherwise until mend is called: [Ory.Break] with [Lying].
func (o *Ory) Lie(route Route, answer Answer) (mend func()) {
	return o.Break(Lying{Route: route, Answer: answer})
}

// Break makes something go wrong until mend is called. Several faults may hold at
// once; of one kind the first that concerns a request strikes.
func (o *Ory) Break(f Fault) (mend func()) {
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
	busy  atomic.Bool // a RacingWriter writes
}

// strikes finds a fault of one kind and uses it up by one.
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

// underFaults answers a request as far as the faults and the limits let it.
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

// broken answers in the place of what cannot answer; nil: nothing is broken.
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

// told returns a lie, nil where the truth is wanted.
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

// between is the moment between the reading and the writing of an identity.
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

// sleep ends early with the request, if there is one, and with the fake.
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
