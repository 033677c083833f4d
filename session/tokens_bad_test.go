package session

import (
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/session/internal/jwttest"
)

// TestBadTokens checks that no bad token is accepted or causes a question to Ory, and
// that the good token from which each was made is accepted.
func TestBadTokens(t *testing.T) {
	w, _ := tokenWorld(t)
	if err := w.v.Check(); err != nil { // the verifier starts before the tokens are made, however slow the machine is
		t.Fatal(err)
	}
	_, s := w.person(1)
	good := map[string]string{
		"ES256":      tokenise(s),
		"EdDSA":      signRaw(jsonOf(members{"alg": "EdDSA", "kid": "ed"}), jsonOf(claimsFor(s, time.Now(), time.Minute)), keysOnce().ED),
		"RS256":      signRaw(jsonOf(members{"alg": "RS256", "kid": "rs", "typ": "jwt"}), jsonOf(claimsFor(s, time.Now(), time.Minute)), keysOnce().RS),
		"aud a list": tokenise(s, members{"aud": []string{"billing", tokenAudience}}),
		"bare":       tokenise(s, members{"sid": nil, "aal": nil, "authenticated_at": nil, "email": nil, "email_verified": nil, "jti": nil}),
		"more":       tokenise(s, members{"role": "admin", "x": []any{1.5, nil, members{"y": 1}}}),
	}
	for name, token := range good {
		status, said := w.ask(byBearer(token))
		if status != 200 {
			t.Errorf("good, %s: %d %s", name, status, said)
		}
	}
	bad := jwttest.Bad(t, signed(s))
	if len(bad) < 130 {
		t.Errorf("%d bad tokens", len(bad))
	}
	for name, token := range bad {
		for range 2 { // also from the cache
			if status, said := w.ask(byBearer(token)); status != 401 || said != "unauthenticated" {
				t.Errorf("%s: %d %s", name, status, said)
			}
		}
	}
	if len(w.asked) != 0 {
		t.Errorf("Ory was asked: %v", w.asked)
	}
	for _, token := range bad {
		if len(token) > 20 && strings.Contains(w.log.String(), token) {
			t.Error("a token is in the log")
		}
	}
}
