package connectauth_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/grpcauth/access"
	"github.com/symbolon-id/symbolon/grpcauth/connectauth"
	"github.com/symbolon-id/symbolon/grpcauth/internal/authtest"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type (
	in  = pb.SimpleRequest
	out = pb.SimpleResponse
)

const (
	unary    = "/test.Service/Unary"
	download = "/test.Service/Download"
	upload   = "/test.Service/Upload"
	both     = "/test.Service/Both"
)

func who(ctx context.Context) *out {
	u, _ := symbolon.UserFrom(ctx)
	return &out{Username: string(u.ID)}
}

// server is a real server of Connect, gRPC and gRPC-Web, over HTTP/1.1 and HTTP/2.
type server struct {
	*httptest.Server
	left chan error // the errors of both handlers
}

func serve(t testing.TB, guard *access.Guard) *server {
	t.Helper()
	s := &server{left: make(chan error, 100)}
	before := connect.WithInterceptors(connectauth.New(guard))
	mux := http.NewServeMux()
	mux.Handle(unary, connect.NewUnaryHandler(unary, func(ctx context.Context, r *connect.Request[in]) (*connect.Response[out], error) {
		if r.Msg.GetFillUsername() {
			panic("the handler's own")
		}
		return connect.NewResponse(who(ctx)), nil
	}, before, connect.WithRecover(func(_ context.Context, _ connect.Spec, _ http.Header, p any) error {
		return connect.NewError(connect.CodeInternal, errors.New(p.(string)))
	})))
	mux.Handle(download, connect.NewServerStreamHandler(download, func(ctx context.Context, _ *connect.Request[in], stream *connect.ServerStream[out]) error {
		for {
			if err := stream.Send(who(ctx)); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(10 * time.Millisecond):
			}
		}
	}, before))
	mux.Handle(upload, connect.NewClientStreamHandler(upload, func(ctx context.Context, stream *connect.ClientStream[in]) (*connect.Response[out], error) {
		for stream.Receive() {
			continue
		}
		return connect.NewResponse(who(ctx)), stream.Err()
	}, before))
	mux.Handle(both, connect.NewBidiStreamHandler(both, func(ctx context.Context, stream *connect.BidiStream[in, out]) (err error) {
		defer func() { s.left <- err }()
		for {
			_, err := stream.Receive()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := stream.Send(who(ctx)); err != nil {
				return err
			}
		}
	}, before))
	s.Server = httptest.NewUnstartedServer(mux)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// options selects the protocol of a client.
var options = map[string][]connect.ClientOption{"connect": nil, "grpc": {connect.WithGRPC()}, "grpc-web": {connect.WithGRPCWeb()}}

func (s *server) client(procedure string, o []connect.ClientOption) *connect.Client[in, out] {
	return connect.NewClient[in, out](s.Client(), s.URL+procedure, o...)
}

// read returns the HTTP status of an error's code, and the reason in its detail.
func read(err error) (int, string) {
	status, known := map[connect.Code]int{connect.CodeUnauthenticated: 401, connect.CodePermissionDenied: 403, connect.CodeUnavailable: 503}[connect.CodeOf(err)]
	var e *connect.Error
	if !known || !errors.As(err, &e) || len(e.Details()) != 1 {
		return 0, err.Error()
	}
	value, err := e.Details()[0].Value()
	if err != nil {
		return 0, err.Error()
	}
	info, ok := value.(*errdetails.ErrorInfo)
	if !ok || info.GetDomain() != access.Domain {
		return 0, "another detail"
	}
	return status, info.GetReason()
}

// calls has all kinds of calls. Each returns a status and a text as World.HTTP does.
func (s *server) calls(o []connect.ClientOption) map[string]func(t *testing.T, h http.Header) (int, string) {
	result := func(res *out, err error) (int, string) {
		if err != nil {
			return read(err)
		}
		return 200, res.GetUsername()
	}
	return map[string]func(t *testing.T, h http.Header) (int, string){
		"unary": func(t *testing.T, h http.Header) (int, string) {
			r := connect.NewRequest(&in{})
			maps.Copy(r.Header(), h)
			res, err := s.client(unary, o).CallUnary(t.Context(), r)
			if err != nil {
				return read(err)
			}
			return 200, res.Msg.GetUsername()
		},
		"download": func(t *testing.T, h http.Header) (int, string) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r := connect.NewRequest(&in{})
			maps.Copy(r.Header(), h)
			stream, err := s.client(download, o).CallServerStream(ctx, r)
			if err != nil {
				return read(err)
			}
			stream.Receive()
			return result(stream.Msg(), stream.Err())
		},
		"upload": func(t *testing.T, h http.Header) (int, string) {
			stream := s.client(upload, o).CallClientStream(t.Context())
			maps.Copy(stream.RequestHeader(), h)
			_ = stream.Send(&in{})
			res, err := stream.CloseAndReceive()
			if err != nil {
				return read(err)
			}
			return 200, res.Msg.GetUsername()
		},
		"both": func(t *testing.T, h http.Header) (int, string) {
			stream := s.client(both, o).CallBidiStream(t.Context())
			maps.Copy(stream.RequestHeader(), h)
			_ = stream.Send(&in{})
			defer stream.CloseResponse()
			defer stream.CloseRequest()
			return result(stream.Receive())
		},
	}
}

