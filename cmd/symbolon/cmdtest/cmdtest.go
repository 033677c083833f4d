// Package cmdtest is shared by the tests of the program's packages. It has secrets that
// must not appear in any output, a small fake Kratos, and databases. Only tests import
// it.
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

// The secrets of the tests. They are canaries, which must not appear in any output.
const (
	Secret = "cAnArY-7f3kQ9vZx2LmN8pRt5WyB1sDg4HjU6oE"
	Key    = "cAnArY-Kq8Zr3VnX5cTm1WbY7fJp2LsGd9HtE4uA"
)

// Password is the password of all people.
const Password = "correct horse battery staple"

// Env returns an environment with a secret and these pairs.
func Env(pairs ...string) map[string]string {
	m := map[string]string{"SYMBOLON_SECRET": Secret}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

// OnBoth runs a test on SQLite and on Postgres, each with an empty database.
func OnBoth(t *testing.T, f func(t *testing.T, database string)) {
	for _, d := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
		t.Run(string(d), func(t *testing.T) { f(t, NewDatabase(t, d)) })
	}
}

// NewDatabase creates an empty database and returns its address for the configuration.
func NewDatabase(t *testing.T, d sqlstore.Dialect) string {
	t.Helper()
	if d == sqlstore.Postgres {
		return symbolontest.SharedPostgres(t).NewDatabase(t)
	}
	return "sqlite://" + filepath.Join(t.TempDir(), "symbolon.db")
}

// Eventually waits for up to three minutes, because on a busy machine the start of a
// process alone may take many seconds.
func Eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("not true after three minutes: %s", what)
}

// OpenDB opens a database by its address in the configuration.
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

// Exec runs statements, which must succeed.
func Exec(t *testing.T, db *sql.DB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// ReadFile reads a file, which must exist.
func ReadFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Ask sends a request to a handler as a program on this machine does.
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

// SignIn sends a person's first request to the public side, and returns the user's ID.
func SignIn(t *testing.T, public http.Handler, token string) string {
	t.Helper()
	w := Ask(public, "GET", "/auth", "", "X-Session-Token", token)
	if w.Code != 200 || w.Header().Get("X-User-Id") == "" {
		t.Fatalf("sign in: %d %s", w.Code, w.Body)
	}
	return w.Header().Get("X-User-Id")
}

// Buffer is a buffer for several goroutines.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (s *Buffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// String returns the whole content.
func (s *Buffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// WholeEvidence checks that an erasure is done, with the evidence of every step.
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
