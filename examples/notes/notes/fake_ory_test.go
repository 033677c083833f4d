package notes

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
)

// fakeOry answers the questions of the application as Kratos v1.3.1 does. The value of the session cookie is the person's name in base64.
// "half" lacks the second factor, "sick" gets a failure of Ory, and "gone" was revoked. A suffix after a dash distinguishes sessions of
// one person.
type fakeOry struct {
	*httptest.Server
	mu      sync.Mutex
	cookies []string // of the last request
	flow    int      // status of every flow; 200: sends flowFile
	file    string
	errID   string // error.id beside a status that is not 200
	down    bool   // Ory's database is down
	revoked string // the name whose session was revoked
}

func newFakeOry(t *testing.T) *fakeOry {
	t.Helper()
	f := &fakeOry{flow: http.StatusOK, file: "login"}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sessions/whoami", f.whoami)
	mux.HandleFunc("GET /health/ready", f.ready)
	mux.HandleFunc("GET /self-service/{kind}/flows", f.flows)
	mux.HandleFunc("GET /self-service/errors", f.problems)
	mux.HandleFunc("GET /self-service/logout/browser", f.logout)
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeOry) set(flow int, file, errID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flow, f.file, f.errID = flow, file, errID
}

func (f *fakeOry) revoke(who string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revoked = who
}

func (f *fakeOry) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cookies
}

// identity makes a UUID from a name.
func identity(name string) string {
	return fmt.Sprintf("00000000-0000-4000-8000-%012x", name[:min(6, len(name))])
}

// cookie returns a person's session cookie, in Ory's form.
func cookie(who string) *http.Cookie {
	return &http.Cookie{Name: "ory_kratos_session", Value: base64.URLEncoding.EncodeToString([]byte(who))}
}

func (f *fakeOry) whoami(w http.ResponseWriter, r *http.Request) {
	who := []byte("gone")
	if c, err := r.Cookie("ory_kratos_session"); err == nil {
		who, _ = base64.URLEncoding.DecodeString(c.Value)
	}
	f.mu.Lock()
	if string(who) == f.revoked {
		who = []byte("gone")
	}
	f.mu.Unlock()
	switch name, _, _ := strings.Cut(string(who), "-"); name {
	case "gone":
		answer(w, 401, `{"error":{"code":401,"status":"Unauthorized","reason":"No valid session credentials found in the request.","message":"The request could not be authorized"}}`)
	case "half":
		answer(w, 403, `{"error":{"id":"session_aal2_required","code":403,"status":"Forbidden"},"redirect_browser_to":"http://elsewhere.example/"}`)
	case "sick":
		answer(w, 500, `{"error":{"code":500,"status":"Internal Server Error"}}`)
	default:
		now := time.Now().UTC()
		answer(w, 200, fmt.Sprintf(`{"id":"00000000-0000-4000-8000-00000000000a","active":true,"authenticator_assurance_level":"aal1",
			"authenticated_at":%q,"expires_at":%q,"identity":{"id":%q,"schema_id":"person","state":"active","created_at":%q,
			"traits":{"email":"%s@example.org","name":{"first":%q}},"metadata_public":null}}`,
			now.Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339), identity(name), now.Format(time.RFC3339), name, name))
	}
}

func (f *fakeOry) ready(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		answer(w, 503, `{"error":{"code":503,"status":"Service Unavailable"}}`)
		return
	}
	answer(w, 200, `{"status":"ok"}`)
}

func (f *fakeOry) flows(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cookies = nil
	for _, c := range r.Cookies() {
		f.cookies = append(f.cookies, c.Name)
	}
	if f.flow != http.StatusOK {
		answer(w, f.flow, fmt.Sprintf(`{"error":{"id":%q,"code":%d}}`, f.errID, f.flow))
		return
	}
	raw, err := os.ReadFile(filepath.Join("..", "flowui", "testdata", f.file+".json"))
	if err != nil {
		answer(w, 500, err.Error())
		return
	}
	answer(w, 200, string(raw))
}

func (f *fakeOry) problems(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Query().Get("id") {
	case "csrf":
		answer(w, 200, `{"id":"csrf","error":{"id":"security_csrf_violation","code":403,"status":"Forbidden","reason":"Please retry the flow."}}`)
	case "odd":
		answer(w, 200, `{"id":"odd","error":{"code":9,"status":"Odd","message":"<script>alert(1)</script>"}}`)
	default:
		answer(w, 404, `{"error":{"code":404,"status":"Not Found"}}`)
	}
}

func (f *fakeOry) logout(w http.ResponseWriter, r *http.Request) {
	if _, err := r.Cookie("ory_kratos_session"); err != nil {
		answer(w, 401, `{"error":{"code":401}}`)
		return
	}
	answer(w, 200, fmt.Sprintf(`{"logout_url":"%s/self-service/logout?token=t","logout_token":"t"}`, f.URL))
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, body)
}

// site is the tested application with its fake Ory.
type site struct {
	t       *testing.T
	app     *App
	ory     *fakeOry
	handler http.Handler
	log     *strings.Builder
}

func newSite(t *testing.T) *site {
	t.Helper()
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "notes ?#.db")) // a path with special characters
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s := &site{t: t, ory: newFakeOry(t), log: &strings.Builder{}}
	s.app = &App{DB: db, URL: "http://notes.example", Ory: s.ory.URL, Log: slog.New(slog.NewTextHandler(s.log, nil))}
	if s.handler, err = s.app.Handler(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.app.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// userOf returns the ID in the row that names a person's identity, or "" without a row.
func (s *site) userOf(name string) (id symbolon.UserID) {
	s.t.Helper()
	err := s.app.DB.QueryRowContext(s.t.Context(), "select id from people where ory_identity_id = $1", identity(name)).Scan(&id)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		s.t.Fatal(err)
	}
	return id
}

func (s *site) exec(query string, args ...any) {
	s.t.Helper()
	if _, err := s.app.DB.ExecContext(s.t.Context(), query, args...); err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
}

// do sends one request as a browser does, with the session of who. An empty who has no session.
func (s *site) do(method, target, who string, form url.Values, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	s.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequestWithContext(s.t.Context(), method, "http://notes.example"+target, body)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.AddCookie(&http.Cookie{Name: "csrf_token_abc", Value: "x"})
	r.AddCookie(&http.Cookie{Name: "other_app", Value: "secret"})
	if who != "" {
		r.AddCookie(cookie(who))
	}
	for _, e := range edit {
		e(r)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

func (s *site) get(target, who string) *httptest.ResponseRecorder {
	return s.do("GET", target, who, nil)
}

// want checks status, Location ("" if none is expected) and that each text is in the page.
func (s *site) want(w *httptest.ResponseRecorder, status int, location string, texts ...string) {
	s.t.Helper()
	if w.Code != status {
		s.t.Errorf("status %d, want %d", w.Code, status)
	}
	if got := w.Header().Get("Location"); got != location {
		s.t.Errorf("the redirect leads to %q, want %q", got, location)
	}
	for _, text := range texts {
		if !strings.Contains(w.Body.String(), text) {
			s.t.Errorf("%q is missing in:\n%s", text, w.Body)
		}
	}
}
