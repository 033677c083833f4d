package grpcauth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/grpcauth"
	"github.com/symbolon-id/symbolon/grpcauth/access"
	"github.com/symbolon-id/symbolon/grpcauth/internal/authtest"
	"github.com/symbolon-id/symbolon/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service answers with the user of each call.
type service struct {
	pb.UnimplementedTestServiceServer
	enter func(ctx context.Context) // called by FullDuplexCall
	left  chan error                // the errors of FullDuplexCall
}

func who(ctx context.Context) string {
	u, _ := symbolon.UserFrom(ctx)
	return string(u.ID)
}

func (s *service) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if in.GetFillUsername() {
		panic("the handler's own")
	}
	return &pb.SimpleResponse{Username: who(ctx)}, nil
}

func (s *service) EmptyCall(ctx context.Context, _ *pb.Empty) (*pb.Empty, error) {
	if who(ctx) != "" {
		return nil, status.Error(codes.Internal, "there is a user")
	}
	return &pb.Empty{}, nil
}

func say(ctx context.Context) *pb.StreamingOutputCallResponse {
	return &pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: []byte(who(ctx))}}
}

func (s *service) StreamingOutputCall(_ *pb.StreamingOutputCallRequest, out grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	for {
		if err := out.Send(say(out.Context())); err != nil {
			return err
		}
		select {
		case <-out.Context().Done():
			return out.Context().Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *service) StreamingInputCall(in grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
	n := int32(0)
	for {
		m, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return in.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: n + int32(len(who(in.Context())))})
		}
		if err != nil {
			return err
		}
		n += int32(len(m.GetPayload().GetBody()))
	}
}

func (s *service) FullDuplexCall(both grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) (err error) {
	if s.left != nil {
		defer func() { s.left <- err }()
	}
	if s.enter != nil {
		s.enter(both.Context())
	}
	for {
		_, err := both.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := both.Send(say(both.Context())); err != nil {
			return err
		}
	}
}

// serve starts a server on the loopback interface. A panic in a handler becomes Internal.
func serve(t testing.TB, guard *access.Guard, s *service) pb.TestServiceClient {
	t.Helper()
	var before []grpc.ServerOption
	if guard != nil {
		before = []grpc.ServerOption{
			grpc.ChainUnaryInterceptor(recoverUnary, grpcauth.Unary(guard)),
			grpc.ChainStreamInterceptor(recoverStream, grpcauth.Stream(guard)),
		}
	}
	server := grpc.NewServer(before...)
	pb.RegisterTestServiceServer(server, s)
	if guard != nil {
		if err := grpcauth.Check(guard, server); err != nil {
			t.Fatal(err)
		}
	}
	return pb.NewTestServiceClient(authtest.Dial(t, server))
}

func recoverUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (_ any, err error) {
	defer recovered(&err)
	return next(ctx, req)
}

func recoverStream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer recovered(&err)
	return next(srv, ss)
}

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = status.Errorf(codes.Internal, "panic: %v", p)
	}
}

// with returns a context with a header as metadata.
func with(t testing.TB, h http.Header) context.Context {
	md := metadata.MD{}
	for name, values := range h {
		md.Append(strings.ToLower(name), values...)
	}
	return metadata.NewOutgoingContext(t.Context(), md)
}

// httpStatus returns the HTTP status of an error's code, and the reason in its detail.
func httpStatus(t testing.TB, err error) (int, string) {
	t.Helper()
	s := status.Convert(err)
	code, known := map[codes.Code]int{codes.OK: 200, codes.Unauthenticated: 401, codes.PermissionDenied: 403, codes.Unavailable: 503}[s.Code()]
	if !known || code == 200 {
		return int(s.Code()), s.Message()
	}
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == access.Domain {
			return code, info.GetReason()
		}
	}
	return code, "no detail: " + s.Message()
}

