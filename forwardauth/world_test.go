package forwardauth

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
)

// fakeOry answers whoami, on no network. What a session is, is its body: session's own
// tests have the Ory that misbehaves.
type fakeOry struct {
	mu       sync.Mutex
	sessions map[string]*fakeSession // by token
	down     bool                    // the database: whoami 401, readiness 503
	answer   func(*http.Request) *http.Response
}

type fakeSession struct {
	id, identity string
	needsAAL2    bool
}

const bodyAAL = `{"error":{"id":"session_aal2_required","code":403,"status":"Forbidden"},"redirect_browser_to":"http://x/"}`

func (f *fakeOry) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sessions[r.Header.Get("X-Session-Token")]
	switch {
	case f.answer != nil:
		return f.answer(r), nil
	case r.URL.Path == "/health/ready" && !f.down:
		return response(200, `{"status":"ok"}`), nil
	case r.URL.Path != "/sessions/whoami":
		return response(503, `{"error":{"code":503,"status":"Service Unavailable"}}`), nil
	case f.down || s == nil:
		return response(401, `{"error":{"code":401,"status":"Unauthorized","message":"The request could not be authorized"}}`), nil
	case s.needsAAL2:
		return response(403, bodyAAL), nil
	}
	now := time.Now().UTC().Format(time.RFC3339)
	return response(200, fmt.Sprintf(`{"id":%q,"active":true,"expires_at":%q,"authenticated_at":%q,"authenticator_assurance_level":"aal1",
		"identity":{"id":%q,"schema_id":"default","state":"active","traits":{},"created_at":%q,"metadata_public":null,
		"verifiable_addresses":[{"value":"p%.8s@x.example","via":"email","verified":true}]}}`,
		s.id, time.Now().Add(time.Hour).UTC().Format(time.RFC3339), now, s.identity, now, s.identity)), nil
}

func response(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}
}

func (f *fakeOry) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// fakeStore has a user for every identity, or denies one.
type fakeStore struct {
	symbolon.Store
	deny map[symbolon.IdentityID]error
}

func (s *fakeStore) NewID() symbolon.NewID { return symbolon.ByDatabase }

func (s *fakeStore) Read(_ context.Context, q symbolon.Query) (symbolon.Evidence, error) {
	id := q.Reading.Identity.ID
	if _, denied := s.deny[id]; denied {
		return symbolon.Evidence{}, nil
	}
	row := &symbolon.Row{ID: symbolon.UserID("user-of-" + id), Identity: id, Linked: id}
	return symbolon.Evidence{Link: &symbolon.Link{Identity: id, User: row.ID, State: symbolon.Linked}, User: row, Row: row}, nil
}

func (s *fakeStore) Write(_ context.Context, q symbolon.Query, _ func(symbolon.Evidence) (symbolon.Plan, error)) (symbolon.Outcome, error) {
	return symbolon.Outcome{Plan: symbolon.Plan{Err: s.deny[q.Reading.Identity.ID]}}, nil
}

// world is a verifier between a fake Ory and a fake store.
type world struct {
	*fakeOry
	store *fakeStore
	v     *session.Verifier
	log   *lockedBuilder
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
	w := &world{fakeOry: &fakeOry{sessions: map[string]*fakeSession{}}, store: &fakeStore{}, log: &lockedBuilder{}}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client := &ory.Client{PublicURL: "http://kratos:4433", HTTP: &http.Client{Transport: w.fakeOry}}
	w.v = &session.Verifier{Linker: &link.Linker{Ory: client, Store: w.store, Log: log}, Log: log}
	t.Cleanup(w.v.Close)
	return w
}

// person signs somebody in and returns the token.
func (w *world) person(n int) (string, *fakeSession) {
	token := fmt.Sprintf("ory_st_person%026d", n)
	s := &fakeSession{id: fmt.Sprintf("%08d-5e55-4000-8000-000000000000", n), identity: fmt.Sprintf("%08d-1de0-4000-8000-000000000000", n)}
	w.set(func() { w.sessions[token] = s })
	return token, s
}

func request(header ...string) *http.Request {
	r := httptest.NewRequest("GET", "/auth", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func byToken(token string) *http.Request { return request("X-Session-Token", token) }
