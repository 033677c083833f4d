package jwt_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"

	"github.com/symbolon-id/symbolon/session/jwt"
)

// Ory signs a token for the application. The application verifies it with Ory's published
// keys, which are in JWKS itself here.
func Example() {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		log.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: "k1", Algorithm: "EdDSA", Use: "sig"}}})
	if err != nil {
		log.Fatal(err)
	}
	verifier := &jwt.Verifier{
		JWKS:     "base64://" + base64.StdEncoding.EncodeToString(set), // usually a URL or a file
		Issuer:   "https://ory.example/",
		Audience: "app",
	}
	if err := verifier.Check(); err != nil {
		log.Fatal(err)
	}
	keys, err := verifier.Keys(time.Now, func(err error) { log.Print(err) })
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()

	for _, audience := range []string{"app", "another-app"} {
		token, err := keys.Verify(context.Background(), tokenFor(audience, private), time.Now())
		var refusal *jwt.Refusal
		switch {
		case errors.As(err, &refusal):
			fmt.Println("refused:", refusal.Reason)
		case err != nil:
			fmt.Println("don't know:", err)
		default:
			fmt.Println("identity", token.Identity)
		}
	}

	// Output:
	// identity 7c9e6679-7425-40de-944b-e07fc1f90ae7
	// refused: its aud does not contain auth.jwt.audience
}

// tokenFor returns a token as Ory makes it.
func tokenFor(audience string, private ed25519.PrivateKey) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: private, KeyID: "k1"}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		log.Fatal(err)
	}
	now := josejwt.NewNumericDate(time.Now())
	token, err := josejwt.Signed(signer).Claims(josejwt.Claims{
		Issuer: "https://ory.example/", Audience: josejwt.Audience{audience}, Subject: "7c9e6679-7425-40de-944b-e07fc1f90ae7",
		IssuedAt: now, NotBefore: now, Expiry: josejwt.NewNumericDate(time.Now().Add(time.Minute)),
	}).Serialize()
	if err != nil {
		log.Fatal(err)
	}
	return token
}
