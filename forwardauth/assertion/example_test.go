package assertion_test

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http/httptest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/forwardauth/assertion"
)

// A proxy signs the user of a request. The application verifies the assertion with the
// published keys.
func Example() {
	secret, err := symbolon.ParseSecret("one-secret-of-at-least-32-characters")
	if err != nil {
		log.Fatal(err)
	}
	signer := &assertion.Signer{Issuer: "https://symbolon.example", Audience: "app", Secrets: []symbolon.Secret{secret}}
	token, err := signer.Assert(&symbolon.Principal{
		User:    symbolon.User{ID: "42", Identity: "7c9e6679-7425-40de-944b-e07fc1f90ae7"},
		Session: symbolon.Session{AAL: "aal1", ExpiresAt: time.Now().Add(time.Hour)},
	})
	if err != nil {
		log.Fatal(err)
	}

	// The application reads the keys from /.well-known/jwks.json.
	w := httptest.NewRecorder()
	signer.JWKS().ServeHTTP(w, httptest.NewRequest("GET", "/.well-known/jwks.json", nil))
	var keys jose.JSONWebKeySet
	if err := json.NewDecoder(w.Body).Decode(&keys); err != nil {
		log.Fatal(err)
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		log.Fatal(err)
	}
	var claims jwt.Claims
	if err := parsed.Claims(keys, &claims); err != nil {
		log.Fatal(err)
	}
	if err := claims.Validate(jwt.Expected{Issuer: "https://symbolon.example", AnyAudience: jwt.Audience{"app"}}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("user", claims.Subject, "for", claims.Expiry.Time().Sub(claims.IssuedAt.Time()))

	// Output: user 42 for 1m0s
}
