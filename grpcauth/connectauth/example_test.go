package connectauth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"connectrpc.com/connect"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/grpcauth/access"
	"github.com/symbolon-id/symbolon/grpcauth/connectauth"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
)

func browse(ctx context.Context, _ *connect.Request[pb.SimpleRequest]) (*connect.Response[pb.SimpleResponse], error) {
	user, _ := symbolon.UserFrom(ctx)
	return connect.NewResponse(&pb.SimpleResponse{Username: string(user.ID)}), nil
}

func Example() {
	linker := &link.Linker{Ory: &ory.Client{PublicURL: "http://127.0.0.1:4433"}, Store: &sqlstore.Store{Dialect: sqlstore.Postgres}}
	auth := &session.Verifier{Linker: linker}
	defer auth.Close()

	guard := &access.Guard{Verifier: auth}
	interceptors := connect.WithInterceptors(connectauth.New(guard))

	mux := http.NewServeMux()
	mux.Handle("/shop.v1.Shop/Browse", connect.NewUnaryHandler("/shop.v1.Shop/Browse", browse, interceptors))

	server := httptest.NewServer(mux)
	defer server.Close()
	client := connect.NewClient[pb.SimpleRequest, pb.SimpleResponse](server.Client(), server.URL+"/shop.v1.Shop/Browse")
	_, err := client.CallUnary(context.Background(), connect.NewRequest(&pb.SimpleRequest{}))
	fmt.Println(err)

	// Output: unauthenticated: Sign in first.
}
