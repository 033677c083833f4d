package access_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/symbolon-id/symbolon/grpcauth/access"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// A guard lets calls in by the rules of their methods. These calls have no session.
func Example() {
	linker := &link.Linker{Ory: &ory.Client{PublicURL: "http://127.0.0.1:4433"}, Store: &sqlstore.Store{Dialect: sqlstore.Postgres}}
	auth := &session.Verifier{Linker: linker}
	defer auth.Close()

	guard := &access.Guard{Verifier: auth, Methods: access.Methods{
		"/grpc.health.v1.Health/*":    access.Open(),
		"/shop.v1.Shop/Browse":        access.Optional(),
		"/shop.v1.Shop/DeleteAccount": access.Require(session.AAL2, session.Fresh(15*time.Minute)),
	}}
	for _, method := range []string{"/grpc.health.v1.Health/Check", "/shop.v1.Shop/Browse", "/shop.v1.Shop/Buy"} {
		_, err := guard.Enter(context.Background(), method, http.Header{})
		if err != nil {
			fmt.Println(method, access.Code(err))
			continue
		}
		fmt.Println(method, "is let in")
	}
	fmt.Println(guard.CheckMethods([]string{"/grpc.health.v1.Health/Check", "/shop.v1.Shop/Browse"}))

	// Output:
	// /grpc.health.v1.Health/Check is let in
	// /shop.v1.Shop/Browse is let in
	// /shop.v1.Shop/Buy Unauthenticated
	// access: Guard.Methods: no server has /shop.v1.Shop/DeleteAccount
}
