package notes

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/hooks"
)

func note(body string) url.Values { return url.Values{"body": {body}} }

func TestNotesBelongToTheirUser(t *testing.T) {
	s := newSite(t)
	s.want(s.get("/notes", "ada"), 200, "", "Nothing here yet")
	s.want(s.do("POST", "/notes", "ada", note("Ask Charles.\r\n<b>Soon.</b>")), 303, "/notes")
	s.want(s.get("/notes", "ada"), 200, "", "Ask Charles.\n&lt;b&gt;Soon.&lt;/b&gt;", identity("ada"), `action="/notes/1/delete"`)
	s.want(s.get("/notes", "bob"), 200, "", "Nothing here yet", identity("bob"))

	s.want(s.do("POST", "/notes/1/delete", "bob", url.Values{}), 404, "", "There is nothing here")
	s.want(s.get("/notes", "ada"), 200, "", "Ask Charles.")
	s.want(s.do("POST", "/notes/1/delete", "ada", url.Values{}), 303, "/notes")
	s.want(s.get("/notes", "ada"), 200, "", "Nothing here yet")
	s.want(s.do("POST", "/notes/1/delete", "ada", url.Values{}), 404, "")
	s.want(s.do("POST", "/notes/x/delete", "ada", url.Values{}), 404, "")
}

func TestANoteThatIsRefusedIsNotLost(t *testing.T) {
	s := newSite(t)
	for name, tt := range map[string]struct {
		body, says string
		status     int
	}{
		"empty":          {"", "Write something first.", 422},
		"blank":          {" \r\n\t ", "Write something first.", 422},
		"too long":       {strings.Repeat("ä", maxBody+1), "That is 2001 characters; a note holds at most 2000.", 422},
		"no characters":  {"a\xff", "no characters", 422},
		"far too long":   {strings.Repeat("a", maxForm+1), "That is too long", 413},
		"just fits":      {strings.Repeat("ä", maxBody), "", 303},
		"white is trimm": {"  x  ", "", 303},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			w := s.do("POST", "/notes", "ada", note(tt.body))
			if tt.status == 303 {
				s.want(w, 303, "/notes")
				return
			}
			s.want(w, tt.status, "", tt.says)
			if tt.status == 422 {
				s.want(w, 422, "", `aria-invalid="true"`, `aria-describedby="body-msg"`)
			}
			if name == "too long" {
				s.want(w, 422, "", tt.body)
			}
		})
	}
}

func TestOlderNotes(t *testing.T) {
	s := newSite(t)
	for range pageSize + 2 {
		s.want(s.do("POST", "/notes", "ada", note("x")), 303, "/notes")
	}
	s.want(s.get("/notes", "ada"), 200, "", `href="/notes?before=3"`)
	older := s.get("/notes?before=3", "ada")
	s.want(older, 200, "", `action="/notes/2/delete"`, `action="/notes/1/delete"`, `<a href="/notes">Newest</a>`)
	if strings.Contains(older.Body.String(), "before=") {
		t.Error("there are no older notes, but the page has a link to them")
	}
	s.want(s.get("/notes?before=1", "ada"), 200, "", "That was all.")
	s.want(s.get("/notes?before=-5", "ada"), 200, "", `href="/notes?before=3"`)
}

func TestOtherSitesCannotPost(t *testing.T) {
	s := newSite(t)
	s.want(s.do("POST", "/notes", "ada", note("mine")), 303, "/notes")
	for name, edit := range map[string]func(*http.Request){
		"another site":      func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"another port":      func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"only an Origin":    func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "http://evil.example") },
		"Ory's own origin":  func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", s.ory.URL) },
		"a sandboxed frame": func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "null") },
		"the same host, https": func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Origin", "https://notes.example")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			for _, path := range []string{"/notes", "/notes/1/delete", "/logout"} {
				s.want(s.do("POST", path, "ada", note("theirs"), edit), 403, "", "That came from another site")
			}
		})
	}
	s.t = t
	list := s.get("/notes", "ada")
	s.want(list, 200, "", "mine")
	if strings.Contains(list.Body.String(), "theirs") {
		t.Error("another site wrote a note")
	}
}

func TestWhoMayIn(t *testing.T) {
	s := newSite(t)
	factor := s.ory.URL + "/self-service/login/browser?" + url.Values{"aal": {"aal2"}, "return_to": {"http://notes.example/notes"}}.Encode()
	for who, want := range map[string]struct {
		status   int
		location string
	}{
		"":     {303, "/login?return_to=%2Fnotes"},
		"gone": {303, "/login?return_to=%2Fnotes"},
		"half": {303, factor},
		"sick": {503, ""}, // "don't know" is not a denial
		"ada":  {200, ""},
	} {
		s.want(s.get("/notes", who), want.status, want.location)
	}
}

// TestOryIsDown checks that nobody is let in, nobody is logged out, and pages for
// strangers still work.
func TestOryIsDown(t *testing.T) {
	s := newSite(t)
	s.want(s.get("/notes", "ada"), 200, "")
	s.ory.down = true // its database is down, so it answers 401 to everybody
	for target, who := range map[string]string{"/notes": "gone-1", "/settings": "gone-2", "/login?flow=1": "gone-3"} {
		w := s.get(target, who)
		s.want(w, 503, "", "Sign-in is not reachable", "stays signed in")
		if body := w.Body.String(); w.Header().Get("Retry-After") == "" || strings.Contains(body, ">Log in<") || strings.Contains(body, ">Sign up<") {
			t.Errorf("%s: no Retry-After, or a link to log in:\n%s", target, body)
		}
	}
	s.want(s.get("/login", ""), 503, "", "Sign-in is not reachable") // our page instead of the browser's error page
	s.want(s.get("/", ""), 200, "", `href="/registration"`)
	s.ory.Close()
	s.want(s.get("/notes", "ada-2"), 503, "")
	s.want(s.get("/notes", "ada"), 200, "") // from the cache
	s.want(s.do("POST", "/notes", "ada", note("kept")), 303, "/notes")
	s.want(s.get("/", "ada-2"), 200, "", "Sign-in is not reachable right now", `href="/notes"`)
	s.want(s.get("/error?id=csrf", "ada-2"), 503, "", "Sign-in is not reachable")
	s.want(s.get("/error", ""), 404, "")
	s.want(s.get("/nowhere", "ada-2"), 404, "", "There is nothing here")
	s.want(s.get("/static/style.css", ""), 200, "")
}

