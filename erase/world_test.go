package erase_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/internal/migrated"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

func TestMain(m *testing.M) { symbolontest.Main(m) }

// world is a fake Ory, a database, and erasures.
type world struct {
	*testing.T
	ory      *fakeory.Ory
	db       *sql.DB
	dialect  sqlstore.Dialect
	store    *sqlstore.Store
	client   *ory.Client
	linker   *link.Linker
	erasures *erase.Erasures
}

func onBoth(t *testing.T, users sqlstore.Users, test func(w *world)) {
	t.Helper()
	for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
		t.Run(string(dialect), func(t *testing.T) { test(newWorld(t, dialect, users)) })
	}
}

func newWorld(t *testing.T, dialect sqlstore.Dialect, users sqlstore.Users) *world {
	t.Helper()
	w := &world{T: t, ory: fakeory.Start(t, fakeory.Config{}), dialect: dialect}
	var driver, dsn string
	if dialect == sqlstore.Postgres {
		driver, dsn = "pgx", migrated.Postgres(t)
	} else {
		driver, dsn = "sqlite", migrated.SQLite(t, filepath.Join(t.TempDir(), "symbolon.db"))
	}
	db, err := sql.Open(driver, dsn)
	w.must(err)
	t.Cleanup(func() { _ = db.Close() })
	w.db = db
	w.client = &ory.Client{PublicURL: w.ory.PublicURL, AdminURL: w.ory.AdminURL}
	t.Cleanup(w.client.CloseIdleConnections)
	w.use(&sqlstore.Store{DB: db, Dialect: dialect, Users: users})
	return w
}

// use creates the linker and the erasures for a store.
func (w *world) use(store *sqlstore.Store) {
	quiet := slog.New(slog.DiscardHandler)
	w.store = store
	// QueuedWrites: nothing writes to an identity behind a test's back.
	linker := &link.Linker{Ory: w.client, Store: store, Log: quiet, ProofGap: time.Millisecond, QueuedWrites: true}
	w.linker = linker
	w.Cleanup(func() { // pending writes to Ory are dropped
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = linker.Close(ctx)
	})
	w.erasures = &erase.Erasures{Linker: linker, Ory: w.client, Record: store, Users: store, Log: quiet}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) exec(text string, args ...any) {
	w.Helper()
	_, err := w.db.Exec(text, args...)
	w.must(err)
}

var serial atomic.Int64

// register signs a person up at Ory.
func (w *world) register() *symbolontest.Person {
	w.Helper()
	n := serial.Add(1)
	p, err := w.ory.Register(w.Context(), fmt.Sprintf("Trait.%d@example.com", n), "correct horse battery", fmt.Sprintf("Trait Name %d", n))
	w.must(err)
	return p
}

// linked signs a person up and sends a first request.
func (w *world) linked() (*symbolontest.Person, symbolon.UserID) {
	w.Helper()
	p := w.register()
	link, err := w.linker.Refresh(w.Context(), symbolon.IdentityID(p.IdentityID), symbolon.FromLinkHook)
	w.must(err)
	return p, link.User
}

func (w *world) state(id string) symbolon.LinkState {
	w.Helper()
	rec, err := w.linker.Record(w.Context(), id)
	w.must(err)
	if rec.Link == nil {
		return ""
	}
	return rec.Link.State
}

// atOry reports whether Ory has the identity. Faults do not affect it.
func (w *world) atOry(id string) bool { return w.ory.HasIdentity(id) }

// erase erases a person and checks that the erasure is done.
func (w *world) erase(r erase.Request) symbolon.Erasure {
	w.Helper()
	begun, err := w.erasures.Begin(w.Context(), r)
	w.must(err)
	e, err := w.erasures.Run(w.Context(), begun.ID)
	w.must(err)
	w.complete(e)
	return e
}

// complete checks the evidence of every step, in order.
func (w *world) complete(e symbolon.Erasure) {
	w.Helper()
	var steps []string
	last := e.RequestedAt
	for _, n := range e.Evidence {
		if n.At.Before(last) || n.Outcome == "" || n.Tries < 1 {
			w.Errorf("evidence: %+v", n)
		}
		last = n.At
		steps = append(steps, string(n.Step))
	}
	if got := strings.Join(steps, " "); !e.Done() || e.Step != symbolon.EraseDone || got != "deny sessions identity row scrub" || e.LastError != "" {
		w.Errorf("the erasure is at %s, done %s, with evidence of %s; last error %q", e.Step, e.DoneAt, got, e.LastError)
	}
}

// outcome returns the evidence of a step.
func outcome(e symbolon.Erasure, step symbolon.ErasureStep) string {
	for _, n := range e.Evidence {
		if n.Step == step {
			return n.Outcome
		}
	}
	return ""
}

// traceless checks that no table has one of these words.
func (w *world) traceless(words ...string) {
	w.Helper()
	if found := symbolontest.FindText(w, w.db, string(w.dialect), words...); len(found) > 0 {
		w.Errorf("the database still has data of the person:\n%s", strings.Join(found, "\n"))
	}
}

// barred repeats every reading that may still arrive for an identity, and checks that
// none makes or gives a user.
func (w *world) barred(id symbolon.Identity) {
	w.Helper()
	before := w.users()
	for _, way := range []symbolon.Source{symbolon.FromRequest, symbolon.FromLinkHook, symbolon.FromSyncHook, symbolon.FromReconcile, symbolon.FromOperator} {
		ticket, err := w.store.Ticket(w.Context())
		w.must(err)
		for _, seen := range []symbolon.Reading{{Identity: id, Source: way}, {Identity: id, Source: way, Ticket: ticket, Admin: true, Rewrite: true}} {
			if link, err := w.linker.Link(w.Context(), seen); err == nil {
				w.Errorf("%s gave user %s", way, link.User)
			}
		}
	}
	if after := w.users(); after != before {
		w.Errorf("%d users became %d", before, after)
	}
}

func (w *world) users() (n int) {
	w.Helper()
	table := w.store.Users.Table
	if table == "" {
		table = "symbolon_users"
	}
	w.must(w.db.QueryRow(`select count(*) from ` + table).Scan(&n))
	return n
}
