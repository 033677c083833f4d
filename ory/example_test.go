package ory_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
)

// A missing identity and an outage of Ory are different errors.
func ExampleClient_Identity() {
	const ada, bob, carol = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222", "33333333-3333-4333-8333-333333333333"
	kratos := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/admin/identities/" + ada:
			fmt.Fprintf(w, `{"id":%q,"schema_id":"default","state":"active","traits":{"email":"ada@example.org"},"created_at":"2026-11-23T12:00:00Z"}`, ada)
		case "/admin/identities/" + bob:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":{"code":404,"status":"Not Found","message":"Unable to locate the resource"}}`)
		default:
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer kratos.Close()
	client := &ory.Client{PublicURL: kratos.URL, AdminURL: kratos.URL}
	defer client.CloseIdleConnections()

	for _, id := range []symbolon.IdentityID{ada, bob, carol} {
		identity, err := client.Identity(context.Background(), id)
		switch {
		case err == nil:
			fmt.Println(identity.State, string(identity.Traits))
		case errors.Is(err, symbolon.ErrNotFound):
			fmt.Println("Ory has no such identity")
		case errors.Is(err, symbolon.ErrUnavailable):
			fmt.Println("nobody knows")
		}
	}
	// Output:
	// active {"email":"ada@example.org"}
	// Ory has no such identity
	// nobody knows
}
