package grpcauth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/grpcauth/access"
	"github.com/symbolon-id/symbolon/grpcauth/internal/authtest"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

const (
	recheck  = 20 * time.Millisecond
	maxStale = 3 * time.Second
)

// staleWorld has a short MaxStale. Its streams do not end if Ory is slow, as it is on a
// busy machine.
func staleWorld(t *testing.T) *authtest.World {
	return authtest.New(t, func(v *session.Verifier) { v.MaxStale, v.OutageGrace = maxStale, time.Minute })
}

// talk begins a stream. Each call of more sends a message and receives the answer. Then
// the handler waits.
func talk(t *testing.T, client pb.TestServiceClient, h http.Header) (more func() error, recv func() error) {
	t.Helper()
	stream, err := client.FullDuplexCall(with(t, h))
	if err != nil {
		t.Fatal(err)
	}
	recv = func() error {
		_, err := stream.Recv()
		return err
	}
	more = func() error {
		if err := stream.Send(&pb.StreamingOutputCallRequest{}); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		return recv()
	}
	if err := more(); err != nil {
		t.Fatal(err)
	}
	return more, recv
}

// TestStreamEnds checks that every end of a session ends its open stream, also while the
// handler waits for a client that sends nothing. Other streams continue.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	w := staleWorld(t)
	ends := map[string]struct {
		end  func(*authtest.Person) error
		code codes.Code
		said string
	}{
		"revoked here": {func(p *authtest.Person) error { return w.Auth.RevokeSession(t.Context(), p.SessionID) }, codes.Unauthenticated, "unauthenticated"},
		"logout":       {func(p *authtest.Person) error { return w.Logout(t.Context(), p.Token) }, codes.Unauthenticated, "unauthenticated"},
		"deleted":      {func(p *authtest.Person) error { return w.Fake.DeleteIdentity(t.Context(), p.IdentityID) }, codes.Unauthenticated, "unauthenticated"},
		"deactivated": {func(p *authtest.Person) error {
			return w.Fake.PatchIdentity(t.Context(), p.IdentityID, []map[string]string{{"op": "replace", "path": "/state", "value": "inactive"}})
		}, codes.Unauthenticated, "unauthenticated"},
		"user deleted": {func(p *authtest.Person) error { w.Forget(p); return nil }, codes.PermissionDenied, "user_gone"},
	}
	left := make(chan error, len(ends)+1)
	client := serve(t, &access.Guard{Verifier: w.Auth, Recheck: recheck}, &service{left: left})
	stays, _ := talk(t, client, w.User().ByToken())
	streams := map[string]func() error{}
	for name, test := range ends {
		p := w.User()
		_, streams[name] = talk(t, client, p.ByToken())
		if err := test.end(p); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	told := map[codes.Code]int{}
	for name, test := range ends {
		err := streams[name]()
		if _, said := httpStatus(t, err); status.Code(err) != test.code || said != test.said {
			t.Errorf("%s: %v %s", name, err, said)
		}
		told[status.Code(<-left)]++
	}
	if told[codes.PermissionDenied] != 1 || told[codes.Unauthenticated] != len(ends)-1 {
		t.Errorf("the handlers got %v", told)
	}
	if err := stays(); err != nil {
		t.Errorf("another person's stream: %v", err)
	}
}

