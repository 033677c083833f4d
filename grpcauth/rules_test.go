package grpcauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/grpcauth"
	"github.com/symbolon-id/symbolon/grpcauth/access"
	"github.com/symbolon-id/symbolon/grpcauth/internal/authtest"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// TestRefusals tests every denial and "don't know", for every kind of call.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := authtest.New(t, nil)
	p, gone, half, closed := w.User(), w.User(), w.User(), w.User()
	w.Forget(gone)
	w.Suspend(closed)
	w.Fake.RequireSecondFactor(half.IdentityID)
	w.Auth.Purge(symbolon.IdentityID(half.IdentityID))
	tests := []struct {
		name   string
		rule   access.Rule
		header http.Header
		status int
		said   string
	}{
		{"require", access.Require(), p.ByToken(), 200, string(p.User)},
		{"require, a stranger", access.Require(), nil, 401, "unauthenticated"},
		{"zero rule, a stranger", access.Rule{}, nil, 401, "unauthenticated"},
		{"the user is gone", access.Require(), gone.ByToken(), 403, "user_gone"},
		{"denied by the row", access.Require(), closed.ByToken(), 403, authtest.Suspended},
		{"optional, denied by the row", access.Optional(), closed.ByToken(), 200, ""},
		{"second factor, policy", access.Require(session.AAL2), p.ByToken(), 403, "aal2_required"},
		{"second factor, policy, a stranger", access.Require(session.AAL2), nil, 401, "unauthenticated"},
		{"second factor, Ory", access.Require(), half.ByToken(), 403, "aal2_required"},
		{"verified", access.Require(session.Verified), p.ByToken(), 403, "not_verified"},
		{"fresh", access.Require(session.Fresh(time.Nanosecond)), p.ByToken(), 403, "not_fresh"},
		{"fresh enough", access.Require(session.Fresh(time.Hour)), p.ByToken(), 200, string(p.User)},
		{"optional", access.Optional(), p.ByToken(), 200, string(p.User)},
		{"optional, a stranger", access.Optional(), nil, 200, ""},
		{"optional, junk", access.Optional(), http.Header{"X-Session-Token": {"a b"}}, 200, ""},
		{"optional, the user is gone", access.Optional(), gone.ByToken(), 200, ""},
		{"open", access.Open(), p.ByToken(), 200, ""},
	}
	for _, test := range tests {
		for kind, call := range calls(t, serve(t, &access.Guard{Verifier: w.Auth, Default: test.rule}, &service{})) {
			if got, said := call(with(t, test.header)); got != test.status || said != test.said {
				t.Errorf("%s, %s: %d %s, want %d %s", test.name, kind, got, said, test.status, test.said)
			}
		}
	}

	never := w.Person()
	repair := w.Fake.Break(fakeory.DatabaseDown{}) // whoami answers 401 to everybody
	defer repair()
	for _, rule := range []access.Rule{access.Require(), access.Optional(), access.Require(session.AAL2)} {
		for kind, call := range calls(t, serve(t, &access.Guard{Verifier: w.Auth, Default: rule}, &service{})) {
			if got, said := call(with(t, never.ByToken())); got != 503 || said != "unavailable" {
				t.Errorf("in an outage, %s: %d %s", kind, got, said)
			}
		}
	}
}

// TestDetail checks that the detail has the reason and nothing else of the error.
func TestDetail(t *testing.T) {
	w := authtest.New(t, nil)
	half := w.User()
	w.Fake.RequireSecondFactor(half.IdentityID)
	w.Auth.Purge(symbolon.IdentityID(half.IdentityID))
	client := serve(t, &access.Guard{Verifier: w.Auth}, &service{})
	_, err := client.UnaryCall(with(t, half.ByToken()), &pb.SimpleRequest{})
	s := status.Convert(err)
	if len(s.Details()) != 1 {
		t.Fatal(s)
	}
	info, ok := s.Details()[0].(*errdetails.ErrorInfo)
	if want := w.Fake.PublicURL + "/self-service/login/browser?aal=aal2"; !ok || info.GetMetadata()["redirect_browser_to"] != want || len(info.GetMetadata()) != 1 {
		t.Errorf("%v, want %s", info, want)
	}
	if s.Code() != codes.PermissionDenied || s.Message() != "A second factor is needed." {
		t.Error(s)
	}
	repair := w.Fake.Break(fakeory.DatabaseDown{})
	defer repair()
	for _, h := range []http.Header{{"X-Session-Token": {"ory_st_secret"}}, {"Cookie": {"ory_kratos_session=c2VjcmV0"}}, {"X-Session-Token": {"secret secret"}}} {
		_, err := client.UnaryCall(with(t, h), &pb.SimpleRequest{})
		if all := fmt.Sprintf("%v %v", err, status.Convert(err).Proto()); err == nil || strings.Contains(all, "secret") || strings.Contains(all, "c2VjcmV0") || strings.Contains(all, w.Fake.PublicURL) {
			t.Errorf("%v", all)
		}
	}
}

