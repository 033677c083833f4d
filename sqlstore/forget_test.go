package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// afterFirst is a transaction that calls a function between its first and its second
// statement.
type afterFirst struct {
	symbolon.Execer
	then func()
	n    int
}

func (e *afterFirst) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if e.n++; e.n == 2 {
		e.then()
	}
	return e.Execer.ExecContext(ctx, query, args...)
}

// waits returns when a transaction waits for a lock.
func (p *people) waits(t *testing.T) {
	t.Helper()
	for until := time.Now().Add(time.Minute); p.count(t, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) == 0; {
		if time.Sleep(10 * time.Millisecond); time.Now().After(until) {
			t.Error("the other transaction does not wait")
			return
		}
	}
}

func (p *people) noDeadlock(t *testing.T) {
	t.Helper()
	if n := p.count(t, `select deadlocks from pg_stat_database where datname = current_database()`); n != 0 {
		t.Errorf("%d deadlocks", n)
	}
}

// TestScrubBesideAnEnd runs Scrub while another transaction ends the link and closes its
// findings.
func TestScrubBesideAnEnd(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	p := &people{database: db}
	store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}
	l := linkerOf(store)
	id := identityWith(`{"email":"a@b.c"}`)
	bond, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	found := symbolon.Finding{Kind: symbolon.RowKept, Identity: id.ID, Detail: "words"}
	if err := store.RecordFindings(t.Context(), "default", symbolon.FromReconcile, []symbolon.Finding{found}, nil); err != nil {
		t.Fatal(err)
	}
	scrubbed := make(chan error, 1)
	q := symbolon.Query{Project: "default", Reading: symbolon.Reading{Identity: id}}
	_, err = store.Write(t.Context(), q, func(symbolon.Evidence) (symbolon.Plan, error) {
		go func() {
			_, err := store.Scrub(context.WithoutCancel(t.Context()), "default", id.ID, bond.User)
			scrubbed <- err
		}()
		p.waits(t)
		return symbolon.Plan{Action: symbolon.End, State: symbolon.Erased, User: bond.User}, nil
	})
	if err := errors.Join(err, <-scrubbed); err != nil {
		t.Error(err)
	}
	p.noDeadlock(t)
}

// TestForgetBesideAnEnd deletes a user in the application while its link is ended. Both
// transactions take the locks in the same order, so there is no deadlock.
func TestForgetBesideAnEnd(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	p := &people{database: db}
	store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}
	l := linkerOf(store)
	id := identityWith(`{"email":"a@b.c"}`)
	bond, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	end := func() {
		go func() {
			_, err := l.Erase(context.WithoutCancel(t.Context()), id.ID, symbolon.DeleteRow, "")
			ended <- err
		}()
		p.waits(t)
	}
	p.inTx(t, func(tx symbolon.Execer) error {
		if err := store.Forget(t.Context(), &afterFirst{Execer: tx, then: end}, "default", bond.User); err != nil {
			return err
		}
		_, err := tx.ExecContext(t.Context(), `delete from symbolon_users where id = $1`, string(bond.User))
		return err
	})
	if err := <-ended; err != nil {
		t.Error(err)
	}
	p.noDeadlock(t)
	rec, err := l.Record(t.Context(), string(id.ID))
	if err != nil || rec.Link.State != symbolon.Erased || rec.Row != nil {
		t.Errorf("%+v %v", rec.Link, err)
	}
}
