package sqlstore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestCompact checks what goes and what stays. A row's name says which: "old" ones are older
// than the limit.
func TestCompact(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		ctx, now := t.Context(), time.Now()
		store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}

		const events = "insert into symbolon.events (project, at, kind, identity_id, user_id, before_id, detail, run) values ($1, $2, $3, $4, $5, $6, $7, $8)"
		event := func(project string, age time.Duration, kind symbolon.EventKind, identity, before any, name, run string) {
			t.Helper()
			db.run(t, events, project, db.at(now.Add(-age)), string(kind), identity, "42", before, name, run)
		}
		old, young := 91*24*time.Hour, 89*24*time.Hour
		one, two := string(person(1).ID), string(person(2).ID)
		event("default", old, symbolon.UserLinked, one, nil, "replaced-by-newer-link", "")
		event("default", old, symbolon.LinkHeld, one, nil, "hold-before-link", "")
		event("default", old, symbolon.UserRecreated, one, "41", "keep-former-user", "")
		event("default", old, symbolon.UserLinked, one, nil, "keep-newest-link", "")
		event("default", old, symbolon.UserUpdated, one, nil, "old-update", "")
		event("default", old, symbolon.UserForgotten, one, nil, "keep-end-after-link", "")
		event("default", old, symbolon.UserLinked, two, nil, "keep-journal", "run-1")
		event("default", old, symbolon.FindingOpened, two, nil, "old-finding", "")
		link := func(user, name string) {
			t.Helper()
			db.run(t, events, "default", db.at(now.Add(-old)), string(symbolon.UserLinked), string(person(3).ID), user, nil, name, "")
		}
		link("31", "linked-again-later")
		link("31", "keep-link-of-former-user")
		link("32", "keep-link-of-user")
		event("default", old, symbolon.UserForgotten, nil, nil, "keep-never-linked", "")
		event("another", old, symbolon.UserUpdated, one, nil, "keep-other-project", "")
		event("default", young, symbolon.UserLinked, two, nil, "keep-young-link", "")
		event("default", young, symbolon.UserUpdated, two, nil, "keep-young-update", "")

		const findings = "insert into symbolon.findings (project, identity_id, kind, detail, opened_at, closed_at) values ($1, $2, $3, $4, $5, $6)"
		db.run(t, findings, "default", one, "user_gone", "old", db.at(now.Add(-2*old)), db.at(now.Add(-old)))
		db.run(t, findings, "default", two, "user_gone", "keep-young", db.at(now.Add(-2*old)), db.at(now.Add(-young)))
		db.run(t, findings, "default", one, "moved", "keep-open", db.at(now.Add(-2*old)), nil)

		const runs = "insert into symbolon.runs (id, project, kind, state, started_at, updated_at, ended_at) values ($1, $2, $3, $4, $5, $6, $7)"
		for n, run := range []struct{ name, kind, state string }{
			{"old-1", "reconcile", "done"}, {"old-2", "reconcile", "failed"}, {"keep-running", "reconcile", "running"},
			{"keep-newest", "reconcile", "done"}, {"keep-only-one", "other", "done"},
		} {
			at := now.Add(-old + time.Duration(n)*time.Second)
			ended := db.at(at)
			if run.state == "running" {
				ended = nil
			}
			db.run(t, runs, run.name, "default", run.kind, run.state, db.at(at), db.at(at), ended)
		}

		done, err := store.Compact(ctx, "default", now.Add(-90*24*time.Hour))
		if want := (sqlstore.Compacted{Events: 5, Findings: 1, Runs: 2}); err != nil || done != want {
			t.Errorf("%+v, %v; want %+v", done, err, want)
		}
		for table, column := range map[string]string{"events": "detail", "findings": "detail", "runs": "id"} {
			for _, left := range db.rows(t, db.ledger("select "+column+" from symbolon."+table), 1) {
				if !strings.HasPrefix(left[0], "keep-") {
					t.Errorf("%s: %s is left", table, left[0])
				}
			}
		}
		if done, err = store.Compact(ctx, "default", now.Add(-90*24*time.Hour)); err != nil || done != (sqlstore.Compacted{}) {
			t.Errorf("the second time: %+v, %v", done, err)
		}
		if _, err = store.Compact(ctx, "", now); err == nil {
			t.Error("no project: no error")
		}
	})
}

// TestCompactBatches checks that every batch is looked at, also if nothing goes from one.
func TestCompactBatches(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		now := time.Now()
		store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}
		db.insertEvents(t, 2_100, func(n int) (kind string, at time.Time) {
			if n < 1_000 || n == 1_500 || n == 2_099 {
				return "user.linked", now.Add(-time.Hour)
			}
			return "user.updated", now.Add(-time.Hour)
		})
		done, err := store.Compact(context.Background(), "default", now)
		if want := (sqlstore.Compacted{Events: 1_098}); err != nil || done != want {
			t.Errorf("%+v, %v; want %+v", done, err, want)
		}
	})
}

// at is a time as the ledger stores it.
func (db database) at(t time.Time) any {
	if db.dialect == sqlstore.SQLite {
		return t.UTC().Format("2006-01-02T15:04:05.000000Z07:00")
	}
	return t
}

// run runs a statement that names the ledger's tables as on Postgres.
func (db database) run(t testing.TB, text string, args ...any) {
	t.Helper()
	if _, err := db.Exec(db.ledger(text), args...); err != nil {
		t.Fatal(err)
	}
}

func (db database) ledger(text string) string {
	if db.dialect == sqlstore.SQLite {
		return strings.ReplaceAll(text, "symbolon.", "symbolon_")
	}
	return text
}

// insertEvents inserts n events of as many identities.
func (db database) insertEvents(t testing.TB, n int, of func(n int) (kind string, at time.Time)) {
	t.Helper()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // it fails after the commit
	for i := range n {
		kind, at := of(i)
		if _, err := tx.Exec(db.ledger("insert into symbolon.events (project, at, kind, identity_id, user_id) values ('default', $1, $2, $3, '42')"),
			db.at(at), kind, fmt.Sprintf("%08d-1de0-4000-8000-000000000000", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}