// TestMethods checks that each method has its own rule, compared byte by byte, and that
// all others have the default.
func TestMethods(t *testing.T) {
	w := authtest.New(t, nil)
	p := w.User()
	const service = "/grpc.testing.TestService/"
	guard := &access.Guard{Verifier: w.Auth, Default: access.Require(session.AAL2), Methods: access.Methods{
		service + "*":              access.Require(),
		service + "EmptyCall":      access.Open(),
		service + "UnaryCall":      access.Require(session.Verified),
		"/grpc.health.v1.Health/*": access.Optional(),
	}}
	tests := map[string]string{ // for a person with one factor and no verified address
		service + "EmptyCall":            "",
		service + "UnaryCall":            "not_verified",
		service + "FullDuplexCall":       string(p.User),
		service + "emptycall":            string(p.User), // not a method's name, so the default rule
		service + "*":                    string(p.User),
		"/grpc.health.v1.Health/Check":   string(p.User),
		"/grpc.testing.testservice/X":    "aal2_required",
		"/other.Service/EmptyCall":       "aal2_required",
		"/grpc.testing.TestService2/X":   "aal2_required",
		"/x" + service + "EmptyCall":     "unavailable", // not a valid name
		"grpc.testing.TestService/Empty": "unavailable",
		service[1:] + "UnaryCall":        "unavailable",
		"//" + service[1:] + "EmptyCall": "unavailable",
		service:                          "unavailable",
		"":                               "unavailable",
		"/":                              "unavailable",
		"//":                             "unavailable",
		"*":                              "unavailable",
	}
	for method, want := range tests {
		ctx, err := guard.Enter(t.Context(), method, p.ByToken())
		said := who(ctx)
		if err != nil {
			said = session.RefusalOf(err).Code
		}
		if said != want {
			t.Errorf("%q: %s, want %s", method, said, want)
		}
	}
}

func TestCheck(t *testing.T) {
	w := authtest.New(t, nil)
	server := grpc.NewServer()
	pb.RegisterTestServiceServer(server, &service{})
	healthpb.RegisterHealthServer(server, health.NewServer())
	for names, want := range map[string]string{
		"/grpc.testing.TestService/UnaryCall /grpc.testing.TestService/* /grpc.health.v1.Health/*": "",
		"/grpc.testing.TestService/UnaryCal":  "no server has /grpc.testing.TestService/UnaryCal",
		"/grpc.testing.TestServices/*":        "no server has",
		"grpc.testing.TestService/UnaryCall":  "is not /package.Service/Method",
		"/grpc.testing.TestService/":          "is not /package.Service/Method",
		"/grpc.testing/TestService/UnaryCall": "is not /package.Service/Method",
	} {
		methods := access.Methods{}
		for name := range strings.FieldsSeq(names) {
			methods[name] = access.Open()
		}
		err := grpcauth.Check(&access.Guard{Verifier: w.Auth, Methods: methods}, server)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", names, err, want)
		}
	}
	for name, guard := range map[string]*access.Guard{
		"no verifier": {}, "bad verifier": {Verifier: &session.Verifier{Log: w.Auth.Log}},
		"bad name": {Verifier: w.Auth, Methods: access.Methods{"Unary": access.Open()}}, "negative": {Verifier: w.Auth, Recheck: -1},
	} {
		if err := guard.Check(); err == nil {
			t.Errorf("%s: no error", name)
		}
		_, err := guard.Enter(t.Context(), "/a.B/C", w.User().ByToken())
		if got := session.RefusalOf(err); got.Status != 503 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestPanics checks that a handler's panic reaches the interceptor that recovers, and
// that a panic of the application's code in the verifier is "don't know".
func TestPanics(t *testing.T) {
	w := authtest.New(t, func(v *session.Verifier) {
		session.Load(v, func(_ context.Context, u symbolon.User) (int, error) {
			if u.Identity[0] < '8' {
				panic("while a row is loaded")
			}
			return 1, nil
		})
	})
	client := serve(t, &access.Guard{Verifier: w.Auth, Recheck: time.Minute}, &service{enter: func(context.Context) { panic("in a stream") }})
	good, bad := 0, 0
	for range 100 {
		p := w.Person()
		_, err := client.UnaryCall(with(t, p.ByToken()), &pb.SimpleRequest{FillUsername: true})
		switch s := status.Convert(err); {
		case p.IdentityID[0] < '8' && s.Code() == codes.Unavailable:
			bad++
		case p.IdentityID[0] >= '8' && s.Code() == codes.Internal && s.Message() == "panic: the handler's own":
			good++
			stream, err := client.FullDuplexCall(with(t, p.ByToken()))
			if err == nil {
				_, err = stream.Recv()
			}
			if s := status.Convert(err); s.Message() != "panic: in a stream" {
				t.Errorf("%v", s)
			}
		default:
			t.Errorf("%s: %v", p.IdentityID, s)
		}
		if good > 2 && bad > 2 {
			return
		}
	}
	t.Error("one of the two panics was not seen")
}

// TestCancelled checks that a caller that gives up stops waiting, and does not end the
// question of other callers.
func TestCancelled(t *testing.T) {
	t.Parallel()
	gate := authtest.NewGate(t)
	w := authtest.New(t, gate.Before)
	client := serve(t, &access.Guard{Verifier: w.Auth}, &service{})
	p, other := w.Person(), w.Person()
	stays := make(chan error, 1)
	go func() {
		_, err := client.UnaryCall(with(t, p.ByToken()), &pb.SimpleRequest{})
		stays <- err
	}()
	<-gate.Asked
	first, cancel := context.WithTimeout(with(t, p.ByToken()), 100*time.Millisecond)
	defer cancel()
	for _, kind := range []string{"unary", "stream"} {
		var err error
		if kind == "unary" {
			_, err = client.UnaryCall(first, &pb.SimpleRequest{})
		} else if _, err = client.StreamingInputCall(first); err == nil {
			continue // the call was never sent
		}
		if code := status.Code(err); code != codes.DeadlineExceeded {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if more := len(gate.Asked); more != 0 {
		t.Errorf("Ory was asked %d times more", more)
	}
	if _, err := (&access.Guard{Verifier: w.Auth}).Enter(first, "/a.B/C", other.ByToken()); !errors.Is(err, context.DeadlineExceeded) || session.Denied(err) {
		t.Errorf("%v", err)
	}
	gate.Open()
	if err := <-stays; err != nil {
		t.Error(err)
	}
}