func TestAsOverHTTP(t *testing.T) {
	w := authtest.New(t, nil)
	s := serve(t, &access.Guard{Verifier: w.Auth, Recheck: time.Minute})
	let := 0
	for _, c := range authtest.Cases(w) {
		status, said := w.HTTP(c.Header)
		if status == 200 {
			let++
		}
		for protocol, o := range options {
			for kind, call := range s.calls(o) {
				if got, gotSaid := call(t, c.Header); got != status || gotSaid != said {
					t.Errorf("%s, %s, %s: %d %s; over HTTP %d %s", c.Name, protocol, kind, got, gotSaid, status, said)
				}
			}
		}
	}
	if let < 10 {
		t.Errorf("HTTP let only %d requests in", let)
	}
}

func TestRefusals(t *testing.T) {
	w := authtest.New(t, nil)
	p, gone, half := w.User(), w.User(), w.User()
	w.Forget(gone)
	w.Fake.RequireSecondFactor(half.IdentityID)
	w.Auth.Purge(symbolon.IdentityID(half.IdentityID))
	guard := func(rule access.Rule) *server {
		return serve(t, &access.Guard{Verifier: w.Auth, Methods: access.Methods{"/test.Service/*": rule}})
	}
	tests := []struct {
		name   string
		rule   access.Rule
		header http.Header
		status int
		said   string
	}{
		{"require", access.Require(), p.ByToken(), 200, string(p.User)},
		{"a stranger", access.Rule{}, nil, 401, "unauthenticated"},
		{"the user is gone", access.Require(), gone.ByToken(), 403, "user_gone"},
		{"second factor, policy", access.Require(session.AAL2), p.ByToken(), 403, "aal2_required"},
		{"second factor, Ory", access.Require(), half.ByToken(), 403, "aal2_required"},
		{"verified", access.Require(session.Verified), p.ByToken(), 403, "not_verified"},
		{"fresh", access.Require(session.Fresh(time.Nanosecond)), p.ByToken(), 403, "not_fresh"},
		{"optional", access.Optional(), p.ByToken(), 200, string(p.User)},
		{"optional, a stranger", access.Optional(), nil, 200, ""},
		{"open", access.Open(), p.ByToken(), 200, ""},
	}
	for _, test := range tests {
		s := guard(test.rule)
		for protocol, o := range options {
			for kind, call := range s.calls(o) {
				if got, said := call(t, test.header); got != test.status || said != test.said {
					t.Errorf("%s, %s, %s: %d %s, want %d %s", test.name, protocol, kind, got, said, test.status, test.said)
				}
			}
		}
	}
	never := w.Person()
	repair := w.Fake.Break(fakeory.DatabaseDown{})
	defer repair()
	s := guard(access.Optional())
	for protocol, o := range options {
		for kind, call := range s.calls(o) {
			if got, said := call(t, never.ByToken()); got != 503 || said != "unavailable" {
				t.Errorf("in an outage, %s, %s: %d %s", protocol, kind, got, said)
			}
		}
	}
}

