package session

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/symbolon-id/symbolon"
)

func TestMe(t *testing.T) {
	w := newWorld(t)
	token, s := w.person(1)
	rec := httptest.NewRecorder()
	w.v.Me().ServeHTTP(rec, byToken(token))
	var got map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	in, _ := got["session"].(map[string]any)
	if rec.Code != 200 || got["user_id"] != "user-of-"+s.identity || got["identity_id"] != s.identity || got["email"] != "p00000001@x.example" ||
		in["id"] != s.id || in["aal"] != "aal1" || in["expires_at"] == nil || in["authenticated_at"] == nil || rec.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	status, said := through(w.v.Me(), request())
	expect(t, status, said, 401, "unauthenticated")
	post := byToken(token)
	post.Method = "POST"
	status, said = through(w.v.Me(), post)
	expect(t, status, said, 405, "method_not_allowed")
}

func TestOptional(t *testing.T) {
	w := newWorld(t)
	token, s := w.person(1)
	held, hs := w.person(2)
	half, fs := w.person(3)
	w.set(func() { fs.needsAAL2 = true })
	id := symbolon.IdentityID(hs.identity)
	w.store.deny = map[symbolon.IdentityID]error{id: &symbolon.DenyError{Identity: id, Err: symbolon.ErrUserGone}}
	h := w.v.Optional(http.HandlerFunc(whoIs))
	for token, want := range map[string]string{token: "user-of-" + s.identity, "ory_st_junk": "nobody", "a b": "nobody", held: "nobody", half: "nobody"} {
		status, said := through(h, byToken(token))
		expect(t, status, said, 200, want)
	}
	status, said := through(h, request())
	expect(t, status, said, 200, "nobody")
	w.set(func() { w.down = true })
	status, said = through(h, byToken("ory_st_other"))
	expect(t, status, said, 503, "unavailable")
	status, said = through(h, request())
	expect(t, status, said, 200, "nobody") // a request without a credential needs no Ory
}

// TestErrorFunc checks that the application writes the answer and can distinguish a
// denial from "don't know".
func TestErrorFunc(t *testing.T) {
	w := newWorld(t)
	w.v.ErrorFunc = func(rw http.ResponseWriter, _ *http.Request, err error) {
		if err == ErrUnauthenticated { //nolint:errorlint // exactly this value
			rw.WriteHeader(303)
			return
		}
		rw.WriteHeader(500)
	}
	if status, _ := w.ask(request()); status != 303 {
		t.Errorf("got %d", status)
	}
	w.down = true
	if status, _ := w.ask(byToken("ory_st_x")); status != 500 {
		t.Errorf("got %d", status)
	}
}
