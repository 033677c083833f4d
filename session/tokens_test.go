package session

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/faults"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session/jwt"
)

// TestTokensOff checks that without Tokens a JWT belongs to the application. It is not a
// session, it is not sent to Ory, and other credentials work beside it.
func TestTokensOff(t *testing.T) {
	w := newWorld(t)
	token, s := w.person(1)
	jwt := tokenise(s)
	for range 2 {
		status, said := w.ask(byBearer(jwt))
		expect(t, status, said, 401, "unauthenticated")
		status, said = through(w.v.Optional(whoIsHandler), byBearer(jwt))
		expect(t, status, said, 200, "nobody")
	}
	if _, err := w.v.Verify(t.Context(), ory.Credential{Kind: TokenisedSession, Value: jwt}); !errors.Is(err, ErrUnauthenticated) {
		t.Error(err)
	}
	if len(w.asked) != 0 {
		t.Errorf("Ory was asked: %v", w.asked)
	}
	status, said := w.ask(request("Authorization", "Bearer "+jwt, "X-Session-Token", token))
	expect(t, status, said, 200, string(userOf(symbolon.IdentityID(s.identity))))
	if w.v.Stats().Tokens != (TokenStats{}) || w.v.Bound() != defaultMaxStale {
		t.Errorf("%+v, bound %s", w.v.Stats(), w.v.Bound())
	}
}

// TestTokensOfOthers checks that with Tokens, a JWT of another issuer or audience still
// belongs to the application. It is refused before any key is read.
func TestTokensOfOthers(t *testing.T) {
	w, keys := tokenWorld(t)
	keys.body = `{"keys":[]}`
	_, s := w.person(1)
	if err := w.v.Check(); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		for _, other := range []members{{"iss": "https://app.example"}, {"aud": "billing"}, {"iss": nil}} {
			status, said := w.ask(byBearer(tokenise(s, other)))
			expect(t, status, said, 401, "unauthenticated")
			status, said = through(w.v.Optional(whoIsHandler), byBearer(tokenise(s, other)))
			expect(t, status, said, 200, "nobody")
		}
	}
	if len(w.asked) != 0 || keys.times() > 1 || w.v.Stats().Sessions != 0 {
		t.Errorf("Ory was asked %v, the keys were read %d times, %d answers are cached", w.asked, keys.times(), w.v.Stats().Sessions)
	}
	status, said := w.ask(byBearer(tokenise(s)))
	expect(t, status, said, 503, "unavailable") // there are no keys to verify with
	status, said = through(w.v.Optional(whoIsHandler), byBearer(tokenise(s)))
	expect(t, status, said, 503, "unavailable")
}

// TestTokenIssuers checks that the issuer is compared as text, however JSON encodes it.
func TestTokenIssuers(t *testing.T) {
	for _, issuer := range []string{tokenIssuer, "https://ory.example/a?b=1&c=<2>", `quoted "ory"`, "https://öry.example/"} {
		w, _ := tokenWorld(t)
		w.v.Tokens.Issuer = issuer
		_, s := w.person(1)
		for iss, want := range map[string]int{issuer: 200, issuer + "x": 401, "x" + issuer: 401, strings.ToUpper(issuer): 401} {
			if got := tokenStatus(w.v, tokenise(s, members{"iss": iss})); got != want {
				t.Errorf("%s where %s is ours: %d", iss, issuer, got)
			}
			if got := tokenStatus(w.v, tokenise(s, members{"iss": iss, "other": issuer})); got != want {
				t.Errorf("%s beside %s: %d", iss, issuer, got)
			}
		}
	}
}

