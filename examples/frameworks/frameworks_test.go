package frameworks

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/gofiber/fiber/v3"
	_ "modernc.org/sqlite"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
	"github.com/symbolon-id/symbolon/symbolontest"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// serve starts an application on the loopback interface.
var serve = map[string]func(t *testing.T, a App) (url string){
	"chi":     func(t *testing.T, a App) string { return netHTTP(t, Chi(a)) },
	"gorilla": func(t *testing.T, a App) string { return netHTTP(t, Gorilla(a)) },
	"echo":    func(t *testing.T, a App) string { return netHTTP(t, Echo(a)) },
	"gin": func(t *testing.T, a App) string {
		gin.SetMode(gin.ReleaseMode)
		return netHTTP(t, Gin(a))
	},
	"fiber": func(t *testing.T, a App) string { // on fasthttp, as in production
		app := Fiber(a)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- app.Listener(l, fiber.ListenConfig{DisableStartupMessage: true}) }()
		t.Cleanup(func() {
			_ = app.Shutdown()
			<-done
		})
		return "http://" + l.Addr().String()
	},
}

func netHTTP(t *testing.T, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

type world struct {
	ory *fakeory.Ory
	App
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{ory: fakeory.Start(t, fakeory.Config{})}
	db, err := sql.Open("sqlite", sqlstore.SQLiteDSN(filepath.Join(t.TempDir(), "app.db")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := migrate.Up(t.Context(), db, sqlstore.SQLite); err != nil {
		t.Fatal(err)
	}
	client := &ory.Client{PublicURL: w.ory.PublicURL, AdminURL: w.ory.AdminURL}
	quiet := slog.New(slog.DiscardHandler)
	linker := &link.Linker{Ory: client, Store: &sqlstore.Store{DB: db, Dialect: sqlstore.SQLite}, Log: quiet}
	auth := &session.Verifier{Linker: linker, Log: quiet}
	t.Cleanup(func() {
		auth.Close()
		_ = linker.Close(context.Background())
		client.CloseIdleConnections()
	})
	w.App = NewApp(auth, func(_ context.Context, u symbolon.User) (Account, error) {
		return Account{"gold-" + string(u.ID[:4])}, nil
	})
	return w
}

func (w *world) register(t *testing.T, n int) *symbolontest.Person {
	t.Helper()
	p, err := w.ory.Register(t.Context(), fmt.Sprintf("p%d@example.com", n), "correct horse battery", "P")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// user returns a person's user ID, without a framework.
func (w *world) user(t *testing.T, p *symbolontest.Person) symbolon.UserID {
	t.Helper()
	who, err := w.Auth.Verify(t.Context(), ory.Credential{Kind: ory.SessionToken, Value: p.Token})
	if err != nil {
		t.Fatal(err)
	}
	return who.User.ID
}

func get(t *testing.T, method, url string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == 200 {
		return 200, string(body)
	}
	var e struct{ Error struct{ Code string } }
	if err := json.Unmarshal(body, &e); err != nil {
		t.Errorf("%d without the error shape: %s", res.StatusCode, body)
	}
	return res.StatusCode, e.Error.Code
}

// TestFrameworks checks that every framework gives the same answers.
func TestFrameworks(t *testing.T) {
	for name, start := range serve {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			url := start(t, w.App)
			p := w.register(t, 1)
			expect := func(status int, said string, method, path string, header ...string) {
				t.Helper()
				if got, body := get(t, method, url+path, header...); got != status || body != said {
					t.Errorf("%s %s: %d %s, want %d %s", method, path, got, body, status, said)
				}
			}
			expect(401, "unauthenticated", "GET", "/notes/7")
			expect(401, "unauthenticated", "GET", "/notes/7", "X-Session-Token", "junk junk")
			expect(401, "unauthenticated", "GET", "/notes/7", "Authorization", "Bearer the-application's-own")
			user := w.user(t, p)
			note := fmt.Sprintf("note 7 of user %s, plan gold-%s", user, user[:4])
			cookie, err := w.ory.LoginBrowser(t.Context(), p.Email, "correct horse battery")
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // not cached, and cached
				expect(200, note, "GET", "/notes/7", "X-Session-Token", p.Token)
				expect(200, note, "GET", "/notes/7", "Authorization", "Bearer "+p.Token)
				expect(200, note, "GET", "/notes/7", "Cookie", "a=b; "+cookie.Name+"="+cookie.Value)
			}
			expect(403, "aal2_required", "POST", "/delete", "X-Session-Token", p.Token)
			stranger := w.register(t, 2)
			repair := w.ory.Break(fakeory.DatabaseDown{})
			expect(503, "unavailable", "GET", "/notes/7", "X-Session-Token", stranger.Token)
			expect(200, note, "GET", "/notes/7", "X-Session-Token", p.Token)
			repair()
			if err := w.Auth.RevokeSession(t.Context(), p.SessionID); err != nil {
				t.Fatal(err)
			}
			expect(401, "unauthenticated", "GET", "/notes/7", "X-Session-Token", p.Token)
		})
	}
}

// TestNobodyIsMixedUp runs many requests with fasthttp, which reuses the bytes of a
// request while a question to Ory may still run.
func TestNobodyIsMixedUp(t *testing.T) {
	for name, start := range serve {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			const people = 40
			tokens, notes := make([]string, people), make([]string, people)
			for n := range people {
				p := w.register(t, n)
				user := w.user(t, p)
				tokens[n], notes[n] = p.Token, fmt.Sprintf("note %d of user %s, plan gold-%s", n, user, user[:4])
			}
			url := start(t, w.App)
			var wg sync.WaitGroup
			for worker := range 8 {
				wg.Go(func() {
					for i := range 100 {
						n := (worker*13 + i*7) % people
						if i%10 == 0 {
							w.Auth.Purge(identity(w, tokens[n]))
						}
						if status, body := get(t, "GET", fmt.Sprintf("%s/notes/%d", url, n), "X-Session-Token", tokens[n]); status != 200 || body != notes[n] {
							t.Errorf("%d %s, want %s", status, body, notes[n])
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

func identity(w *world, token string) symbolon.IdentityID {
	who, err := w.Auth.Verify(context.Background(), ory.Credential{Kind: ory.SessionToken, Value: token})
	if err != nil {
		return ""
	}
	return who.User.Identity
}
