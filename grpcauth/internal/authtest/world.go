// Package authtest is the test environment for the interceptors and the server for Envoy:
// an Ory, an application with a database, a verifier, and the net/http middleware. The
// tests compare the answers of the interceptors and the server with the answers of the
// middleware.
package authtest

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/migrated"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

const password = "correct horse battery"

// Site is an Ory where people can sign up, fake or real.
type Site interface {
	Register(ctx context.Context, email, password, name string) (*symbolontest.Person, error)
	LoginBrowser(ctx context.Context, email, password string) (*http.Cookie, error)
	Logout(ctx context.Context, token string) error
}

// World is an application with its Ory.
type World struct {
	Site
	Fake   *fakeory.Ory // nil: Site is a real Kratos
	Auth   *session.Verifier
	Linker *link.Linker
	DB     *sql.DB

	t      testing.TB
	people atomic.Int64
}

// New starts a world with a fake Ory. configure is called before the verifier is used.
func New(t testing.TB, configure func(*session.Verifier)) *World {
	t.Helper()
	o := fakeory.Start(t, fakeory.Config{})
	w := start(t, o.PublicURL, o.AdminURL, configure)
	w.Site, w.Fake = o, o
	return w
}

// Real starts a world with a real Kratos.
func Real(t testing.TB, configure func(*session.Verifier)) *World {
	t.Helper()
	k := symbolontest.StartKratos(t, symbolontest.KratosConfig{Dir: t.TempDir()})
	w := start(t, k.PublicURL, k.AdminURL, configure)
	w.Site = k
	return w
}

func start(t testing.TB, public, admin string, configure func(*session.Verifier)) *World {
	t.Helper()
	db, err := sql.Open("sqlite", migrated.SQLite(t, filepath.Join(t.TempDir(), "app.db")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	client := &ory.Client{PublicURL: public, AdminURL: admin}
	quiet := slog.New(slog.DiscardHandler)
	w := &World{DB: db, t: t}
	w.Linker = &link.Linker{Ory: client, Store: &sqlstore.Store{DB: db, Dialect: sqlstore.SQLite,
		Users: sqlstore.Users{Deny: map[string]string{Suspended: "name = 'suspended'"}}}, Log: quiet}
	w.Auth = &session.Verifier{Linker: w.Linker, Log: quiet}
	if configure != nil {
		configure(w.Auth)
	}
	t.Cleanup(func() {
		w.Auth.Close()
		_ = w.Linker.Close(context.Background())
		client.CloseIdleConnections()
	})
	return w
}

// Person is somebody who has signed up, and has also signed in with a browser.
type Person struct {
	*symbolontest.Person
	Cookie string
	User   symbolon.UserID // only set by [World.User]
}

// Person signs somebody up.
func (w *World) Person() *Person {
	w.t.Helper()
	email := fmt.Sprintf("p%d@example.com", w.people.Add(1))
	p, err := w.Register(w.t.Context(), email, password, "P")
	if err != nil {
		w.t.Fatal(err)
	}
	cookie, err := w.LoginBrowser(w.t.Context(), email, password)
	if err != nil {
		w.t.Fatal(err)
	}
	return &Person{Person: p, Cookie: cookie.Value}
}

// User signs somebody up, and makes the person's user by a first request.
func (w *World) User() *Person {
	w.t.Helper()
	p := w.Person()
	who, err := w.Auth.Verify(w.t.Context(), ory.Credential{Kind: ory.SessionToken, Value: p.Token})
	if err != nil {
		w.t.Fatal(err)
	}
	p.User = who.User.ID
	return p
}

// ByToken is a header with the person's session token.
func (p *Person) ByToken() http.Header { return http.Header{"X-Session-Token": {p.Token}} }

// Forget deletes the person's user.
func (w *World) Forget(p *Person) {
	w.t.Helper()
	if err := w.Linker.Forget(w.t.Context(), w.DB, p.User); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.DB.ExecContext(w.t.Context(), "delete from symbolon_users where id = $1", string(p.User)); err != nil {
		w.t.Fatal(err)
	}
	w.Auth.Purge(symbolon.IdentityID(p.IdentityID))
}

// Suspended is the code with which the application denies the persons of Suspend.
const Suspended = "user_suspended"

// Suspend makes the application deny the person's user.
func (w *World) Suspend(p *Person) {
	w.t.Helper()
	if _, err := w.DB.ExecContext(w.t.Context(), "update symbolon_users set name = 'suspended' where id = $1", string(p.User)); err != nil {
		w.t.Fatal(err)
	}
	w.Auth.Purge(symbolon.IdentityID(p.IdentityID))
}

// HTTP asks the middleware. It returns 200 and the user, or the status and the code.
func (w *World) HTTP(h http.Header, policies ...session.Policy) (status int, said string) {
	return Ask(w.t, w.Auth.RequireWith(policies...)(http.HandlerFunc(Whoami)), h)
}

// Whoami answers with the request's user.
func Whoami(w http.ResponseWriter, r *http.Request) {
	u, _ := symbolon.UserFrom(r.Context())
	_, _ = io.WriteString(w, string(u.ID))
}

// Ask sends a request to a handler.
func Ask(t testing.TB, handler http.Handler, h http.Header) (status int, said string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.Header = h.Clone()
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, r)
	if rec.Code == http.StatusOK {
		return rec.Code, rec.Body.String()
	}
	var e struct{ Error struct{ Code string } }
	if err := json.Unmarshal(rec.Body.Bytes(), &e); err != nil {
		t.Errorf("%d without the error shape: %s", rec.Code, rec.Body)
	}
	return rec.Code, e.Error.Code
}

// Until waits until ok returns true.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came true: %s", what)
		}
	}
}
