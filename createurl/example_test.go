package createurl_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/createurl"
)

// The application creates its own users. It verifies the signature first, and answers 409
// with the same ID if it has created the user before.
func Example() {
	secrets := createurl.DeriveSecrets([]symbolon.Secret{symbolon.Secret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e")})
	verifier, err := standardwebhooks.NewWebhook(secrets[0])
	if err != nil {
		fmt.Println(err)
		return
	}
	users := map[string]string{} // by identity
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || verifier.Verify(body, r.Header) != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var request struct {
			Identity string            `json:"identity_id"`
			Columns  map[string]string `json:"columns"`
		}
		if json.Unmarshal(body, &request) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		status := http.StatusConflict
		if users[request.Identity] == "" {
			users[request.Identity] = fmt.Sprint(42 + len(users))
			status = http.StatusCreated
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"id": users[request.Identity]})
	}))
	defer application.Close()

	client := &createurl.Client{
		URL:     application.URL,
		Secrets: secrets,
		Columns: map[string]string{"email": "traits.email"},
		Observe: func(outcome string) { fmt.Println("outcome:", outcome) },
	}
	defer client.Close()
	ada := symbolon.Identity{ID: "9f425a8d-7efc-4768-8f23-7647a74fdf13", Traits: json.RawMessage(`{"email":"ada@example.com"}`)}
	for range 2 {
		user, err := client.Create(context.Background(), ada)
		fmt.Println("user", user, err)
	}
	status, err := client.Unsigned(context.Background())
	fmt.Println("without a signature:", status, err)
	// Output:
	// outcome: created
	// user 42 <nil>
	// outcome: existed
	// user 42 <nil>
	// without a signature: 401 <nil>
}
