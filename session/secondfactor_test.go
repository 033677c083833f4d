package session

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestSecondFactor checks that Ory's address for the second factor is passed on if it is
// a plain address.
func TestSecondFactor(t *testing.T) {
	const good = "https://ory.example/self-service/login/browser?aal=aal2"
	for body, want := range map[string]string{
		`"redirect_browser_to":"` + good + `"`:                                good,
		`"redirect_browser_to":"http://127.0.0.1:4433/x"`:                     "http://127.0.0.1:4433/x",
		`"redirect_browser_to":"javascript:alert(1)"`:                         "",
		`"redirect_browser_to":"//evil.example/"`:                             "",
		`"redirect_browser_to":"https://a@evil.example/"`:                     "",
		`"redirect_browser_to":"https://x/\r\nSet-Cookie: a=b"`:               "",
		`"redirect_browser_to":"https://x\\@evil.example/"`:                   "",
		`"redirect_browser_to":"https://x/?t=ory_st_secret"`:                  "", // has a credential
		`"redirect_browser_to":"https://x/` + strings.Repeat("a", 3000) + `"`: "",
		`"redirect_browser_to":7`:                                             "",
		`"redirect_browser_to":null`:                                          "",
		`"other":1`:                                                           "",
	} {
		w := newWorld(t)
		w.answer = func(*http.Request) *http.Response {
			return response(403, `{"error":{"id":"session_aal2_required","code":403,"status":"Forbidden"},`+body+`}`)
		}
		_, err := w.v.Authenticate(byToken("ory_st_secret"))
		if !errors.Is(err, ErrAAL2Required) || !Denied(err) || SecondFactorURL(err) != want {
			t.Errorf("%.60s: %v, %q", body, err, SecondFactorURL(err))
		}
		rec := httptest.NewRecorder()
		w.v.Require(whoIsHandler).ServeHTTP(rec, byToken("ory_st_secret"))
		if rec.Code != 403 || strings.Contains(rec.Body.String(), "redirect_browser_to") != (want != "") || !strings.Contains(rec.Body.String(), `"code":"aal2_required"`) {
			t.Errorf("%.60s: %d %v %s", body, rec.Code, rec.Header(), rec.Body)
		}
	}
	if SecondFactorURL(ErrAAL2Required) != "" || SecondFactorURL(nil) != "" {
		t.Error("a policy's denial has an address")
	}
}
