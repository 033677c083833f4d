package forwardauth

import (
	"context"
	"fmt"
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
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// fakeStore has a user for every identity, or denies one identity.
type fakeStore struct {
	symbolon.Store
	deny map[symbolon.IdentityID]error
}

// Start returns a settled start: all people are new.
func (s *fakeStore) Start(context.Context, string) (symbolon.Start, error) {
	return symbolon.Start{CreatedAt: time.Now(), SettledAt: time.Now()}, nil
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

// world is a verifier with an Ory in memory and a fake store.
type world struct {
	*fakeory.Ory
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
	w := &world{Ory: fakeory.Start(t, fakeory.Config{InMemory: true}), store: &fakeStore{}, log: &lockedBuilder{}}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client := &ory.Client{PublicURL: w.PublicURL, HTTP: &http.Client{Transport: w.Ory}}
	w.v = &session.Verifier{Linker: &link.Linker{Ory: client, Store: w.store, Log: log}, Log: log}
	t.Cleanup(w.v.Close)
	return w
}

// person signs a person in and returns the token.
func (w *world) person(n int) (string, fakeory.Session) {
	email := fmt.Sprintf("p%08d@x.example", n)
	id := w.PutIdentity(map[string]any{"id": fmt.Sprintf("%08d-1de0-4000-8000-000000000000", n), "traits": map[string]any{"email": email},
		"verifiable_addresses": []any{map[string]any{"value": email, "via": "email", "verified": true}}})
	s := w.PutSession(fakeory.Session{ID: fmt.Sprintf("%08d-5e55-4000-8000-000000000000", n), IdentityID: id, Token: fmt.Sprintf("ory_st_person%026d", n)})
	return s.Token, s
}

func request(header ...string) *http.Request {
	r := httptest.NewRequest("GET", "/auth", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func byToken(token string) *http.Request { return request("X-Session-Token", token) }
