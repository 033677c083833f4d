package access

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const identity = "11111111-1de0-4000-8000-000000000000"

// kratos is an Ory in memory with one session, so that a test controls the time.
type kratos struct {
	*fakeory.Ory
	session fakeory.Session
	user    atomic.Value // the user ID in the store
}

func (k *kratos) revoke() {
	k.session.Revoked = true
	k.PutSession(k.session)
}

func (k *kratos) unreachable() (repair func()) { return k.Break(fakeory.Dropped{}) }

// store has one user for all identities.
type store struct {
	symbolon.Store
	kratos *kratos
}

func (store) NewID() symbolon.NewID { return symbolon.ByDatabase }

func (s store) Read(_ context.Context, q symbolon.Query) (symbolon.Evidence, error) {
	id, user := q.Reading.Identity.ID, s.kratos.user.Load().(symbolon.UserID)
	row := &symbolon.Row{ID: user, Identity: id, Linked: id}
	return symbolon.Evidence{Link: &symbolon.Link{Identity: id, User: user, State: symbolon.Linked}, User: row, Row: row}, nil
}

const (
	maxStale = 10 * time.Second
	grace    = 30 * time.Second
	recheck  = 7 * time.Second
)

// stream opens a stream in a synctest bubble.
func stream(t *testing.T) (*kratos, *session.Verifier, *Stream) {
	t.Helper()
	k := &kratos{Ory: fakeory.Start(t, fakeory.Config{InMemory: true})}
	k.PutIdentity(map[string]any{"id": identity, "created_at": "1999-01-01T00:00:00Z", "traits": map[string]any{"email": "p@example.com"}})
	k.session = k.PutSession(fakeory.Session{IdentityID: identity, Token: "ory_st_ada"})
	k.user.Store(symbolon.UserID("ada"))
	client := &ory.Client{PublicURL: k.PublicURL, HTTP: &http.Client{Transport: k.Ory}}
	quiet := slog.New(slog.DiscardHandler)
	v := &session.Verifier{Linker: &link.Linker{Ory: client, Store: store{kratos: k}, Log: quiet}, Log: quiet, MaxStale: maxStale, OutageGrace: grace}
	s, err := (&Guard{Verifier: v, Recheck: recheck}).EnterStream(t.Context(), "/a.B/C", http.Header{"X-Session-Token": {"ory_st_ada"}})
	if err != nil {
		t.Fatal(err)
	}
	if u, _ := symbolon.UserFrom(s.Context()); u.ID != "ada" {
		t.Fatalf("the user is %q", u.ID)
	}
	return k, v, s
}

// ends waits for the end of a stream, and returns the time and the reason.
func ends(t *testing.T, s *Stream) (time.Duration, error) {
	t.Helper()
	begun := time.Now()
	select {
	case <-s.Context().Done():
	case <-time.After(time.Hour):
		t.Error("the stream never ended")
	}
	return time.Since(begun), s.Ended()
}

// TestBounds checks how long a stream outlives its session, for every moment of the
// session's end.
func TestBounds(t *testing.T) {
	for moment := 250 * time.Millisecond; moment < 25*time.Second; moment += 1300 * time.Millisecond {
		tests := map[string]struct {
			happens  func(k *kratos, v *session.Verifier)
			min, max time.Duration
			want     error
		}{
			"at Ory":      {func(k *kratos, _ *session.Verifier) { k.revoke() }, 0, maxStale + recheck, session.ErrUnauthenticated},
			"purged here": {func(k *kratos, v *session.Verifier) { k.revoke(); v.Purge(identity) }, 0, recheck, session.ErrUnauthenticated},
			"another user": {func(k *kratos, v *session.Verifier) { k.user.Store(symbolon.UserID("eve")); v.Purge(identity) }, 0, recheck,
				session.ErrUnauthenticated},
			"an outage": {func(k *kratos, _ *session.Verifier) { k.unreachable() }, maxStale + grace - recheck, 2*(maxStale+grace) + recheck,
				symbolon.ErrUnavailable},
			"an outage and a purge": {func(k *kratos, v *session.Verifier) { k.unreachable(); v.Purge(identity) }, maxStale + grace - recheck,
				maxStale + grace + recheck, symbolon.ErrUnavailable},
		}
		for name, test := range tests {
			synctest.Test(t, func(t *testing.T) {
				k, v, s := stream(t)
				defer v.Close()
				defer s.Leave()
				time.Sleep(moment)
				if err := s.Ended(); err != nil {
					t.Fatalf("before the end of the session: %v", err)
				}
				test.happens(k, v)
				// Our own work also takes time, at most a second.
				if after, err := ends(t, s); after < test.min || after > test.max+time.Second || !errors.Is(err, test.want) {
					t.Errorf("%s, %v after its begin: the stream ended after %v, want %v to %v: %v", name, moment, after, test.min, test.max, err)
				}
			})
		}
	}
}

// TestShortOutage checks that a short outage ends no stream, and that the end of a
// session is noticed afterwards.
func TestShortOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, v, s := stream(t)
		defer v.Close()
		defer s.Leave()
		time.Sleep(20 * time.Second)
		repair := k.unreachable()
		time.Sleep(maxStale + grace - recheck)
		repair()
		time.Sleep(time.Hour)
		if err := s.Ended(); err != nil {
			t.Error(err)
		}
		k.revoke()
		if _, err := ends(t, s); !errors.Is(err, session.ErrUnauthenticated) {
			t.Error(err)
		}
	})
}
