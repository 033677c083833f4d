package grpcauth_test

import (
	"context"
	"net/http"
	"testing"

	"google.golang.org/grpc"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/symbolon-id/symbolon/grpcauth"
	"github.com/symbolon-id/symbolon/grpcauth/access"
	"github.com/symbolon-id/symbolon/grpcauth/internal/authtest"
)

// BenchmarkCall measures a whole call over the loopback interface, without an interceptor
// and with one for a cached session.
func BenchmarkCall(b *testing.B) {
	w := authtest.New(b, nil)
	p := w.User()
	guard := &access.Guard{Verifier: w.Auth}
	for _, bench := range []struct {
		name  string
		guard *access.Guard
		h     http.Header
	}{{"plain", nil, p.ByToken()}, {"token", guard, p.ByToken()}, {"cookie", guard, http.Header{"Cookie": {"ory_kratos_session=" + p.Cookie}}}} {
		client, ctx := serve(b, bench.guard, &service{}), with(b, bench.h)
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.UnaryCall(ctx, &pb.SimpleRequest{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkUnary measures the interceptor alone.
func BenchmarkUnary(b *testing.B) {
	w := authtest.New(b, nil)
	p := w.User()
	intercept := grpcauth.Unary(&access.Guard{Verifier: w.Auth, Methods: access.Methods{"/a.B/D": access.Open()}})
	ctx := metadata.NewIncomingContext(b.Context(), metadata.Pairs("x-session-token", p.Token, "user-agent", "grpc-go", "content-type", "application/grpc"))
	info := &grpc.UnaryServerInfo{FullMethod: "/a.B/C"}
	handler := func(context.Context, any) (any, error) { return nil, nil }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := intercept(ctx, nil, info, handler); err != nil {
			b.Fatal(err)
		}
	}
}
