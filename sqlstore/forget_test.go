package sqlstore_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// afterFirst is a transaction that does something between its first statement and the
// second.
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

// TestForgetBesideAnEnd: the application deletes a user while the bond is ended for
// good. Both take the locks in one order, so that neither transaction is a deadlock's
// victim.
func TestForgetBesideAnEnd(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	p := &people{database: db}
	store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}
	l := linkerOf(store)
	id := identityWith(`{"email":"a@b.c"}`)
	link, err := l.Link(t.Context(), symbolon.Seen{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	end := func() {
		go func() {
			_, err := l.Erase(context.WithoutCancel(t.Context()), id.ID, symbolon.DeleteRow, "")
			ended <- err
		}()
		for until := time.Now().Add(10 * time.Second); p.count(t, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) == 0; {
			if time.Sleep(10 * time.Millisecond); time.Now().After(until) {
				t.Error("the other transaction does not wait")
				return
			}
		}
	}
	p.inTx(t, func(tx symbolon.Execer) error {
		if err := store.Forget(t.Context(), &afterFirst{Execer: tx, then: end}, "default", link.User); err != nil {
			return err
		}
		_, err := tx.ExecContext(t.Context(), `delete from symbolon_users where id = $1`, string(link.User))
		return err
	})
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := p.count(t, `select deadlocks from pg_stat_database where datname = current_database()`); n != 0 {
		t.Errorf("%d deadlocks", n)
	}
	rec, err := l.Record(t.Context(), string(id.ID))
	if err != nil || rec.Link.State != symbolon.Erased || rec.Row != nil {
		t.Errorf("%+v %v", rec.Link, err)
	}
}
