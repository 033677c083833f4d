package createurl_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/createurl"
	"github.com/symbolon-id/symbolon/internal/migrated"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

func TestMain(m *testing.M) { symbolontest.Main(m) }

var secret = symbolon.Secret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e")

// database is Symbolon's own database. The application's users are elsewhere.
type database struct {
	*sql.DB
	dialect sqlstore.Dialect
}

func onBoth(t *testing.T, f func(t *testing.T, db database)) {
	for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
		t.Run(string(dialect), func(t *testing.T) { f(t, open(t, dialect)) })
	}
}

func open(t *testing.T, dialect sqlstore.Dialect) database {
	t.Helper()
	var driver, dsn string
	if dialect == sqlstore.Postgres {
		driver, dsn = "pgx", migrated.Postgres(t)
	} else {
		driver, dsn = "sqlite", migrated.SQLite(t, filepath.Join(t.TempDir(), "symbolon.db"))
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return database{db, dialect}
}

// world is one process on the database, without Ory's admin API.
type world struct {
	linker *link.Linker
}

func newWorld(t *testing.T, db database, c *createurl.Client) *world {
	t.Helper()
	if c.Secrets == nil {
		c.Secrets = createurl.DeriveSecrets([]symbolon.Secret{secret})
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect, Users: sqlstore.Users{NewID: sqlstore.ByApplication}}
	return &world{linker: &link.Linker{Ory: noOry, Store: store, Creator: c,
		Secrets: []symbolon.Secret{secret}, Log: slog.New(slog.DiscardHandler)}}
}

func (w *world) link(t *testing.T, id symbolon.Identity) (symbolon.Link, error) {
	return w.linker.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest})
}

// empty empties the tables, so that another case can use the same user's ID.
func (db database) empty(t *testing.T) {
	t.Helper()
	for _, table := range []string{"links", "findings", "events", "remote_users"} {
		name := "symbolon." + table
		if db.dialect == sqlstore.SQLite {
			name = "symbolon_" + table
		}
		if _, err := db.Exec("delete from " + name); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) wantFindings(t *testing.T, id symbolon.Identity, want string) {
	t.Helper()
	r, err := w.linker.Record(t.Context(), string(id.ID))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, f := range r.Findings {
		kinds = append(kinds, string(f.Kind))
	}
	if got := strings.Join(kinds, " "); got != want {
		t.Errorf("findings %q, want %q", got, want)
	}
}

func (w *world) wantNothing(t *testing.T, id symbolon.Identity) {
	t.Helper()
	if r, err := w.linker.Record(t.Context(), string(id.ID)); !errors.Is(err, symbolon.ErrNotFound) {
		t.Errorf("an entry is left: %+v, %v", r, err)
	}
}

func person(n int) symbolon.Identity {
	return symbolon.Identity{ID: symbolon.IdentityID(fmt.Sprintf("1d000000-0000-4000-8000-%012d", n)), State: symbolon.Active,
		Traits: fmt.Appendf(nil, `{"email":"person%d@example.org","name":{"first":"Ada"},"big":12345678901234567890,"odd":"a\u0000b"}`, n)}
}

// noOry has no admin API and is never called.
var noOry = &ory.Client{PublicURL: "http://kratos:4433"}

func timeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}
