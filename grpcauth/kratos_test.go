package grpcauth_test

import (
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/symbolon-id/symbolon/grpcauth/access"
	"github.com/symbolon-id/symbolon/grpcauth/internal/authtest"
	"github.com/symbolon-id/symbolon/session"
)

// TestKratos runs with a real Kratos. The first call makes the user. Token, cookie and
// Bearer token have the same user. The stream of a person who signs out ends.
func TestKratos(t *testing.T) {
	w := authtest.Real(t, func(v *session.Verifier) { v.MaxStale, v.OutageGrace = maxStale, time.Minute })
	guard := &access.Guard{Verifier: w.Auth, Recheck: recheck}
	client := serve(t, guard, &service{})
	all := calls(t, client)
	p := w.Person()
	status1, user := all["unary"](with(t, p.ByToken()))
	if status1 != 200 || user == "" {
		t.Fatalf("%d %s", status1, user)
	}
	for _, h := range []http.Header{p.ByToken(), {"Cookie": {"a=b; ory_kratos_session=" + p.Cookie}}, {"Authorization": {"Bearer " + p.Token}}} {
		for kind, call := range all {
			if got, said := call(with(t, h)); got != 200 || said != user {
				t.Errorf("%s: %d %s", kind, got, said)
			}
		}
	}
	for kind, call := range all {
		if got, said := call(with(t, http.Header{"X-Session-Token": {"ory_st_nobody"}})); got != 401 || said != "unauthenticated" {
			t.Errorf("%s: %d %s", kind, got, said)
		}
	}
	_, end := talk(t, client, p.ByToken())
	begun := time.Now()
	if err := w.Logout(t.Context(), p.Token); err != nil {
		t.Fatal(err)
	}
	if err := end(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("after the logout: %v", err)
	}
	t.Logf("the stream ended %v after the logout; an answer is valid for %v and checked every %v", time.Since(begun), maxStale, recheck)
}
