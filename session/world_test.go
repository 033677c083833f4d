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
)

func TestMain(m *testing.M) { symbolontest.Main(m) }

// fakeOry is a Kratos as far as sessions go, on no network, so that synctest can
// run it: its database can be down, its tables broken, its answers anything.
type fakeOry struct {
	mu       sync.Mutex
	sessions map[string]*fakeSession // by token
	asked    map[string]int          // "whoami", "ready", "probe", "session"
	latency  time.Duration
	begun    chan string // when set, every question is announced here

	flying, most int  // questions under way, and the most there ever were
	refuse       bool // connections

	down        bool // the database: whoami 401, readiness 503, admin 500
	tableBroken bool // a table of whoami's: whoami 401, readiness and admin fine
	answer      func(*http.Request) *http.Response
}

type fakeSession struct {
	id, identity  string
	active        bool
	inactive      bool // the identity
	aal           string
	needsAAL2     bool
	verified      bool
	authenticated time.Time
	expires       time.Time
}

func (f *fakeOry) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	latency, begun := f.latency, f.begun
	f.flying++
	f.most = max(f.most, f.flying)
	refuse := f.refuse
	if refuse {
		f.asked["refused"]++
	}
	f.mu.Unlock()
	defer f.set(func() { f.flying-- })
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
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answer != nil {
		if resp := f.answer(r); resp != nil {
			f.count(r)
			return resp, nil
		}
	}
	f.count(r)
	return f.respond(r), nil
}

func (f *fakeOry) count(r *http.Request) {
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

func (f *fakeOry) respond(r *http.Request) *http.Response {
	switch p := r.URL.Path; {
	case p == "/health/ready" && f.down:
		return response(503, body500)
	case p == "/health/ready":
		return response(200, `{"status":"ok"}`)
	case p == "/sessions/whoami":
		return f.whoami(r)
	case f.down:
		return response(500, body500)
	case r.Method == http.MethodDelete:
		return f.revoke(p)
	case p == "/admin/sessions":
		for _, s := range f.sessions {
			return response(200, "["+s.json()+"]")
		}
		return response(200, "[]")
	case strings.HasPrefix(p, "/admin/sessions/"):
		for _, s := range f.sessions {
			if s.id == strings.TrimPrefix(p, "/admin/sessions/") {
				return response(200, s.json())
			}
		}
	}
	return response(404, body404)
}

// revoke ends a session, or all of an identity's.
func (f *fakeOry) revoke(path string) *http.Response {
	found := strings.HasSuffix(path, "/sessions")
	for _, s := range f.sessions {
		if path == "/admin/sessions/"+s.id || path == "/admin/identities/"+s.identity+"/sessions" {
			s.active, found = false, true
		}
	}
	if !found {
		return response(404, body404)
	}
	return response(204, "")
}

func (f *fakeOry) whoami(r *http.Request) *http.Response {
	token := r.Header.Get("X-Session-Token") + strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if c, err := r.Cookie("ory_kratos_session"); err == nil {
		token += c.Value
	}
	s := f.sessions[token]
	switch {
	case f.down || f.tableBroken || s == nil || !s.isActive():
		return response(401, body401)
	case s.needsAAL2:
		return response(403, bodyAAL)
	}
	return response(200, s.json())
}

func (s *fakeSession) isActive() bool { return s.active && !s.inactive && time.Now().Before(s.expires) }

func (s *fakeSession) json() string {
	state := "active"
	if s.inactive {
		state = "inactive"
	}
	b, err := json.Marshal(map[string]any{
		"id": s.id, "active": s.isActive(), "expires_at": s.expires, "authenticated_at": s.authenticated, "authenticator_assurance_level": s.aal,
		"identity": map[string]any{"id": s.identity, "schema_id": "default", "state": state, "traits": map[string]any{},
			"created_at": time.Now().Add(-time.Hour), "metadata_public": nil,
			"verifiable_addresses": []any{map[string]any{"value": "p" + s.identity[:8] + "@x.example", "via": "email", "verified": s.verified}}},
	})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func response(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}
}

func (f *fakeOry) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeOry) times(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[what]
}

// fakeStore makes a user for every identity, or refuses to.
type fakeStore struct {
	symbolon.Store
	mu    sync.Mutex
	deny  map[symbolon.IdentityID]error
	fail  error
	hold  symbolon.IdentityID // a finding is opened about it
	panic bool
	looks int
}

func userOf(id symbolon.IdentityID) symbolon.UserID { return symbolon.UserID("user-of-" + id) }

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
	row := &symbolon.Row{ID: userOf(id), Identity: id, Linked: id}
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

// world is a verifier between a fake Ory and a fake store.
type world struct {
	*fakeOry
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
	w := &world{fakeOry: &fakeOry{sessions: map[string]*fakeSession{}, asked: map[string]int{}}, store: &fakeStore{}, log: &lockedBuilder{}}
	client := &ory.Client{PublicURL: "http://kratos:4433", AdminURL: "http://kratos:4434", HTTP: &http.Client{Transport: w.fakeOry}}
	w.client = client
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.v = &Verifier{Linker: &link.Linker{Ory: client, Store: w.store, Log: log}, Log: log}
	t.Cleanup(w.v.Close)
	return w
}

// withoutAdmin takes the admin URL away.
func (w *world) withoutAdmin() *world {
	w.v.Linker.Ory = &ory.Client{PublicURL: "http://kratos:4433", HTTP: &http.Client{Transport: w.fakeOry}}
	return w
}

// person signs somebody in and returns the token.
func (w *world) person(n int) (string, *fakeSession) {
	token := fmt.Sprintf("ory_st_person%026d", n)
	s := &fakeSession{
		id: fmt.Sprintf("%08d-5e55-4000-8000-000000000000", n), identity: fmt.Sprintf("%08d-1de0-4000-8000-000000000000", n), active: true, aal: "aal1",
		verified: true, authenticated: time.Now(), expires: time.Now().Add(24 * time.Hour)}
	w.set(func() { w.sessions[token] = s })
	return token, s
}

// credOf is a person's credential.
func credOf(w *world, s *fakeSession) ory.Credential {
	for token, other := range w.sessions {
		if other == s {
			return ory.Credential{Kind: ory.SessionToken, Value: token}
		}
	}
	return ory.Credential{}
}

func request(header ...string) *http.Request {
	r := httptest.NewRequest("GET", "/notes?q=1", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func byToken(token string) *http.Request { return request("X-Session-Token", token) }

// ask sends a request through Require and returns the status, the user and the
// error's code.
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
	if rec.Header().Get("Retry-After") != "" {
		panic("Retry-After is never sent")
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
