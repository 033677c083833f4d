package cmdtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Template makes tokens as a tokenizer template of Ory does.
type Template struct {
	Key    *ecdsa.PrivateKey
	signer jose.Signer
	Public string // the file with the public key
}

// NewTemplate returns a template whose public key is published.
func NewTemplate(t *testing.T) *Template {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	out := &Template{Key: key, signer: signer, Public: filepath.Join(t.TempDir(), "jwks.json")}
	out.Publish(t, key.Public())
	return out
}

// Publish writes a key to the file of public keys.
func (p *Template) Publish(t *testing.T, key any) {
	t.Helper()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.Public, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Token returns a token of the session that [Kratos] has for an identity.
func (p *Template) Token(t *testing.T, identity string) string {
	t.Helper()
	now := time.Now()
	token, err := jwt.Signed(p.signer).Claims(jwt.Claims{Issuer: "https://ory.example/", Audience: jwt.Audience{"notes"}, Subject: identity,
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(10 * time.Minute))}).
		Claims(map[string]any{"sid": "5e" + identity[2:], "aal": "aal1"}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}