// TestStreamEnds checks that an open stream ends in every protocol, also while its
// handler waits for a client that sends nothing.
func TestStreamEnds(t *testing.T) {
	w := authtest.New(t, nil)
	s := serve(t, &access.Guard{Verifier: w.Auth, Recheck: 20 * time.Millisecond})
	for protocol, o := range options {
		p := w.User()
		stream := s.client(both, o).CallBidiStream(t.Context())
		maps.Copy(stream.RequestHeader(), p.ByToken())
		if err := stream.Send(&in{}); err != nil {
			t.Fatal(err)
		}
		if m, err := stream.Receive(); err != nil || m.GetUsername() != string(p.User) {
			t.Fatalf("%s: %v %v", protocol, m, err)
		}
		if err := w.Auth.RevokeSession(t.Context(), p.SessionID); err != nil {
			t.Fatal(err)
		}
		_, err := stream.Receive()
		if got, said := read(err); got != 401 || said != "unauthenticated" {
			t.Errorf("%s: %v", protocol, err)
		}
		if err := <-s.left; connect.CodeOf(err) != connect.CodeUnauthenticated {
			t.Errorf("%s: the handler got %v", protocol, err)
		}
		_ = stream.CloseRequest()
		_ = stream.CloseResponse()
	}
	p := w.User()
	r := connect.NewRequest(&in{})
	maps.Copy(r.Header(), p.ByToken())
	down, err := s.client(download, nil).CallServerStream(t.Context(), r)
	if err != nil || !down.Receive() {
		t.Fatal(err)
	}
	if err := w.Auth.RevokeSession(t.Context(), p.SessionID); err != nil {
		t.Fatal(err)
	}
	for down.Receive() {
		continue
	}
	if got, said := read(down.Err()); got != 401 || said != "unauthenticated" {
		t.Errorf("a download: %v", down.Err())
	}
	_ = down.Close()
}

// TestStreamEndsOverHTTP1 checks that the handler gets the end at once, and the client
// when it stops sending.
func TestStreamEndsOverHTTP1(t *testing.T) {
	w := authtest.New(t, nil)
	guard := &access.Guard{Verifier: w.Auth, Recheck: 20 * time.Millisecond}
	entered, left := make(chan struct{}), make(chan error, 1)
	handler := connect.NewClientStreamHandler(upload, func(_ context.Context, stream *connect.ClientStream[in]) (*connect.Response[out], error) {
		stream.Receive()
		close(entered)
		for stream.Receive() {
			continue
		}
		left <- stream.Err()
		return nil, stream.Err()
	}, connect.WithInterceptors(connectauth.New(guard)))
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	p := w.User()
	stream := connect.NewClient[in, out](s.Client(), s.URL+upload).CallClientStream(t.Context())
	maps.Copy(stream.RequestHeader(), p.ByToken())
	if err := stream.Send(&in{}); err != nil {
		t.Fatal(err)
	}
	<-entered
	if err := w.Auth.RevokeSession(t.Context(), p.SessionID); err != nil {
		t.Fatal(err)
	}
	if err := <-left; connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("the handler got %v", err)
	}
	_, err := stream.CloseAndReceive()
	if got, said := read(err); got != 401 || said != "unauthenticated" {
		t.Errorf("%v", err)
	}
}

// TestClients checks that the guard ignores calls of the program's own clients.
func TestClients(t *testing.T) {
	w := authtest.New(t, nil)
	s := serve(t, &access.Guard{Verifier: w.Auth, Default: access.Optional()})
	o := []connect.ClientOption{connect.WithInterceptors(connectauth.New(&access.Guard{Verifier: w.Auth}))}
	for kind, call := range s.calls(o) {
		if got, said := call(t, nil); got != 200 || said != "" {
			t.Errorf("%s: %d %s", kind, got, said)
		}
	}
}

// TestDeadline checks that a caller that gives up gets its own error.
func TestDeadline(t *testing.T) {
	w := authtest.New(t, authtest.NewGate(t).Before) // Ory answers nothing
	s := serve(t, &access.Guard{Verifier: w.Auth})
	p := w.Person()
	for protocol, o := range options {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		r := connect.NewRequest(&in{})
		maps.Copy(r.Header(), p.ByToken())
		if _, err := s.client(unary, o).CallUnary(ctx, r); connect.CodeOf(err) != connect.CodeDeadlineExceeded {
			t.Errorf("%s: %v", protocol, err)
		}
		cancel()
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := connectauth.New(&access.Guard{Verifier: w.Auth}).WrapUnary(nil)(gone, connect.NewRequest(&in{}))
	if connect.CodeOf(err) != connect.CodeCanceled {
		t.Error(err)
	}
}

func TestPanicsAreTheHandlers(t *testing.T) {
	w := authtest.New(t, nil)
	s := serve(t, &access.Guard{Verifier: w.Auth})
	r := connect.NewRequest(&in{FillUsername: true})
	maps.Copy(r.Header(), w.User().ByToken())
	if _, err := s.client(unary, nil).CallUnary(t.Context(), r); connect.CodeOf(err) != connect.CodeInternal {
		t.Error(err)
	}
}
