package grpcauth_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	shop "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/grpcauth"
	"github.com/symbolon-id/symbolon/grpcauth/access"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// shopServer is the application's server.
type shopServer struct {
	shop.UnimplementedTestServiceServer
}

func (shopServer) UnaryCall(ctx context.Context, _ *shop.SimpleRequest) (*shop.SimpleResponse, error) {
	user, _ := symbolon.UserFrom(ctx)
	return &shop.SimpleResponse{Username: string(user.ID)}, nil
}

// This server's methods require a user, except health checks and reflection.
func Example() {
	var db *sql.DB // the application's database

	store := &sqlstore.Store{DB: db, Dialect: sqlstore.Postgres}
	linker := &link.Linker{Ory: &ory.Client{PublicURL: "http://127.0.0.1:4433"}, Store: store}
	auth := &session.Verifier{Linker: linker}
	defer auth.Close()

	guard := &access.Guard{
		Verifier: auth,
		Methods: access.Methods{
			"/grpc.health.v1.Health/*":                 access.Open(),
			"/grpc.reflection.v1.ServerReflection/*":   access.Open(),
			"/grpc.testing.TestService/EmptyCall":      access.Optional(),
			"/grpc.testing.TestService/FullDuplexCall": access.Require(session.AAL2, session.Fresh(15*time.Minute)),
		},
		Recheck: 10 * time.Second, // for streams
	}
	server := grpc.NewServer(
		grpc.ChainUnaryInterceptor(grpcauth.Unary(guard)),
		grpc.ChainStreamInterceptor(grpcauth.Stream(guard)),
	)
	shop.RegisterTestServiceServer(server, shopServer{})
	healthpb.RegisterHealthServer(server, health.NewServer())
	reflection.RegisterV1(server)
	if err := grpcauth.Check(guard, server); err != nil {
		log.Fatal(err) // for example a rule for an unknown method
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	_, err = healthpb.NewHealthClient(conn).Check(context.Background(), &healthpb.HealthCheckRequest{})
	fmt.Println(status.Code(err))
	_, err = shop.NewTestServiceClient(conn).UnaryCall(context.Background(), &shop.SimpleRequest{})
	fmt.Println(status.Code(err), status.Convert(err).Message())
	fmt.Println(reason(err))

	// Output:
	// OK
	// Unauthenticated Sign in first.
	// unauthenticated
}