func TestEverybodyIsOneOfOurPeople(t *testing.T) {
	s := newSite(t)
	for _, who := range []string{"ada", "ada", "ada-2", "bob"} {
		s.want(s.get("/notes", who), 200, "")
	}
	ada, bob := s.userOf("ada"), s.userOf("bob")
	if ada == "" || bob == "" || ada == bob {
		t.Errorf("ada is %q, bob is %q", ada, bob)
	}
	s.want(s.get("/notes", "ada-2"), 200, "", string(ada))
	var n int
	var email, name string
	err := s.app.DB.QueryRow("select (select count(*) from people), email, name from people where id = $1", ada).Scan(&n, &email, &name)
	if err != nil || n != 2 || email != "ada@example.org" || name != "ada" {
		t.Errorf("%d rows, %q %q %v", n, email, name, err)
	}
}

// TestDenied checks that a person without a user reads why, and can only log out.
func TestDenied(t *testing.T) {
	s := newSite(t)
	s.want(s.get("/notes", "ada"), 200, "")
	s.exec("delete from people")
	s.exec("create trigger closed before insert on people begin select raise(abort, 'no bobs'); end")
	out := func(w *httptest.ResponseRecorder, title string) {
		t.Helper()
		s.want(w, 403, "", "<h1>"+title+"</h1>", `action="/logout"`)
		if body := w.Body.String(); strings.Contains(body, ">Log in<") || strings.Contains(body, "no bobs") {
			t.Errorf("the page has a link to log in, or shows internals:\n%s", body)
		}
	}
	out(s.get("/notes", "ada-2"), "Your account was deleted here")
	out(s.get("/settings", "bob"), "Your account could not be set up")
	s.want(s.get("/", "ada-2"), 200, "", "Sign up") // for a stranger
	w := httptest.NewRecorder()
	s.app.refuse(w, httptest.NewRequest("GET", "/notes", nil), &symbolon.DenyError{Identity: "x", Err: symbolon.ErrOnHold})
	out(w, "Your account is on hold")
	if s.userOf("ada") != "" || s.userOf("bob") != "" {
		t.Error("a denied person got a row")
	}
}

func TestHooks(t *testing.T) {
	s := newSite(t)
	post := func(key string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/hooks/reserve", strings.NewReader(`{"metadata_public":null}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set(hooks.KeyHeader, key)
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		return w
	}
	s.want(post("x"), 404, "")
	secret := symbolon.Secret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e")
	with := &App{DB: s.app.DB, URL: s.app.URL, Ory: s.app.Ory, Hooks: true, Log: s.app.Log}
	if _, err := with.Handler(); err == nil {
		t.Error("a hook was accepted without a key")
	}
	with.Secrets = []symbolon.Secret{secret}
	var err error
	if s.handler, err = with.Handler(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = with.Close(t.Context()) })
	s.want(post("x"), 401, "")
	s.want(post(hooks.DeriveKeys(with.Secrets).Reserve[0]), 200, "", `"metadata_public":{"id":"`)
}

func TestHeaders(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{"/", "/notes", "/nowhere", "/error"} {
		h := s.get(path, "ada").Header()
		csp := h.Get("Content-Security-Policy")
		for _, need := range []string{"default-src 'self'", "form-action 'self' " + s.ory.URL, "frame-ancestors 'none'", "img-src 'self' data:"} {
			if !strings.Contains(csp, need) {
				t.Errorf("%s: %q is missing in %q", path, need, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "script-src") || h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, h)
		}
	}
	css := s.get("/static/style.css?v="+s.app.style, "")
	s.want(css, 200, "", "prefers-color-scheme: dark")
	if !strings.Contains(css.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("the style sheet is not cached: %v", css.Header())
	}
	s.want(s.get("/static/", ""), 404, "")
	s.want(s.get("/static/flowui.js", ""), 200, "", "data-ory-click")
}

func TestNoSecretsInTheLog(t *testing.T) {
	s := newSite(t)
	s.get("/login?flow=flow-id-secret", "")
	s.get("/error?id=csrf", "session-secret")
	s.do("POST", "/logout", "session-secret", url.Values{})
	s.do("POST", "/notes", "ada", note("body-secret"))
	if log := s.log.String(); log == "" || strings.Contains(log, "secret") || strings.Contains(log, cookie("session-secret").Value) {
		t.Errorf("the log says:\n%s", s.log)
	}
}

func TestOpenTwice(t *testing.T) {
	path := t.TempDir() + "/notes.db"
	for range 2 {
		db, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		db.Close()
	}
	if _, err := Open(t.Context(), t.TempDir()); err == nil {
		t.Error("Open accepted a folder")
	}
}

func TestHandlerNamesEveryFault(t *testing.T) {
	_, err := (&App{URL: "notes.example", Ory: "ftp://ory"}).Handler()
	for _, field := range []string{"DB", "URL", "Ory"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("the error does not name %s: %v", field, err)
		}
	}
}