// TestStreamThatSends checks that the next message fails and the context ends.
func TestStreamThatSends(t *testing.T) {
	w := staleWorld(t)
	p := w.User()
	client := serve(t, &access.Guard{Verifier: w.Auth, Recheck: recheck}, &service{})
	stream, err := client.StreamingOutputCall(with(t, p.ByToken()), &pb.StreamingOutputCallRequest{})
	for n := 0; err == nil; n++ {
		if _, err = stream.Recv(); n == 3 {
			if err := w.Auth.RevokeSession(t.Context(), p.SessionID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Error(err)
	}
}

// TestStreamWithoutRecheck checks that the stream continues after its session has ended.
func TestStreamWithoutRecheck(t *testing.T) {
	w := staleWorld(t)
	p := w.User()
	more, _ := talk(t, serve(t, &access.Guard{Verifier: w.Auth}, &service{}), p.ByToken())
	if err := w.Auth.RevokeSession(t.Context(), p.SessionID); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * recheck)
	if err := more(); err != nil {
		t.Error(err)
	}
}

// TestStreamAndPolicies checks that policies are checked when a stream begins, and not
// again.
func TestStreamAndPolicies(t *testing.T) {
	t.Parallel()
	var later atomic.Int64
	w := authtest.New(t, func(v *session.Verifier) {
		v.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	})
	p := w.User()
	guard := &access.Guard{Verifier: w.Auth, Recheck: recheck, Default: access.Require(session.Fresh(time.Hour))}
	s, err := guard.EnterStream(t.Context(), "/a.B/C", p.ByToken())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Leave()
	later.Store(int64(2 * time.Hour))
	if _, err := guard.Enter(t.Context(), "/a.B/C", p.ByToken()); !errors.Is(err, session.ErrNotFresh) {
		t.Errorf("the sign-in is fresh: %v", err)
	}
	time.Sleep(5 * recheck)
	if err := s.Ended(); err != nil {
		t.Error(err)
	}
}

// TestStreamInAnOutage checks that "don't know" ends a stream only MaxStale plus
// OutageGrace after the last good answer, also if nothing is cached.
func TestStreamInAnOutage(t *testing.T) {
	t.Parallel()
	w := staleWorld(t)
	p := w.User()
	more, _ := talk(t, serve(t, &access.Guard{Verifier: w.Auth, Recheck: recheck}, &service{}), p.ByToken())
	repair := w.Fake.Break(fakeory.DatabaseDown{})
	unknown := w.Auth.Stats().Unknown
	w.Auth.Purge(symbolon.IdentityID(p.IdentityID))
	authtest.Until(t, "it is not known whose the session is", func() bool { return w.Auth.Stats().Unknown > unknown+2 })
	if err := more(); err != nil {
		t.Errorf("in the outage: %v", err)
	}
	repair()
	if err := w.Auth.RevokeSession(t.Context(), p.SessionID); err != nil {
		t.Fatal(err)
	}
	authtest.Until(t, "after the outage it is known again", func() bool { return status.Code(more()) == codes.Unauthenticated })
}

// TestStreamInALongOutage checks that the stream ends with unavailable.
func TestStreamInALongOutage(t *testing.T) {
	t.Parallel()
	w := authtest.New(t, func(v *session.Verifier) { v.MaxStale = maxStale })
	client := serve(t, &access.Guard{Verifier: w.Auth, Recheck: recheck}, &service{})
	p := w.Person()
	begun := time.Now() // before the first good answer
	_, end := talk(t, client, p.ByToken())
	repair := w.Fake.Break(fakeory.DatabaseDown{})
	defer repair()
	err := end()
	if got, said := httpStatus(t, err); got != 503 || said != "unavailable" {
		t.Errorf("%v", err)
	}
	if lasted := time.Since(begun); lasted < maxStale {
		t.Errorf("the stream ended after %v without an answer", lasted)
	}
}

// TestStreamsEndByThemselves checks that streams leave no goroutines.
func TestStreamsEndByThemselves(t *testing.T) {
	w := staleWorld(t)
	p := w.User()
	left := make(chan error, 1)
	client := serve(t, &access.Guard{Verifier: w.Auth, Recheck: recheck}, &service{left: left})
	for _, how := range []string{"client ends", "client cancels"} {
		ctx, cancel := context.WithCancel(with(t, p.ByToken()))
		stream, err := client.FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&pb.StreamingOutputCallRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		want := codes.Canceled
		if how == "client ends" {
			want = codes.OK
			_ = stream.CloseSend()
			if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
				t.Errorf("%s: %v", how, err)
			}
		}
		cancel()
		if err := <-left; status.Code(err) != want {
			t.Errorf("%s: the handler got %v", how, err)
		}
	}
}

// TestStreamReceivesAPanic checks that a panic of the codec reaches the caller, which may
// recover.
func TestStreamReceivesAPanic(t *testing.T) {
	w := staleWorld(t)
	s, err := (&access.Guard{Verifier: w.Auth, Recheck: recheck}).EnterStream(t.Context(), "/a.B/C", w.User().ByToken())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Leave()
	defer func() {
		if p := recover(); p != "of the codec" {
			t.Errorf("recovered %v", p)
		}
	}()
	_ = s.Receive(func() error { panic("of the codec") }, func(err error) error { return err })
}
