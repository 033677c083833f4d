// Command go verifies a signed assertion, as an application in Go does:
//
//	go run ./examples/assertion/go JWKS-URL ISSUER AUDIENCE TOKEN
//
// It prints the user's ID and the claims. If the assertion is not valid, it prints the
// reason and exits with 1.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// verify is the function to copy. keys is the answer of the JWKS-URL. Fetch it again
// every hour, and if a token names an unknown key.
func verify(token string, keys jose.JSONWebKeySet, issuer, audience string) (userID string, err error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.EdDSA}) // accept no other algorithm
	if err != nil {
		return "", err
	}
	var claims jwt.Claims
	if err := parsed.Claims(keys, &claims); err != nil { // verifies the signature
		return "", err
	}
	if claims.Expiry == nil || claims.Subject == "" {
		return "", fmt.Errorf("exp or sub is missing")
	}
	return claims.Subject, claims.ValidateWithLeeway(jwt.Expected{Issuer: issuer, AnyAudience: jwt.Audience{audience}, Time: time.Now()}, 5*time.Second)
}

func main() {
	if len(os.Args) != 5 {
		fail("usage: go JWKS-URL ISSUER AUDIENCE TOKEN")
	}
	res, err := http.Get(os.Args[1]) //nolint:gosec,noctx // the caller chooses the URL and can stop the program
	if err != nil {
		fail(err)
	}
	defer func() { _ = res.Body.Close() }()
	var keys jose.JSONWebKeySet
	if err := json.NewDecoder(res.Body).Decode(&keys); err != nil {
		fail(err)
	}
	user, err := verify(os.Args[4], keys, os.Args[2], os.Args[3])
	if err != nil {
		fail(err)
	}
	_, _ = fmt.Fprintln(os.Stdout, user)
}

func fail(why any) {
	_, _ = fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}
