package ory_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/symbolontest"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// place is a real Kratos or the fake.
type place interface {
	Register(ctx context.Context, email, password, name string) (*symbolontest.Person, error)
	Login(ctx context.Context, email, password string) (*symbolontest.Person, error)
	CreateIdentity(ctx context.Context, body any) (string, error)
}

// TestLastSignIn checks an identity without a sign-in, after a registration and after a
// login, with a real Kratos and with the fake.
func TestLastSignIn(t *testing.T) {
	kratos, fake := symbolontest.StartKratos(t, symbolontest.KratosConfig{}), fakeory.Start(t, fakeory.Config{Generation: fakeory.V26})
	for name, it := range map[string]struct {
		place
		public, admin string
	}{"kratos": {kratos, kratos.PublicURL, kratos.AdminURL}, "fake": {fake, fake.PublicURL, fake.AdminURL}} {
		t.Run(name, func(t *testing.T) {
			c := &ory.Client{PublicURL: it.public, AdminURL: it.admin}
			t.Cleanup(c.CloseIdleConnections)
			ctx := t.Context()
			made, err := it.CreateIdentity(ctx, map[string]any{"schema_id": "default", "traits": map[string]any{"email": "never@x.example"}})
			if err != nil {
				t.Fatal(err)
			}
			if at, err := c.LastSignIn(ctx, symbolon.IdentityID(made)); err != nil || !at.IsZero() {
				t.Errorf("before the first sign-in: %v %v", at, err)
			}
			began := time.Now().Add(-time.Second)
			p, err := it.Register(ctx, "ann@x.example", password, "Ann")
			if err != nil {
				t.Fatal(err)
			}
			first, err := c.LastSignIn(ctx, symbolon.IdentityID(p.IdentityID))
			if err != nil || first.Before(began) {
				t.Errorf("after the registration: %v %v", first, err)
			}
			time.Sleep(1100 * time.Millisecond) // Kratos may store seconds
			if _, err := it.Login(ctx, "ann@x.example", password); err != nil {
				t.Fatal(err)
			}
			last, err := c.LastSignIn(ctx, symbolon.IdentityID(p.IdentityID))
			if err != nil || !last.After(first) {
				t.Errorf("last sign-in %v %v, the one before %v", last, err, first)
			}
			sessions, err := c.Sessions(ctx, symbolon.IdentityID(p.IdentityID))
			if err != nil || len(sessions) != 2 {
				t.Fatalf("%+v %v", sessions, err)
			}
			for _, s := range sessions {
				if s.ID == "" || !s.ExpiresAt.After(time.Now()) || !s.AuthenticatedAt.Equal(first) && !s.AuthenticatedAt.Equal(last) {
					t.Errorf("%+v", s)
				}
			}
		})
	}
}

// TestLastSignInUnknown checks that an answer that is not a list of sessions is an error,
// and never means "has not signed in".
func TestLastSignInUnknown(t *testing.T) {
	answer := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	c := &ory.Client{PublicURL: s.URL, AdminURL: s.URL}
	t.Cleanup(c.CloseIdleConnections)
	for _, answer = range []string{"", "null", "{}", "[", `[{}]`, `["x"]`, `[{"id":"5e000000-0000-4000-8000-000000000000","active":true}]`, "[] []"} {
		if at, err := c.LastSignIn(t.Context(), "1d000000-0000-4000-8000-000000000001"); !errors.Is(err, symbolon.ErrUnavailable) {
			t.Errorf("%q: %v %v", answer, at, err)
		}
	}
	if _, err := c.LastSignIn(t.Context(), "../x"); err == nil {
		t.Error("no ID")
	}
}
