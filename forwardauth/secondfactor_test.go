package forwardauth

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// TestSecondFactor checks that Ory's own address for the second factor is in Location and
// in the body, if it is a plain address. A denial by a policy has no address.
func TestSecondFactor(t *testing.T) {
	const good = "https://ory.example/self-service/login/browser?aal=aal2"
	for redirect, want := range map[string]string{good: good, "javascript:alert(1)": "", "https://x/?t=ory_st_secret": ""} {
		w := newWorld(t)
		w.Lie("", fakeory.Says(403, "application/json",
			`{"error":{"id":"session_aal2_required","code":403,"status":"Forbidden"},"redirect_browser_to":"`+redirect+`"}`))
		rec := httptest.NewRecorder()
		(&ForwardAuth{Verifier: w.v}).ServeHTTP(rec, byToken("ory_st_secret"))
		if rec.Code != 403 || rec.Header().Get("Location") != want || strings.Contains(rec.Body.String(), "redirect_browser_to") != (want != "") ||
			!strings.Contains(rec.Body.String(), `"code":"aal2_required"`) {
			t.Errorf("%s: %d %v %s", redirect, rec.Code, rec.Header(), rec.Body)
		}
		r := byToken("ory_st_secret")
		r.URL.Path = "/auth/optional"
		rec = httptest.NewRecorder()
		if (&ForwardAuth{Verifier: w.v}).ServeHTTP(rec, r); rec.Code != 200 || rec.Header().Get("Location") != "" {
			t.Errorf("optional: %d %v", rec.Code, rec.Header())
		}
	}
	w := newWorld(t)
	token, _ := w.person(1)
	r := byToken(token)
	r.URL.Path = "/auth/aal2"
	rec := httptest.NewRecorder()
	if (&ForwardAuth{Verifier: w.v}).ServeHTTP(rec, r); rec.Code != 403 || rec.Header().Get("Location") != "" {
		t.Errorf("a policy: %d %v", rec.Code, rec.Header())
	}
}

// TestCanaries checks that no answer and no log has a credential.
func TestCanaries(t *testing.T) {
	w := newWorld(t)
	var said strings.Builder
	repair := w.Break(fakeory.DatabaseDown{})
	for range 2 {
		for _, header := range [][]string{{"X-Session-Token", "ory_st_canary1"}, {"Authorization", "Bearer ory_st_canary2"},
			{"Cookie", "ory_kratos_session=canary12"}, {"X-Session-Token", "bad canary"}, {"Cookie", `ory_kratos_session="canary"`}} {
			for _, path := range []string{"/auth", "/auth/optional", "/x"} {
				r, rec := request(header...), httptest.NewRecorder()
				r.URL.Path = path
				(&ForwardAuth{Verifier: w.v}).ServeHTTP(rec, r)
				fmt.Fprint(&said, rec.Header(), rec.Body)
			}
		}
		repair()
	}
	for where, text := range map[string]string{"answers": said.String(), "log": w.log.String()} {
		if strings.Contains(text, "canary") {
			t.Errorf("the %s have a credential: %s", where, text)
		}
	}
	if !strings.Contains(w.log.String(), "503") {
		t.Errorf("nothing was logged: %s", w.log)
	}
}
