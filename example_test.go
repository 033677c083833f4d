package symbolon_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/symbolon-id/symbolon"
)

// A handler's test needs neither Ory nor a database.
func ExampleWithUser() {
	notes := func(w http.ResponseWriter, r *http.Request) {
		user, _ := symbolon.UserFrom(r.Context())
		fmt.Fprintf(w, "the notes of user %s", user.ID)
	}

	r := httptest.NewRequest(http.MethodGet, "/notes", nil)
	r = r.WithContext(symbolon.WithUser(context.Background(), symbolon.User{ID: "42"}))
	w := httptest.NewRecorder()
	notes(w, r)
	fmt.Println(w.Body)
	// Output: the notes of user 42
}

// An ID proves who minted it, without a table to look it up in.
func ExampleMinter() {
	secret := symbolon.Secret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e") // openssl rand -base64 32
	minter := symbolon.NewMinter("default", secret)
	id := minter.Mint(timeOfTheExample)
	fmt.Println(len(id), minter.Minted(id), minter.Minted("019ab1f2-7c00-7000-8000-000000000000"))
	// Output: 36 true false
}

var timeOfTheExample = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
