package fakeory_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// An Ory in memory needs no port and no goroutine. The test decides when a fault begins.
func Example() {
	fake := fakeory.New(fakeory.Config{InMemory: true})
	defer fake.Close()
	client := &ory.Client{PublicURL: fake.PublicURL, AdminURL: fake.AdminURL, HTTP: &http.Client{Transport: fake}}

	ctx := context.Background()
	ada, err := fake.Register(ctx, "ada@example.com", "correct horse battery", "Ada")
	if err != nil {
		fmt.Println(err)
		return
	}
	session := ory.Credential{Kind: ory.SessionToken, Value: ada.Token}
	seen, err := client.Whoami(ctx, session)
	fmt.Println(string(seen.Identity.ID) == ada.IdentityID, err)

	repair := fake.Break(fakeory.DatabaseDown{}) // whoami answers 401 to a valid session
	_, err = client.Whoami(ctx, session)
	fmt.Println(err)
	fmt.Println("ready:", client.Ready(ctx) == nil)
	repair()

	repair = fake.Lie("GET /sessions/whoami", fakeory.Says(200, "text/html", "<h1>Sign in</h1>"))
	_, err = client.Whoami(ctx, session)
	fmt.Println(err)
	repair()

	// Output:
	// true <nil>
	// whoami: ory answered 401: No valid session credentials found in the request.
	// ready: false
	// whoami: ory: an answer that is not JSON: temporarily unavailable
}
