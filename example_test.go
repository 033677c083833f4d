package symbolon_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

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