// TestWinnerWithTokens tests all 15 subsets of four credentials of four people. Two
// different Authorization headers are both ignored.
func TestWinnerWithTokens(t *testing.T) {
	w, _ := tokenWorld(t)
	token, byHeader := w.person(1)
	_, byCookie := w.person(2)
	_, byOryBearer := w.person(3)
	_, byJWT := w.person(4)
	w.shows(byCookie, aCookie)
	w.shows(byOryBearer, bearer)
	jwt := tokenise(byJWT)
	w.answer = func(r *http.Request) *http.Response {
		if strings.Contains(r.Header.Get("Authorization")+r.Header.Get("Cookie")+r.Header.Get("X-Session-Token")+r.URL.String(), jwt[:40]) {
			t.Error("a JWT was sent to Ory")
		}
		return nil
	}
	for round := range 2 { // not cached, then cached
		for set := 1; set < 16; set++ {
			var header []string
			var want *fakeSession
			if set&8 != 0 {
				header, want = append(header, "Authorization", "Bearer "+jwt), byJWT
			}
			if set&4 != 0 {
				header, want = append(header, "Authorization", "Bearer "+bearer), byOryBearer
			}
			if set&12 == 12 {
				want = nil
			}
			if set&2 != 0 {
				header, want = append(header, "Cookie", "ory_kratos_session="+aCookie), byCookie
			}
			if set&1 != 0 {
				header, want = append(header, "X-Session-Token", token), byHeader
			}
			status, said := w.ask(request(header...))
			if want == nil {
				expect(t, status, said, 401, "unauthenticated")
				continue
			}
			expect(t, status, said, 200, string(userOf(symbolon.IdentityID(want.identity))))
		}
		if w.times("whoami") != 3 || w.v.Stats().Tokens.Signatures != 1 {
			t.Errorf("round %d: %v, %d signatures", round, w.asked, w.v.Stats().Tokens.Signatures)
		}
	}
}