// calls has all kinds of calls. Each returns a status and a text as World.HTTP does.
func calls(t testing.TB, client pb.TestServiceClient) map[string]func(ctx context.Context) (int, string) {
	return map[string]func(ctx context.Context) (int, string){
		"unary": func(ctx context.Context) (int, string) {
			res, err := client.UnaryCall(ctx, &pb.SimpleRequest{})
			if err != nil {
				return httpStatus(t, err)
			}
			return 200, res.GetUsername()
		},
		"server stream": func(ctx context.Context) (int, string) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			stream, err := client.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{})
			if err != nil {
				return httpStatus(t, err)
			}
			m, err := stream.Recv()
			if err != nil {
				return httpStatus(t, err)
			}
			return 200, string(m.GetPayload().GetBody())
		},
		"bidi": func(ctx context.Context) (int, string) {
			stream, err := client.FullDuplexCall(ctx)
			if err != nil {
				return httpStatus(t, err)
			}
			_ = stream.Send(&pb.StreamingOutputCallRequest{})
			m, err := stream.Recv()
			if err != nil {
				return httpStatus(t, err)
			}
			_ = stream.CloseSend()
			if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
				t.Errorf("the call ended with %v", err)
			}
			return 200, string(m.GetPayload().GetBody())
		},
	}
}

func TestAsOverHTTP(t *testing.T) {
	w := authtest.New(t, nil)
	all := calls(t, serve(t, &access.Guard{Verifier: w.Auth, Recheck: time.Minute}, &service{}))
	let := 0
	for _, c := range authtest.Cases(w) {
		status, said := w.HTTP(c.Header)
		if status == 200 {
			let++
		}
		for kind, call := range all {
			if got, gotSaid := call(with(t, c.Header)); got != status || gotSaid != said {
				t.Errorf("%s, %s: %d %s; over HTTP %d %s", c.Name, kind, got, gotSaid, status, said)
			}
		}
	}
	if let < 10 {
		t.Errorf("HTTP let only %d requests in", let)
	}
}

// TestMetadata tests the cases that exist only in gRPC.
func TestMetadata(t *testing.T) {
	w := authtest.New(t, nil)
	p := w.User()
	client := serve(t, &access.Guard{Verifier: w.Auth}, &service{})
	tests := map[string]struct {
		metadata []string
		user     symbolon.UserID // empty: unauthenticated
	}{
		"binary":              {[]string{"x-session-token-bin", p.Token}, ""},
		"binary beside":       {[]string{"x-session-token-bin", "junk", "x-session-token", p.Token}, p.User},
		"binary cookie":       {[]string{"cookie-bin", "ory_kratos_session=" + p.Cookie}, ""},
		"capitals":            {[]string{"X-Session-TOKEN", p.Token}, p.User},
		"grpc-gateway's name": {[]string{"grpcgateway-cookie", "ory_kratos_session=" + p.Cookie}, ""},
		"cookie in crumbs":    {[]string{"cookie", "a=b", "cookie", "ory_kratos_session=" + p.Cookie, "cookie", "c=d"}, p.User},
		"long":                {[]string{"x-session-token", strings.Repeat("a", 5000)}, ""},
	}
	for name, test := range tests {
		ctx := metadata.AppendToOutgoingContext(t.Context(), test.metadata...)
		res, err := client.UnaryCall(ctx, &pb.SimpleRequest{})
		if test.user == "" {
			if got, said := httpStatus(t, err); got != 401 || said != "unauthenticated" {
				t.Errorf("%s: %d %s", name, got, said)
			}
		} else if err != nil || res.GetUsername() != string(test.user) {
			t.Errorf("%s: %v %v", name, res, err)
		}
	}
}

// TestClientAddress checks that a verifier gets the address of a call's peer when it asks
// Ory, and not for a cached session.
func TestClientAddress(t *testing.T) {
	got := make(chan netip.Addr, 10)
	w := authtest.New(t, func(v *session.Verifier) {
		v.ClientAddress = func(ctx context.Context) netip.Addr {
			got <- grpcauth.ClientAddress(ctx)
			return netip.Addr{}
		}
	})
	client := serve(t, &access.Guard{Verifier: w.Auth}, &service{})
	p := w.Person()
	for range 3 {
		if _, err := client.UnaryCall(with(t, http.Header{"X-Session-Token": {p.Token}}), &pb.SimpleRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 1 || !(<-got).IsLoopback() {
		t.Errorf("%d more addresses, or one that is not loopback", len(got))
	}
	if grpcauth.ClientAddress(t.Context()).IsValid() {
		t.Error("a context without a call has an address")
	}
}
