package forwardauth

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/symbolon-id/symbolon/session"
)

// TestAnswer checks that Answer equals the answer by HTTP, and that only the question
// names the policy.
func TestAnswer(t *testing.T) {
	w := newWorld(t)
	token, _ := w.person(1)
	half, s := w.person(2)
	w.RequireSecondFactor(s.IdentityID)
	f := &ForwardAuth{Verifier: w.v, Policies: map[string]Policy{"mine": {Require: []session.Policy{session.Verified}}, "pages": {LoginRedirect: true}},
		Login: Login{URL: "https://id.example/login", ReturnTo: []string{"app.example"}}}
	for _, name := range []string{"default", "optional", "aal2", "mine", "pages"} {
		for _, token := range []string{token, half, "", "ory_st_junk", "a b"} {
			r := request("X-Session-Token", token, "X-User-Id", "evil", "X-Forwarded-Uri", "/auth/optional")
			r.URL.Path = "/auth/p/" + name
			rec := httptest.NewRecorder()
			f.ServeHTTP(rec, r)
			got := f.Answer(t.Context(), Question{Policy: name, Method: r.Method, Header: r.Header})
			if got.Status != rec.Code || string(got.Body) != rec.Body.String() || !reflect.DeepEqual(got.Header, rec.Header()) {
				t.Errorf("%s: %v; over HTTP %d %v %s", name, got, rec.Code, rec.Header(), rec.Body)
			}
			for _, name := range f.HeaderNames() {
				if len(got.Header[name]) != 1 {
					t.Errorf("%s: %q", name, got.Header[name])
				}
			}
		}
	}
	for _, name := range []string{"", "nobody", "Optional", "/auth/optional", "optional/", "p/optional"} {
		if got := f.Answer(t.Context(), Question{Policy: name, Method: "GET", Header: byToken(token).Header}); got.Status != 503 {
			t.Errorf("%q: %d", name, got.Status)
		}
	}
	// The URL comes only from the proxy's headers.
	page := http.Header{"Accept": {"text/html"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"app.example"}, "X-Forwarded-Uri": {"/evil"}}
	for url, want := range map[string]string{
		"https://app.example/notes?q=1": "https://id.example/login?return_to=https%3A%2F%2Fapp.example%2Fnotes%3Fq%3D1",
		"https://evil.example/":         "https://id.example/login",
		"":                              "https://id.example/login",
		"://":                           "https://id.example/login",
	} {
		if got := f.Answer(t.Context(), Question{Policy: "pages", Method: "GET", Header: page, URL: url}); got.Status != 302 || got.Header.Get("Location") != want {
			t.Errorf("%q: %d %v", url, got.Status, got.Header)
		}
	}
	bad := &ForwardAuth{Verifier: &session.Verifier{Log: w.v.Log}}
	if got := bad.Answer(t.Context(), Question{Policy: "optional", Method: "GET"}); got.Status != 503 {
		t.Errorf("without a Linker: %d", got.Status)
	}
	rec := httptest.NewRecorder()
	if bad.ServeHTTP(rec, byToken(token)); rec.Code != 503 {
		t.Errorf("without a Linker: %d", rec.Code)
	}
	if names := bad.HeaderNames(); !reflect.DeepEqual(names, allHeaders) {
		t.Error(names)
	}
}
