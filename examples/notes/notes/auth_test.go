package notes

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestAFlowBeginsAtOry(t *testing.T) {
	s := newSite(t)
	for target, want := range map[string]string{
		"/login":                                  "/self-service/login/browser?return_to=http://notes.example/notes",
		"/login?return_to=/settings":              "/self-service/login/browser?return_to=http://notes.example/settings",
		"/login?aal=aal2":                         "/self-service/login/browser?aal=aal2&return_to=http://notes.example/notes",
		"/login?aal=aal9&refresh=1":               "/self-service/login/browser?return_to=http://notes.example/notes",
		"/login?refresh=true":                     "/self-service/login/browser?refresh=true&return_to=http://notes.example/notes",
		"/registration":                           "/self-service/registration/browser?return_to=http://notes.example/notes",
		"/registration?return_to=https://evil.ex": "/self-service/registration/browser?return_to=http://notes.example/notes",
		"/recovery":                               "/self-service/recovery/browser?return_to=http://notes.example/notes",
		"/verification":                           "/self-service/verification/browser?return_to=http://notes.example/notes",
	} {
		w := s.get(target, "")
		got, err := url.QueryUnescape(w.Header().Get("Location"))
		if w.Code != 303 || err != nil || got != s.ory.URL+want {
			t.Errorf("%s leads to %d %s, want %s", target, w.Code, got, want)
		}
	}
	s.want(s.get("/settings", "ada"), 303, s.ory.URL+"/self-service/settings/browser")
	s.want(s.get("/settings", ""), 303, "/login?return_to=%2Fsettings")
}

func TestReturnToStaysHere(t *testing.T) {
	a := &App{URL: "http://notes.example"}
	for path, want := range map[string]string{
		"/settings": "/settings", "/notes?before=3": "/notes?before=3", "http://notes.example/settings": "/settings",
		"": "/notes", "//evil.example": "/notes", `/\evil.example`: "/notes", "https://evil.example/": "/notes", "notes": "/notes",
		"http://notes.example.evil.example/": "/notes", "javascript:alert(1)": "/notes", "/a\nb": "/notes", "http://notes.example//evil.example": "/notes",
	} {
		if got := a.returnTo(path); got != "http://notes.example"+want {
			t.Errorf("%q becomes %q, want %q", path, got, want)
		}
	}
}

func TestAFlowIsShown(t *testing.T) {
	s := newSite(t)
	for file, tt := range map[string]struct {
		target, who string
		texts       []string
	}{
		"login":                       {"/login?flow=1", "", []string{"<h1>Log in</h1>", ">Log in</button>", `name="identifier"`, `action="http://127.0.0.1:4433/self-service/login?flow=`}},
		"login_second_factor":         {"/login?flow=1", "half", []string{"<h1>One more step</h1>", `name="totp_code"`, `action="/logout"`}},
		"login_refresh":               {"/login?flow=1", "ada", []string{"<h1>Is it you?</h1>", ">Confirm</button>"}},
		"registration_errors":         {"/registration?flow=1", "", []string{"<h1>Sign up</h1>", "Please fill this in."}},
		"registration_short_password": {"/registration?flow=1", "", []string{"The password must be at least 8 characters long"}},
		"registration_duplicate":      {"/registration?flow=1", "", []string{`aria-invalid="true" aria-describedby="ory-1-msg"`, "There is an account with this email already."}},
		"registration_all_fields":     {"/registration?flow=1", "", []string{"Use 18 or more."}},
		"settings":                    {"/settings?flow=1", "ada", []string{"<h1>Your profile</h1>", `src="data:image/png;base64,`, identity("ada"), "Two halves of you"}},
		"settings_saved":              {"/settings?flow=1", "ada", []string{"Your changes have been saved!"}},
		"settings_backup_codes":       {"/settings?flow=1", "ada", []string{`<li class="code-used">used</li>`}},
		"recovery_sent":               {"/recovery?flow=1", "", []string{"Back into your account", "Resend code"}},
		"verification_done":           {"/verification?flow=1", "ada", []string{"Confirm your email", "Continue"}},
	} {
		t.Run(file, func(t *testing.T) {
			s.t = t
			s.ory.set(200, file, "")
			s.want(s.get(tt.target, tt.who), 200, "", tt.texts...)
		})
	}
}

func TestOnlyOrysCookiesGoToOry(t *testing.T) {
	s := newSite(t)
	s.want(s.do("GET", "/login?flow=1", "gone", nil, func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }), 200, "")
	if got := s.ory.seen(); !slices.Equal(got, []string{"csrf_token_abc", "ory_kratos_session"}) {
		t.Errorf("Ory was sent the cookies %v", got)
	}
}

