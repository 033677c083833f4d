package session

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/symbolontest"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

func TestMain(m *testing.M) { symbolontest.Main(m) }

// network is between a verifier and an Ory in memory, so that synctest can run it. It can
// be slow, refuse connections, count the questions, and replace answers.
type network struct {
	*fakeory.Ory
	mu      sync.Mutex
	people  []*fakeSession
	asked   map[string]int // number of "whoami", "ready", "probe", "session"
	latency time.Duration
	begun   chan string // if set, receives every question

	flying, most int  // running questions, and their maximum
	refuse       bool // refuse connections

	down        bool // as fakeory.DatabaseDown
	tableBroken bool // as fakeory.TableBroken
	answer      func(*http.Request) *http.Response
	repair      map[fakeory.Fault]func()
}

// fakeSession is a session. [network.set] passes changes on to the Ory.
type fakeSession struct {
	token         string // or the value of a cookie
	id, identity  string
	active        bool
	inactive      bool // of the identity
	deleted       bool // of the identity
	aal           string
	needsAAL2     bool
	verified      bool
	authenticated time.Time
	expires       time.Time
}

func (f *network) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	latency, begun := f.latency, f.begun
	f.flying++
	f.most = max(f.most, f.flying)
	refuse := f.refuse
	if refuse {
		f.asked["refused"]++
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.flying--
		f.mu.Unlock()
	}()
	if refuse {
		return nil, syscall.ECONNREFUSED
	}
	if begun != nil {
		begun <- r.URL.Path
	}
	if latency > 0 {
		t := time.NewTimer(latency)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if resp := f.otherwise(r); resp != nil {
		return resp, nil
	}
	return f.Ory.RoundTrip(r)
}

func (f *network) otherwise(r *http.Request) (resp *http.Response) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold(f.down, fakeory.DatabaseDown{})
	f.hold(f.tableBroken, fakeory.TableBroken{SessionsReadable: true})
	if f.answer != nil {
		resp = f.answer(r)
	}
	f.count(r)
	return resp
}

// hold starts a fault or ends it.
func (f *network) hold(wanted bool, fault fakeory.Fault) {
	repair, held := f.repair[fault]
	switch {
	case wanted && !held:
		f.repair[fault] = f.Break(fault)
	case !wanted && held:
		repair()
		delete(f.repair, fault)
	}
}

func (f *network) count(r *http.Request) {
	switch p := r.URL.Path; {
	case p == "/sessions/whoami":
		f.asked["whoami"]++
	case p == "/health/ready":
		f.asked["ready"]++
	case p == "/admin/sessions":
		f.asked["probe"]++
	case strings.HasPrefix(p, "/admin/sessions/"):
		f.asked["session"]++
	default:
		f.asked[r.Method+" "+p]++
	}
}

const (
	body401 = `{"error":{"code":401,"status":"Unauthorized","reason":"No valid session credentials found in the request.","message":"The request could not be authorized"}}`
	body404 = `{"error":{"code":404,"status":"Not Found","message":"Unable to locate the resource"}}`
	body500 = `{"error":{"code":500,"status":"Internal Server Error","message":"failed to connect"}}`
	bodyAAL = `{"error":{"id":"session_aal2_required","code":403,"status":"Forbidden"},"redirect_browser_to":"http://x/"}`
)

func response(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}
}

// put stores a session at the Ory.
func (f *network) put(s *fakeSession) {
	if s.deleted {
		_ = f.DeleteIdentity(context.Background(), s.identity)
		return
	}
	state, email := symbolon.Active, "p"+s.identity[:8]+"@x.example"
	if s.inactive {
		state = symbolon.Inactive
	}
	f.PutIdentity(map[string]any{"id": s.identity, "state": state, "traits": map[string]any{"email": email}, "created_at": time.Now().Add(-time.Hour),
		"verifiable_addresses": []any{map[string]any{"value": email, "via": "email", "verified": s.verified}}})
	if s.needsAAL2 {
		f.RequireSecondFactor(s.identity)
	}
	f.PutSession(fakeory.Session{ID: s.id, IdentityID: s.identity, Token: s.token, Cookie: s.token, AAL: s.aal, Revoked: !s.active,
		IssuedAt: s.authenticated, ExpiresAt: s.expires})
}

// shown returns an answer with a session.
func (f *network) shown(s *fakeSession) *http.Response {
	r, _ := http.NewRequest(http.MethodGet, f.AdminURL+"/admin/sessions/"+s.id+"?expand=identity", nil) //nolint:noctx // answered in memory
	resp, err := f.Ory.RoundTrip(r)
	if err != nil {
		panic(err)
	}
	return resp
}

// json returns a session in Ory's form.
func (f *network) json(s *fakeSession) string {
	text, err := io.ReadAll(f.shown(s).Body)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// set changes the network and the sessions.
func (f *network) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := make([]fakeSession, len(f.people))
	for n, s := range f.people {
		before[n] = *s
	}
	change()
	for n, s := range f.people[:len(before)] {
		if *s != before[n] {
			f.put(s)
		}
	}
}

func (f *network) times(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[what]
}

// fakeStore makes a user for every identity, or refuses.
type fakeStore struct {
	symbolon.Store
	mu     sync.Mutex
	deny   map[symbolon.IdentityID]error
	fail   error
	denied string              // the code with which every row denies its user
	hold   symbolon.IdentityID // a finding is opened for this identity
	panic  bool
	looks  int
}

