package notes

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
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
		t.Error("there are no older notes, yet it leads to some")
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
		"sick": {503, ""}, // "don't know" is neither yes nor no
		"ada":  {200, ""},
	} {
		s.want(s.get("/notes", who), want.status, want.location)
	}
	s.ory.Close()
	w := s.get("/notes", "ada")
	s.want(w, 503, "", "Sign-in is not reachable")
	if w.Header().Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	s.want(s.get("/", "ada"), 200, "", "Sign up") // what needs nobody still works
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
	if s.log.Len() == 0 || strings.Contains(s.log.String(), "secret") {
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
		t.Error("a folder was opened as a database")
	}
}

func TestHandlerNamesEveryFault(t *testing.T) {
	_, err := (&App{URL: "notes.example", Ory: "ftp://ory"}).Handler()
	for _, field := range []string{"DB", "URL", "Ory"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not named in: %v", field, err)
		}
	}
}
