package jwt

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/internal/faults"
	"github.com/symbolon-id/symbolon/session/internal/jwttest"
)

// TestTokensChecked checks that Check names each wrong field.
func TestTokensChecked(t *testing.T) {
	good := Verifier{JWKS: "https://keys.example/jwks.json", Issuer: "x"}
	with := func(change func(*Verifier)) *Verifier { out := good; change(&out); return &out }
	for name, test := range map[string]struct {
		tokens *Verifier
		field  string
	}{
		"no keys":      {with(func(t *Verifier) { t.JWKS = "" }), "JWKS"},
		"http public":  {with(func(t *Verifier) { t.JWKS = "http://keys.example/jwks.json" }), "JWKS"},
		"password":     {with(func(t *Verifier) { t.JWKS = "https://u:p@keys.example/jwks.json" }), "JWKS"},
		"ftp":          {with(func(t *Verifier) { t.JWKS = "ftp://keys.example/jwks.json" }), "JWKS"},
		"no base64":    {with(func(t *Verifier) { t.JWKS = "base64://%%" }), "JWKS"},
		"no issuer":    {with(func(t *Verifier) { t.Issuer = "" }), "Issuer"},
		"none":         {with(func(t *Verifier) { t.Algorithms = []string{"ES256", "none"} }), "Algorithms"},
		"HS256":        {with(func(t *Verifier) { t.Algorithms = []string{"HS256"} }), "Algorithms"},
		"small":        {with(func(t *Verifier) { t.Algorithms = []string{"es256"} }), "Algorithms"},
		"empty":        {with(func(t *Verifier) { t.Algorithms = []string{""} }), "Algorithms"},
		"user is iss":  {with(func(t *Verifier) { t.UserClaim = "iss" }), "UserClaim"},
		"user is sid":  {with(func(t *Verifier) { t.UserClaim = "sid" }), "UserClaim"},
		"a long life":  {with(func(t *Verifier) { t.MaxLife = 2 * time.Hour }), "MaxLife"},
		"no life":      {with(func(t *Verifier) { t.MaxLife = time.Millisecond }), "MaxLife"},
		"less than no": {with(func(t *Verifier) { t.MaxLife = -1 }), "MaxLife"},
	} {
		if faults := faults.In(test.tokens.Check()); len(faults) != 1 || faults[test.field] == nil {
			t.Errorf("%s: %v", name, faults)
		}
	}
	if err := with(func(t *Verifier) { t.Algorithms, t.UserClaim = algorithmNames, "sub" }).Check(); err != nil {
		t.Error(err)
	}
}

// TestBadTokens checks that each bad token is refused and never "don't know", and that
// the good token is accepted.
func TestBadTokens(t *testing.T) {
	s := jwttest.Session{ID: "00000001-5e55-4000-8000-000000000000", Identity: "00000001-1de0-4000-8000-000000000000", AAL: "aal1", Authenticated: time.Now(), Verified: true}
	v := &Verifier{JWKS: inline + base64.StdEncoding.EncodeToString([]byte(jwttest.AllKeys(t))), Issuer: jwttest.Issuer, Audience: jwttest.Audience}
	keys, err := v.Keys(time.Now, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	claims := jwttest.JSON(jwttest.Claims(s, time.Now(), time.Minute))
	good := jwttest.Sign(jwttest.JSON(jwttest.Header), claims, jwttest.Private().ES)
	tok, err := keys.Verify(t.Context(), good, time.Now())
	if err != nil || string(tok.Identity) != s.Identity || tok.Session != s.ID || tok.AAL != "aal1" || tok.Email != "p@x.example" || !keys.Has(tok) {
		t.Fatalf("%+v %v", tok, err)
	}
	for name, raw := range jwttest.Bad(t, s) {
		var refusal *Refusal
		if _, err := keys.Verify(t.Context(), raw, time.Now()); !errors.As(err, &refusal) || strings.Contains(err.Error(), raw) && raw != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if stats := keys.Stats(); stats.Keys != 3 || stats.Faults != 0 || stats.Signatures == 0 {
		t.Errorf("%+v", stats)
	}
}