func userOf(id symbolon.IdentityID) symbolon.UserID { return symbolon.UserID("user-of-" + id) }

// Start returns a settled start: all people are new.
func (s *fakeStore) Start(context.Context, string) (symbolon.Start, error) {
	now := time.Now()
	return symbolon.Start{CreatedAt: now, SettledAt: now}, nil
}

func (s *fakeStore) NewID() symbolon.NewID { return symbolon.ByDatabase }

func (s *fakeStore) Read(_ context.Context, q symbolon.Query) (symbolon.Evidence, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	id := q.Reading.Identity.ID
	if s.panic {
		panic("the store: canary-of-a-panic")
	}
	if s.fail != nil || s.deny[id] != nil || s.hold == id {
		return symbolon.Evidence{}, s.fail
	}
	row := &symbolon.Row{ID: userOf(id), Identity: id, Linked: id, Denied: s.denied}
	return symbolon.Evidence{Link: &symbolon.Link{Identity: id, User: row.ID, State: symbolon.Linked}, User: row, Row: row}, nil
}

func (s *fakeStore) Write(_ context.Context, q symbolon.Query, _ func(symbolon.Evidence) (symbolon.Plan, error)) (symbolon.Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id := q.Reading.Identity.ID; s.hold == id {
		opened := []symbolon.Finding{{Identity: id, Kind: symbolon.RecreatedIdentity}}
		if q.Reading.Source == symbolon.FromRequest {
			opened = nil
		}
		return symbolon.Outcome{Plan: symbolon.Plan{Action: symbolon.Hold, Err: &symbolon.DenyError{Identity: id, Err: symbolon.ErrOnHold}}, Opened: opened}, nil
	}
	return symbolon.Outcome{Plan: symbolon.Plan{Err: s.deny[q.Reading.Identity.ID]}}, nil
}

// world is a verifier with an Ory in memory and a fake store.
type world struct {
	*network
	store  *fakeStore
	client *ory.Client
	v      *Verifier
	log    *lockedBuilder
}

type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t testing.TB) *world {
	w := &world{network: &network{Ory: fakeory.Start(t, fakeory.Config{InMemory: true}), asked: map[string]int{}, repair: map[fakeory.Fault]func(){}},
		store: &fakeStore{}, log: &lockedBuilder{}}
	client := &ory.Client{PublicURL: w.PublicURL, AdminURL: w.AdminURL, HTTP: &http.Client{Transport: w.network}}
	w.client = client
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.v = &Verifier{Linker: &link.Linker{Ory: client, Store: w.store, Log: log}, Log: log}
	t.Cleanup(w.v.Close)
	return w
}

// withoutAdmin removes the admin URL.
func (w *world) withoutAdmin() *world {
	w.v.Linker.Ory = &ory.Client{PublicURL: w.PublicURL, HTTP: &http.Client{Transport: w.network}}
	return w
}

// person signs a person in and returns the token.
func (w *world) person(n int) (string, *fakeSession) {
	s := &fakeSession{token: fmt.Sprintf("ory_st_person%026d", n),
		id: fmt.Sprintf("%08d-5e55-4000-8000-000000000000", n), identity: fmt.Sprintf("%08d-1de0-4000-8000-000000000000", n), active: true, aal: "aal1",
		verified: true, authenticated: time.Now(), expires: time.Now().Add(24 * time.Hour)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.people = append(w.people, s)
	w.put(s)
	return s.token, s
}

// shows gives a session another token or a cookie.
func (w *world) shows(s *fakeSession, value string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.token = value
	w.put(s)
}

// credOf returns a person's credential.
func credOf(_ *world, s *fakeSession) ory.Credential {
	return ory.Credential{Kind: ory.SessionToken, Value: s.token}
}

func request(header ...string) *http.Request {
	r := httptest.NewRequest("GET", "/notes?q=1", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func byToken(token string) *http.Request { return request("X-Session-Token", token) }

// ask sends a request through Require and returns the status and the user or the error's
// code.
func (w *world) ask(r *http.Request, policies ...Policy) (status int, said string) {
	return through(w.v.RequireWith(policies...)(whoIsHandler), r)
}

var whoIsHandler = http.HandlerFunc(whoIs)

func whoIs(rw http.ResponseWriter, r *http.Request) {
	u, ok := symbolon.UserFrom(r.Context())
	if !ok {
		u.ID = "nobody"
	}
	_, _ = io.WriteString(rw, string(u.ID))
}

func through(h http.Handler, r *http.Request) (int, string) {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if (rec.Header().Get("Retry-After") == "1") != (rec.Code == http.StatusServiceUnavailable) {
		panic(fmt.Sprintf("%d has the header Retry-After: %q", rec.Code, rec.Header().Get("Retry-After")))
	}
	if rec.Code == 200 {
		return 200, rec.Body.String()
	}
	var e struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal(rec.Body.Bytes(), &e) != nil || e.Error.Message == "" {
		return rec.Code, "not the one error shape: " + rec.Body.String()
	}
	return rec.Code, e.Error.Code
}

func expect(t testing.TB, gotStatus int, got string, status int, said string) {
	t.Helper()
	if gotStatus != status || got != said {
		t.Errorf("got %d %s, want %d %s", gotStatus, got, status, said)
	}
}

var oryWithBadURL = ory.Client{PublicURL: "http://x.example"}