// TestTokenPrincipal checks that the principal has the claims of the token, for every
// kind of answer.
func TestTokenPrincipal(t *testing.T) {
	w, _ := tokenWorld(t)
	rows := Load(w.v, func(_ context.Context, u symbolon.User) (string, error) { return "row of " + string(u.ID), nil })
	_, s := w.person(1)
	w.set(func() { s.aal, s.authenticated = "aal2", time.Now().Add(-time.Minute).Truncate(time.Second) })
	jwt := tokenise(s)
	p, err := w.v.Authenticate(byBearer(jwt), AAL2, Verified, Fresh(2*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	user := userOf(symbolon.IdentityID(s.identity))
	if !p.Tokenised || p.User != (symbolon.User{ID: user, Identity: symbolon.IdentityID(s.identity)}) || p.Session.ID != s.id || p.Session.AAL != "aal2" ||
		!p.Session.AuthenticatedAt.Equal(s.authenticated) || p.Email != "p@x.example" || time.Until(p.Session.ExpiresAt) > 10*time.Minute {
		t.Errorf("%+v", p)
	}
	if row, ok := rows.From(symbolon.WithPrincipal(t.Context(), p)); !ok || row != "row of "+string(user) {
		t.Error(row, ok)
	}
	rec := httptest.NewRecorder()
	w.v.Me().ServeHTTP(rec, byBearer(jwt))
	if body := rec.Body.String(); rec.Code != 200 || !strings.Contains(body, `"user_id":"`+string(user)+`"`) || !strings.Contains(body, s.id) {
		t.Errorf("%d %s", rec.Code, body)
	}
	plain, err := w.v.Authenticate(byToken(tokenOf(w, s)))
	if err != nil || plain.Tokenised {
		t.Errorf("%+v %v", plain, err)
	}
	if len(w.asked) != 1 {
		t.Errorf("Ory was asked %v", w.asked)
	}
}

func tokenOf(w *world, s *fakeSession) string { return credOf(w, s).Value }

// TestTokenPolicies checks that a missing claim never satisfies a policy.
func TestTokenPolicies(t *testing.T) {
	w, _ := tokenWorld(t)
	_, s := w.person(1)
	for name, test := range map[string]struct {
		more   members
		policy Policy
		status int
		said   string
	}{
		"aal2":                {members{"aal": "aal2"}, AAL2, 200, ""},
		"aal1":                {members{"aal": "aal1"}, AAL2, 403, "aal2_required"},
		"aal missing":         {members{"aal": nil}, AAL2, 403, "aal2_required"},
		"aal empty":           {members{"aal": ""}, AAL2, 403, "aal2_required"},
		"aal in capitals":     {members{"aal": "AAL2"}, AAL2, 403, "aal2_required"},
		"fresh":               {nil, Fresh(time.Minute), 200, ""},
		"old":                 {members{"authenticated_at": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339Nano)}, Fresh(time.Minute), 403, "not_fresh"},
		"no time of sign-in":  {members{"authenticated_at": nil}, Fresh(1000 * time.Hour), 403, "not_fresh"},
		"verified":            {nil, Verified, 200, ""},
		"verification denied": {members{"email_verified": false}, Verified, 403, "not_verified"},
		"verification null":   {members{"email_verified": json.RawMessage("null")}, Verified, 403, "not_verified"},
		"address alone":       {members{"email_verified": json.RawMessage("false"), "email": "x@x.example"}, Verified, 403, "not_verified"},
	} {
		status, said := w.ask(byBearer(tokenise(s, test.more, members{"name": name})), test.policy)
		if test.status == 200 {
			said = ""
		}
		if status != test.status || said != test.said {
			t.Errorf("%s: %d %s", name, status, said)
		}
	}
}

// TestUserClaim checks that the claim must name the ledger's user, and never selects a
// user.
func TestUserClaim(t *testing.T) {
	w, _ := tokenWorld(t)
	w.v.Tokens.UserClaim = "user_id"
	_, s := w.person(1)
	_, other := w.person(2)
	mine, theirs := userOf(symbolon.IdentityID(s.identity)), userOf(symbolon.IdentityID(other.identity))
	for name, test := range map[string]struct {
		claim  any
		status int
		said   string
	}{
		"the ledger's":    {string(mine), 200, string(mine)},
		"another user's":  {string(theirs), 403, "link_on_hold"},
		"nobody's":        {"nobody", 403, "link_on_hold"},
		"the identity's":  {s.identity, 403, "link_on_hold"},
		"missing":         {nil, 401, "unauthenticated"},
		"null":            {json.RawMessage("null"), 401, "unauthenticated"},
		"empty":           {"", 401, "unauthenticated"},
		"a number":        {7, 401, "unauthenticated"},
		"a list":          {[]string{string(mine)}, 401, "unauthenticated"},
		"another's, case": {strings.ToUpper(string(mine)), 403, "link_on_hold"},
	} {
		status, said := w.ask(byBearer(tokenise(s, members{"user_id": test.claim})))
		if status != test.status || said != test.said {
			t.Errorf("%s: %d %s", name, status, said)
		}
	}
}

// TestTokenIsVerifiedOnce checks that the signature is verified once and the row is read
// as often as for a session. The token is refused after exp. Ory is not asked and may be
// down.
func TestTokenIsVerifiedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := tokenWorld(t)
		_, s := w.person(1)
		jwt := tokenise(s)
		w.set(func() { w.down, w.refuse = true, true })
		for second := range 600 {
			if status, said := w.ask(byBearer(jwt)); status != 200 {
				t.Fatalf("after %d s: %d %s", second, status, said)
			}
			time.Sleep(time.Second)
		}
		status, said := w.ask(byBearer(jwt))
		expect(t, status, said, 401, "unauthenticated")
		stats := w.v.Stats()
		if stats.Tokens.Signatures != 1 || stats.Asked != 0 || len(w.asked) != 0 {
			t.Errorf("%+v, %v", stats, w.asked)
		}
		if w.store.looks < 60 || w.store.looks > 130 {
			t.Errorf("the row was read %d times", w.store.looks)
		}
	})
}

// TestTokenAndRow checks that a hold or a deletion of the user is noticed within
// MaxStale.
func TestTokenAndRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := tokenWorld(t)
		w.withoutAdmin()
		_, s := w.person(1)
		jwt := tokenise(s)
		status, said := w.ask(byBearer(jwt))
		expect(t, status, said, 200, string(userOf(symbolon.IdentityID(s.identity))))
		w.store.mu.Lock()
		w.store.deny = map[symbolon.IdentityID]error{symbolon.IdentityID(s.identity): errors.New("no user any more")}
		w.store.mu.Unlock()
		time.Sleep(defaultMaxStale)
		status, said = w.ask(byBearer(jwt))
		expect(t, status, said, 403, "cannot_create") // no row exists, and a token makes none
		w.store.mu.Lock()
		w.store.deny, w.store.fail = nil, errDown
		w.store.mu.Unlock()
		time.Sleep(defaultMaxStale)
		status, said = w.ask(byBearer(jwt))
		expect(t, status, said, 503, "unavailable")
	})
}

