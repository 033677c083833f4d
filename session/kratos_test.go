package session_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
	"github.com/symbolon-id/symbolon/symbolontest"
)

const (
	password = "correct horse battery"
	maxStale = 300 * time.Millisecond
)

// site is an application with a real Kratos and a real store.
type site struct {
	*symbolontest.Kratos
	db *sql.DB
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{Kratos: symbolontest.StartKratos(t, symbolontest.KratosConfig{Dir: t.TempDir()})}
	s.db = open(t, sqlstore.SQLiteDSN(filepath.Join(t.TempDir(), "symbolon.db")))
	if err := migrate.Up(t.Context(), s.db, sqlstore.SQLite); err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// app is one process of the application.
type app struct {
	http.Handler
	v *session.Verifier
}

func (s *site) start(t *testing.T, admin bool) app {
	t.Helper()
	client := &ory.Client{PublicURL: s.PublicURL}
	if admin {
		client.AdminURL = s.AdminURL
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	// There is no PATCH, because in an identity's first minute it can undo a concurrent
	// ban.
	linker := &link.Linker{Ory: client, Store: &sqlstore.Store{DB: s.db, Dialect: sqlstore.SQLite}, Log: log,
		BackReference: link.BackReference{Write: link.WriteNone}}
	v := &session.Verifier{Linker: linker, MaxStale: maxStale, Log: log}
	t.Cleanup(client.CloseIdleConnections)
	t.Cleanup(func() { _ = linker.Close(context.Background()) })
	t.Cleanup(v.Close)
	return app{v.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, _ := symbolon.UserFrom(r.Context())
		_, _ = io.WriteString(w, string(u.ID))
	})), v}
}

func (a app) get(header, value string) (int, string) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set(header, value)
	rec := httptest.NewRecorder()
	a.ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

// sure is get, repeated while the answer is "don't know". On a busy machine an answer can
// arrive too late.
func (a app) sure(header, value string) (status int, said string) {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if status, said = a.get(header, value); status != 503 || time.Since(began) > time.Minute {
			return status, said
		}
	}
}

func (a app) expect(t *testing.T, token string, status int) {
	t.Helper()
	ask := a.sure
	if status == 503 {
		ask = a.get
	}
	if got, said := ask("X-Session-Token", token); got != status {
		t.Errorf("got %d %s, want %d", got, said, status)
	}
}

func (s *site) register(t *testing.T, n int) *symbolontest.Person {
	t.Helper()
	p, err := s.Register(t.Context(), fmt.Sprintf("p%d@x.example", n), password, "P")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestFirstRequestLinks has no hooks and no admin URL. Session token, Bearer token and
// cookie have the same user.
func TestFirstRequestLinks(t *testing.T) {
	s := newSite(t)
	a := s.start(t, false)
	p := s.register(t, 1)
	status, user := a.sure("X-Session-Token", p.Token)
	if status != 200 || user == "" {
		t.Fatalf("%d %s", status, user)
	}
	cookie, err := s.LoginBrowser(t.Context(), p.Email, password)
	if err != nil {
		t.Fatal(err)
	}
	for header, value := range map[string]string{"Authorization": "Bearer " + p.Token, "Cookie": "a=b; ory_kratos_session=" + cookie.Value} {
		if status, again := a.sure(header, value); status != 200 || again != user {
			t.Errorf("%s: %d %s, want %s", header, status, again, user)
		}
	}
	var rows int
	if err := s.db.QueryRowContext(t.Context(), `select count(*) from symbolon_users where ory_identity_id = $1 and id = $2`, p.IdentityID, user).Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
	a.expect(t, "ory_st_junk", 401)
}

// TestEndsOfSessions checks that every end of a session is noticed within MaxStale and
// answered with 401.
func TestEndsOfSessions(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	admin := &ory.Client{PublicURL: s.PublicURL, AdminURL: s.AdminURL}
	t.Cleanup(admin.CloseIdleConnections)
	ends := map[string]func(*symbolontest.Person) error{
		"logout":  func(p *symbolontest.Person) error { return s.Logout(ctx, p.Token) },
		"revoked": func(p *symbolontest.Person) error { return admin.RevokeSession(ctx, p.SessionID) },
		"all": func(p *symbolontest.Person) error {
			return admin.RevokeSessions(ctx, symbolon.IdentityID(p.IdentityID))
		},
		"deleted": func(p *symbolontest.Person) error { return s.DeleteIdentity(ctx, p.IdentityID) },
		"inactive": func(p *symbolontest.Person) error {
			return s.PatchIdentity(ctx, p.IdentityID, replaceState("inactive"))
		},
	}
	n := 0
	for name, end := range ends {
		for _, withAdmin := range []bool{true, false} {
			n++
			p := s.register(t, n)
			a := s.start(t, withAdmin)
			a.expect(t, p.Token, 200)
			if err := end(p); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			time.Sleep(maxStale)
			a.expect(t, p.Token, 401)
			s.start(t, withAdmin).expect(t, p.Token, 401) // a process that has not seen the session
		}
	}
}

// TestRowDeleted deletes a row without Forget. The user is let in for MaxStale at most,
// and then gets the reason.
func TestRowDeleted(t *testing.T) {
	s := newSite(t)
	p := s.register(t, 1)
	a := s.start(t, true)
	a.expect(t, p.Token, 200)
	if _, err := s.db.ExecContext(t.Context(), `delete from symbolon_users where ory_identity_id = $1`, p.IdentityID); err != nil {
		t.Fatal(err)
	}
	time.Sleep(maxStale)
	a.expect(t, p.Token, 403)
}

func replaceState(state string) any {
	return []map[string]string{{"op": "replace", "path": "/state", "value": state}}
}

// TestKratosOutages stops Kratos, or breaks a table so that Kratos answers 401 to a valid
// session. Nobody is logged out.
func TestKratosOutages(t *testing.T) {
	s := newSite(t)
	p := s.register(t, 1)
	a, cold := s.start(t, true), s.start(t, true)
	a.expect(t, p.Token, 200)
	data := open(t, "file:"+filepath.Join(filepath.Dir(s.ConfigFile), "kratos.sqlite")+"?_pragma=busy_timeout(60000)")
	rename := func(from, to string) {
		t.Helper()
		if _, err := data.ExecContext(t.Context(), "alter table "+from+" rename to "+to); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"sessions", "session_devices", "identities"} {
		rename(table, "broken_away")
		if _, status, err := s.Whoami(t.Context(), p.Token); err != nil || status == 200 {
			t.Errorf("%s: whoami answers %d, %v, but this test needs an outage", table, status, err)
		}
		time.Sleep(maxStale)
		a.expect(t, p.Token, 503)
		if table == "sessions" { // without session_devices the probe cannot find the fault, as documented
			cold.expect(t, p.Token, 503)
		}
		rename("broken_away", table)
		a.expect(t, p.Token, 200)
	}
	s.Stop()
	time.Sleep(maxStale)
	a.expect(t, p.Token, 503)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.expect(t, p.Token, 200)
	cold.expect(t, p.Token, 200)
}
