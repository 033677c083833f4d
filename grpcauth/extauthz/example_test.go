package extauthz_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/symbolon-id/symbolon/forwardauth"
	"github.com/symbolon-id/symbolon/grpcauth/extauthz"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// serve answers Envoy until ctx ends.
func serve(ctx context.Context, auth *session.Verifier, listener net.Listener) error {
	forward := &forwardauth.ForwardAuth{Verifier: auth, Policies: map[string]forwardauth.Policy{
		"delete-account": {Require: []session.Policy{session.AAL2, session.Fresh(15 * time.Minute)}},
	}}
	if err := forward.Check(); err != nil {
		return err
	}
	server := grpc.NewServer()
	authv3.RegisterAuthorizationServer(server, &extauthz.Server{Auth: forward})
	defer context.AfterFunc(ctx, server.GracefulStop)()
	return server.Serve(listener)
}

func Example() {
	linker := &link.Linker{Ory: &ory.Client{PublicURL: "http://127.0.0.1:4433"}, Store: &sqlstore.Store{Dialect: sqlstore.Postgres}}
	auth := &session.Verifier{Linker: linker}
	defer auth.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // 127.0.0.1:4462 in envoy-grpc.yaml
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, auth, listener) }()

	// Envoy's question about a request without a session.
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	answer, err := authv3.NewAuthorizationClient(conn).Check(ctx, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		ContextExtensions: map[string]string{extauthz.PolicyKey: "delete-account"},
		Request:           &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Method: "POST", Path: "/account"}},
	}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.GetDeniedResponse().GetStatus().GetCode())
	fmt.Print(answer.GetDeniedResponse().GetBody())

	_ = conn.Close()
	stop()
	fmt.Println(<-done)

	// Output:
	// Unauthorized
	// {"error":{"code":"unauthenticated","message":"Sign in first."}}
	// <nil>
}
