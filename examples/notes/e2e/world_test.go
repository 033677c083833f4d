package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/examples/notes/notes"
	"github.com/symbolon-id/symbolon/examples/notes/ory"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// world is a Kratos and the application, which answers Ory's hooks itself.
type world struct {
	t      *testing.T
	url    string
	kratos *symbolontest.Kratos
	db     *sql.DB

	mu     sync.Mutex
	minted []string            // IDs in the reserve hook's answers
	first  map[string]identity // session cookie to whoami's answer before the application got the session
}

// identity is whoami's answer.
type identity struct {
	ID, Held, Email, AAL string // Held is metadata_public.id
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, first: map[string]identity{}}
	server := httptest.NewUnstartedServer(nil)
	w.url = "http://" + server.Listener.Addr().String()
	secrets := []symbolon.Secret{symbolon.Secret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e")}
	w.startKratos(secrets)
	var err error
	if w.db, err = notes.Open(t.Context(), filepath.Join(t.TempDir(), "notes.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.db.Close() })
	app := &notes.App{DB: w.db, URL: w.url, Ory: w.kratos.PublicURL, OryAdmin: w.kratos.AdminURL, Secrets: secrets, Hooks: true, Log: slog.New(slog.DiscardHandler)}
	handler, err := app.Handler()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := app.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	server.Config.Handler = w.observe(handler)
	server.Start()
	t.Cleanup(server.Close)
	return w
}

func (w *world) startKratos(secrets []symbolon.Secret) {
	w.t.Helper()
	var printed bytes.Buffer
	if err := (&notes.App{URL: w.url, Secrets: secrets}).WriteActions(&printed); err != nil {
		w.t.Fatal(err)
	}
	dir := w.t.TempDir()
	overlay, err := ory.Overlay(dir, w.url, printed.Bytes())
	if err != nil {
		w.t.Fatal(err)
	}
	w.kratos = symbolontest.StartKratos(w.t, symbolontest.KratosConfig{Dir: dir, UIURL: w.url, Overlay: overlay})
}

// observe runs before the application. It stores reserved IDs, and asks whoami before the application gets a session.
func (w *world) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hooks/reserve" {
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			var said struct {
				Identity struct {
					Metadata struct{ ID string } `json:"metadata_public"`
				}
			}
			_ = json.Unmarshal(rec.Body.Bytes(), &said)
			w.mu.Lock()
			w.minted = append(w.minted, said.Identity.Metadata.ID)
			w.mu.Unlock()
			rw.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
			rw.WriteHeader(rec.Code)
			_, _ = rw.Write(rec.Body.Bytes())
			return
		}
		if c, err := r.Cookie("ory_kratos_session"); err == nil {
			w.mu.Lock()
			if _, seen := w.first[c.Value]; !seen {
				w.first[c.Value], _ = w.whoami(c.Value)
			}
			w.mu.Unlock()
		}
		next.ServeHTTP(rw, r)
	})
}

// whoami asks Kratos directly.
func (w *world) whoami(cookie string) (id identity, status int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.kratos.PublicURL+"/sessions/whoami", nil)
	if err != nil {
		panic(err)
	}
	r.AddCookie(&http.Cookie{Name: "ory_kratos_session", Value: cookie})
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return id, 0
	}
	defer res.Body.Close()
	var said struct {
		AAL      string `json:"authenticator_assurance_level"`
		Identity struct {
			ID       string
			Metadata struct{ ID string } `json:"metadata_public"`
			Traits   struct{ Email string }
		}
	}
	_ = json.NewDecoder(res.Body).Decode(&said)
	return identity{said.Identity.ID, said.Identity.Metadata.ID, said.Identity.Traits.Email, said.AAL}, res.StatusCode
}

// row is a row of the application's table.
type row struct{ ID, Identity, Email, Name string }

func (w *world) people() (out []row) {
	w.t.Helper()
	rows, err := w.db.QueryContext(w.t.Context(), "select id, coalesce(ory_identity_id, ''), email, name from people order by created_at, id")
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var p row
		if err := rows.Scan(&p.ID, &p.Identity, &p.Email, &p.Name); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, p)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return out
}

// matched checks that there are n people, each with an identity of their own, and no other identities.
func (w *world) matched(n int) {
	w.t.Helper()
	identities, err := w.kratos.CountIdentities(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	own := map[string]bool{}
	for _, p := range w.people() {
		own[p.Identity] = true
	}
	if people := len(w.people()); identities != n || people != n || len(own) != n || own[""] {
		w.t.Errorf("%d identities, %d people with %d identities among them; want %d of each", identities, people, len(own), n)
	}
}

// lastMinted returns the ID in the newest reserve hook's answer.
func (w *world) lastMinted() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.minted) == 0 {
		return ""
	}
	return w.minted[len(w.minted)-1]
}

// bornWith checks the link of a session's person: the first whoami had the ID, and the row has this ID and names the identity.
func (w *world) bornWith(cookie, email string) (user row) {
	w.t.Helper()
	w.mu.Lock()
	first := w.first[cookie]
	w.mu.Unlock()
	minted := w.lastMinted()
	if minted == "" || first.Held != minted || first.Email != email {
		w.t.Errorf("the first whoami shows %+v; reserved was %q for %s", first, minted, email)
	}
	for _, p := range w.people() {
		if p.ID == minted {
			user = p
		}
	}
	if user.Identity != first.ID || user.Email != email {
		w.t.Errorf("the row is %+v, want identity %s and %s", user, first.ID, email)
	}
	return user
}

// eventually waits until so returns true.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not true after %s: %s", patience, what)
		}
	}
}