func TestSignedInPeopleNeedNoLogin(t *testing.T) {
	s := newSite(t)
	s.ory.set(200, "login", "")
	s.want(s.get("/login?flow=1", "ada"), 303, "/notes")
	s.ory.set(200, "registration", "")
	s.want(s.get("/registration?flow=1", "ada"), 303, "/notes")
	s.want(s.get("/", "ada"), 303, "/notes")
}

func TestAFlowThatIsOverStartsAgain(t *testing.T) {
	s := newSite(t)
	again := s.ory.URL + "/self-service/login/browser?" + url.Values{"return_to": {"http://notes.example/notes"}}.Encode()
	for _, status := range []int{400, 401, 403, 404, 410, 422} {
		s.ory.set(status, "", "some_id")
		s.want(s.get("/login?flow=1", ""), 303, again)
	}
	s.ory.set(403, "", "session_aal2_required")
	s.want(s.get("/recovery?flow=1", ""), 303,
		s.ory.URL+"/self-service/login/browser?"+url.Values{"aal": {"aal2"}, "return_to": {"http://notes.example/recovery"}}.Encode())
	s.ory.set(500, "", "")
	s.want(s.get("/login?flow=1", ""), 503, "", "Sign-in is not reachable", `href="/login"`)
	s.ory.set(200, "../flowui", "")
	s.want(s.get("/login?flow=1", ""), 503, "")
}

func TestNobodyGoesRoundInCircles(t *testing.T) {
	s := newSite(t)
	s.ory.set(403, "", "security_csrf_violation")
	jar := ""
	visit := func() *http.Response {
		w := s.do("GET", "/login?flow=1", "", nil, func(r *http.Request) {
			if jar != "" {
				r.AddCookie(&http.Cookie{Name: restartCookie, Value: jar})
			}
		})
		for _, c := range w.Result().Cookies() {
			jar = c.Value
		}
		return w.Result()
	}
	for range 3 {
		if res := visit(); res.StatusCode != 303 {
			t.Fatalf("status %d, want a new start", res.StatusCode)
		}
	}
	if res := visit(); res.StatusCode != 502 {
		t.Errorf("status %d after three starts, want 502 and an explanation", res.StatusCode)
	}
	s.ory.set(200, "login", "")
	visit()
	if jar != "" {
		t.Error("a page that works does not clear the count")
	}
	w := s.do("GET", "/login?flow=1", "", nil, func(r *http.Request) { r.Header.Del("Cookie") })
	s.want(w, 400, "", "Cookies are needed to sign in")
}

func TestPasskeysLoosenThePolicyOfTheirPageOnly(t *testing.T) {
	s := newSite(t)
	s.ory.set(200, "login_many_methods", "")
	w := s.get("/login?flow=1", "")
	s.want(w, 200, "", `<script src="/static/flowui.js" defer>`, "/.well-known/ory/webauthn.js", `data-ory-click="oryPasskeyLogin" hidden`)
	if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self' "+s.ory.URL) {
		t.Error(csp)
	}
	s.ory.set(200, "login", "")
	if w := s.get("/login?flow=1", ""); strings.Contains(w.Body.String(), "<script") {
		t.Error("a script on a page that needs none")
	}
}

func TestLogout(t *testing.T) {
	s := newSite(t)
	s.want(s.do("POST", "/logout", "ada", url.Values{}), 303, s.ory.URL+"/self-service/logout?token=t")
	s.want(s.do("POST", "/logout", "", url.Values{}), 303, "/")
	s.want(s.get("/logout", "ada"), 404, "")
	s.ory.Close()
	s.want(s.do("POST", "/logout", "ada", url.Values{}), 503, "")
}

// TestLogoutIsFelt checks that a cached answer lets nobody in after a logout.
func TestLogoutIsFelt(t *testing.T) {
	s := newSite(t)
	s.want(s.get("/notes", "ada"), 200, "")
	s.ory.revoke("ada")
	s.want(s.get("/notes", "ada"), 200, "") // Ory's answer is used for ten seconds
	s.want(s.do("POST", "/logout", "ada", url.Values{}), 303, s.ory.URL+"/self-service/logout?token=t")
	s.want(s.get("/notes", "ada"), 303, "/login?return_to=%2Fnotes")
}

func TestOrysErrorsAreReadable(t *testing.T) {
	s := newSite(t)
	s.want(s.get("/error?id=csrf", ""), 403, "", "That form was out of date", "Please retry the flow.", `href="/login"`)
	s.want(s.get("/error?id=odd", ""), 500, "", "&lt;script&gt;alert(1)")
	s.want(s.get("/error?id=none", ""), 404, "", "This error is gone")
	s.want(s.get("/error", ""), 404, "")
}
