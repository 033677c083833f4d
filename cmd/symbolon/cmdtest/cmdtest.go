// Package cmdtest is what tests of several packages of the program share: secrets that must
// not show up anywhere, a small Kratos, databases. Nothing but tests imports it.
package cmdtest

import (
	"bytes"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// Secrets of the tests. Each is a canary: it must not show up anywhere.
const (
	Secret = "cAnArY-7f3kQ9vZx2LmN8pRt5WyB1sDg4HjU6oE"
	Key    = "cAnArY-Kq8Zr3VnX5cTm1WbY7fJp2LsGd9HtE4uA"
)

// Password is everybody's.
const Password = "correct horse battery staple"

// Env has a secret, and what else a test needs.
func Env(pairs ...string) map[string]string {
	m := map[string]string{"SYMBOLON_SECRET": Secret}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

// OnBoth runs a test on SQLite and on Postgres, each time in an empty database.
func OnBoth(t *testing.T, f func(t *testing.T, database string)) {
	for _, d := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
		t.Run(string(d), func(t *testing.T) { f(t, NewDatabase(t, d)) })
	}
}

// NewDatabase makes an empty database, as the configuration names it.
func NewDatabase(t *testing.T, d sqlstore.Dialect) string {
	t.Helper()
	if d == sqlstore.Postgres {
		return symbolontest.SharedPostgres(t).NewDatabase(t)
	}
	return "sqlite://" + filepath.Join(t.TempDir(), "symbolon.db")
}

// Eventually waits for three minutes: on a machine that does much else a process alone may
// take many seconds to start.
func Eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("it never came that %s", what)
}

// OpenDB opens a database as the configuration names it.
func OpenDB(t *testing.T, database string) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", database
	if path, ok := strings.CutPrefix(database, "sqlite://"); ok {
		driver, dsn = "sqlite", sqlstore.SQLiteDSN(path)
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// Exec runs statements that have to succeed.
func Exec(t *testing.T, db *sql.DB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// ReadFile reads a file that has to be there.
func ReadFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Ask sends a request to a handler as a program on this machine would.
func Ask(h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:4461"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// SignIn lets a person make a first request to the public side, and returns the user's ID.
func SignIn(t *testing.T, public http.Handler, token string) string {
	t.Helper()
	w := Ask(public, "GET", "/auth", "", "X-Session-Token", token)
	if w.Code != 200 || w.Header().Get("X-User-Id") == "" {
		t.Fatalf("sign in: %d %s", w.Code, w.Body)
	}
	return w.Header().Get("X-User-Id")
}

// Buffer is a buffer that many goroutines write to.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write is io.Writer's.
func (s *Buffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// String is all that was written.
func (s *Buffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// WholeEvidence wants an erasure to have come to its end, with the evidence of every step.
func WholeEvidence(t *testing.T, at symbolon.ErasureStep, evidence []symbolon.ErasureNote) {
	t.Helper()
	var steps []string
	for _, n := range evidence {
		steps = append(steps, string(n.Step))
	}
	if got := strings.Join(steps, " "); at != symbolon.EraseDone || got != "deny sessions identity row scrub" {
		t.Errorf("at %s, evidence of %s", at, got)
	}
}
