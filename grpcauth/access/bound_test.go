package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const identity = "11111111-1de0-4000-8000-000000000000"

// kratos is an Ory with one session, on no network, so that time can be the test's.
type kratos struct {
	gone, down atomic.Bool
	user       atomic.Value // of the store
}

func (k *kratos) RoundTrip(r *http.Request) (*http.Response, error) {
	switch {
	case k.down.Load():
		return nil, errors.New("connection refused")
	case r.URL.Path == "/health/ready":
		return said(200, `{"status":"ok"}`), nil
	case k.gone.Load():
		return said(401, `{"error":{"code":401,"status":"Unauthorized","reason":"No valid session credentials found in the request.","message":"The request could not be authorized"}}`), nil
	}
	return said(200, fmt.Sprintf(`{"id":"11111111-5e55-4000-8000-000000000000","active":true,"expires_at":%q,"authenticated_at":%q,"authenticator_assurance_level":"aal1",
		"identity":{"id":%q,"schema_id":"default","created_at":"1999-01-01T00:00:00Z","state":"active","traits":{"email":"p@example.com"}}}`,
		time.Now().Add(24*time.Hour).Format(time.RFC3339), time.Now().Format(time.RFC3339), identity)), nil
}

func said(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}
}

// store has one user.
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

// stream opens one in a bubble.
func stream(t *testing.T) (*kratos, *session.Verifier, *Stream) {
	t.Helper()
	k := &kratos{}
	k.user.Store(symbolon.UserID("ada"))
	client := &ory.Client{PublicURL: "http://kratos:4433", HTTP: &http.Client{Transport: k}}
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

// ends waits for the end of a stream, and returns when it came.
func ends(t *testing.T, s *Stream) (time.Duration, error) {
	t.Helper()
	begun := time.Now()
	select {
	case <-s.Context().Done():
	case <-time.After(time.Hour):
		t.Error("it never ends")
	}
	return time.Since(begun), s.Ended()
}

// TestBounds: how long a stream outlives its session, at whatever moment that ends.
func TestBounds(t *testing.T) {
	for moment := 250 * time.Millisecond; moment < 25*time.Second; moment += 1300 * time.Millisecond {
		tests := map[string]struct {
			happens  func(k *kratos, v *session.Verifier)
			min, max time.Duration
			want     error
		}{
			"at Ory":      {func(k *kratos, _ *session.Verifier) { k.gone.Store(true) }, 0, maxStale + recheck, session.ErrUnauthenticated},
			"purged here": {func(k *kratos, v *session.Verifier) { k.gone.Store(true); v.Purge(identity) }, 0, recheck, session.ErrUnauthenticated},
			"another user": {func(k *kratos, v *session.Verifier) { k.user.Store(symbolon.UserID("eve")); v.Purge(identity) }, 0, recheck,
				session.ErrUnauthenticated},
			"an outage": {func(k *kratos, _ *session.Verifier) { k.down.Store(true) }, maxStale + grace - recheck, 2*(maxStale+grace) + recheck,
				symbolon.ErrUnavailable},
			"an outage, and purged": {func(k *kratos, v *session.Verifier) { k.down.Store(true); v.Purge(identity) }, maxStale + grace - recheck,
				maxStale + grace + recheck, symbolon.ErrUnavailable},
		}
		for name, test := range tests {
			synctest.Test(t, func(t *testing.T) {
				k, v, s := stream(t)
				defer v.Close()
				defer s.Leave()
				time.Sleep(moment)
				if err := s.Ended(); err != nil {
					t.Fatalf("before anything happened: %v", err)
				}
				test.happens(k, v)
				// Answers of our own take some time as well: a second covers all of them.
				if after, err := ends(t, s); after < test.min || after > test.max+time.Second || !errors.Is(err, test.want) {
					t.Errorf("%s, %v after it began: it ended after %v, which is to be %v to %v: %v", name, moment, after, test.min, test.max, err)
				}
			})
		}
	}
}

// TestShortOutage ends nothing, and what ended meanwhile is known afterwards.
func TestShortOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, v, s := stream(t)
		defer v.Close()
		defer s.Leave()
		time.Sleep(20 * time.Second)
		k.down.Store(true)
		time.Sleep(maxStale + grace - recheck)
		k.down.Store(false)
		time.Sleep(time.Hour)
		if err := s.Ended(); err != nil {
			t.Error(err)
		}
		k.gone.Store(true)
		if _, err := ends(t, s); !errors.Is(err, session.ErrUnauthenticated) {
			t.Error(err)
		}
	})
}