// TestTokenOfADeniedUser checks that a condition on the row denies a token like a session,
// within MaxStale, although the admin API knows the person. It is lifted in the same way.
func TestTokenOfADeniedUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := tokenWorld(t)
		token, s := w.person(1)
		id := symbolon.IdentityID(s.identity)
		ways := []*http.Request{byBearer(tokenise(s)), byToken(token)}
		for _, tt := range []struct {
			denied string
			status int
			said   string
		}{{"", 200, string(userOf(id))}, {"user_suspended", 403, "user_suspended"}, {"", 200, string(userOf(id))}} {
			w.store.mu.Lock()
			w.store.denied = tt.denied
			w.store.mu.Unlock()
			time.Sleep(defaultMaxStale)
			for _, way := range ways {
				status, said := w.ask(way)
				expect(t, status, said, tt.status, tt.said)
			}
		}
	})
}

// TestTokenLeeway checks that the signer's clock may be ten seconds ahead, and that the
// expiry has no leeway.
func TestTokenLeeway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := tokenWorld(t)
		_, s := w.person(1)
		now := time.Now().Unix()
		for _, test := range []struct {
			name   string
			more   members
			status int
		}{
			{"ten seconds ahead", members{"iat": now + 10, "nbf": now + 10}, 200},
			{"too far ahead", members{"iat": now + 11}, 401},
			{"too far ahead", members{"nbf": now + 11}, 401},
			{"15 minutes", members{"exp": now + 900, "iat": now}, 200},
			{"15 minutes and a second", members{"exp": now + 901, "iat": now}, 401},
		} {
			if status, said := w.ask(byBearer(tokenise(s, test.more))); status != test.status {
				t.Errorf("%s: %d %s", test.name, status, said)
			}
		}
		if !strings.Contains(w.log.String(), "lives longer than auth.jwt.max_life") {
			t.Errorf("a template's ttl is too long, but the log does not report it: %s", w.log.String())
		}
	})
}

// TestTokensChecked checks that with wrong fields of Tokens nobody is let in, and that
// Check names the fields.
func TestTokensChecked(t *testing.T) {
	w := newWorld(t)
	w.v.Tokens = &jwt.Verifier{JWKS: "ftp://keys.example/jwks.json"}
	err := w.v.Check()
	if got := faults.In(err); !errors.Is(err, symbolon.ErrUnavailable) || got["JWKS"] == nil || got["Issuer"] == nil || !strings.Contains(err.Error(), "Verifier.Tokens: ") {
		t.Errorf("%v", err)
	}
	token, _ := w.person(1)
	if status, _ := w.ask(byToken(token)); status != 503 {
		t.Errorf("got %d", status)
	}
}

// BenchmarkTokens measures a cached token, a token that is verified, and an application's
// own token, which is not cached.
func BenchmarkTokens(b *testing.B) {
	w, _ := tokenWorld(b)
	w.v.Log = slog.New(slog.DiscardHandler)
	_, s := w.person(1)
	token := tokenise(s)
	if _, err := w.v.Authenticate(byBearer(token)); err != nil {
		b.Fatal(err)
	}
	cached, foreign := byBearer(token), byBearer(tokenise(s, members{"iss": "https://app.example"}))
	b.Run("cached", func(b *testing.B) {
		for b.Loop() {
			if _, err := w.v.Authenticate(cached); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("verified", func(b *testing.B) {
		for b.Loop() {
			if _, err := w.v.keys.Verify(b.Context(), token, time.Now()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("foreign", func(b *testing.B) {
		for b.Loop() {
			if _, err := w.v.Authenticate(foreign); err == nil {
				b.Fatal("the token was accepted")
			}
		}
	})
}
