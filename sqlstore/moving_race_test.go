package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestMovedWhileOryAnswers has something happen to the holder of a value after Ory was
// asked about it, and before the answer is used. What happened stays.
func TestMovedWhileOryAnswers(t *testing.T) {
	tests := []struct {
		name   string
		happen func(w *town, other *link.Linker)
		want   outcome
	}{
		{"its address changes again", func(w *town, other *link.Linker) {
			w.ory.set(w.ids[1], "c")
			if _, err := other.Refresh(w.t.Context(), w.ids[1], symbolon.FromSyncHook); err != nil {
				w.t.Error(err)
			}
		}, outcome{"b c", ""}},
		{"its address changes back", func(w *town, other *link.Linker) {
			w.ory.set(w.ids[1], "b")
			if _, err := other.Refresh(w.t.Context(), w.ids[1], symbolon.FromSyncHook); err != nil {
				w.t.Error(err)
			}
		}, outcome{"a b", "0"}},
		{"it is erased", func(w *town, other *link.Linker) {
			if _, err := other.Erase(w.t.Context(), w.ids[1], symbolon.KeepRow, "a test"); err != nil {
				w.t.Error(err)
			}
		}, outcome{"a b", "0"}},
		{"its user is forgotten", func(w *town, _ *link.Linker) { w.forget(1) }, outcome{"a b", "0"}},
		{"its row loses the identity", func(w *town, _ *link.Linker) {
			w.exec(`update {users} set ory = null where cast(id as text) = $1`, string(w.users[1]))
		}, outcome{"a b", "0"}},
		{"its user goes to another identity", func(w *town, other *link.Linker) {
			heir := symbolon.IdentityID(newUUID())
			w.ory.set(heir, "b")
			if _, err := other.Bind(w.t.Context(), heir, w.users[1], symbolon.BindOptions{Move: true}); err != nil {
				w.t.Error(err)
			}
		}, outcome{"a b", "0"}},
	}
	onBoth(t, func(t *testing.T, db database) {
		p := kindsOfColumn[0].create(t, db)
		store := p.store(p.DB)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				w := p.settle(t, store, "a b")
				other := w.newLinker(p.store(db.again(t)))
				w.change("b a")
				w.ory.during(w.ids[1], func() { tt.happen(w, other) })
				w.news(0)
				w.want("afterwards", tt.want.rows, tt.want.open)
			})
		}
	})
}

// TestSwapsAtOnce has the news of two swaps and of a ring arrive at once, in two processes.
// Nobody's call fails, and after a comparison with Ory every row is right.
func TestSwapsAtOnce(t *testing.T) {
	rounds := 10
	onBoth(t, func(t *testing.T, db database) {
		p := kindsOfColumn[0].create(t, db)
		w := p.settle(t, p.store(p.DB), "a b c d e f g")
		processes := []*link.Linker{w.linker, w.newLinker(p.store(db.again(t)))}
		for round := range rounds {
			to := "b a d c f g e"
			if round%2 == 1 {
				to = "a b c d e f g"
			}
			w.change(to)
			var all sync.WaitGroup
			for i, id := range w.ids {
				all.Go(func() {
					if _, err := processes[(i+round)%2].Refresh(t.Context(), id, symbolon.FromSyncHook); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			w.pass()
			w.want(fmt.Sprint("round ", round), to, "")
		}
	})
}

// TestSwapBesideErasures has erasures and holds meet the news of a swap. Nobody's call
// fails, and the row of an erased person is never written again.
func TestSwapBesideErasures(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := kindsOfColumn[0].create(t, db)
		store := p.store(p.DB)
		other := p.store(db.again(t))
		for round := range 10 {
			w := p.settle(t, store, "a b c d")
			second := w.newLinker(other)
			w.change("b a d c")
			var all sync.WaitGroup
			run := func(f func(ctx context.Context) error) {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					if err := f(ctx); err != nil {
						t.Error(err)
					}
				})
			}
			for _, i := range []int{0, 2} {
				run(func(ctx context.Context) error {
					_, err := w.linker.Refresh(ctx, w.ids[i], symbolon.FromSyncHook)
					return err
				})
			}
			run(func(ctx context.Context) error {
				_, err := second.Erase(ctx, w.ids[1], symbolon.AnonymiseRow, "a test")
				return err
			})
			run(func(ctx context.Context) error { // holds the identity 3, whose user goes to another one
				heir := symbolon.IdentityID(newUUID())
				w.ory.set(heir, "x")
				_, err := second.Bind(ctx, heir, w.users[3], symbolon.BindOptions{Move: true})
				return err
			})
			all.Wait()
			w.ory.set(w.ids[1], "gone")
			w.pass()
			rows := strings.Fields(w.rows())
			if strings.Join(rows, " ") != "b - d x" || w.open() != "" {
				t.Fatalf("round %d: the table has %v, and findings of %s", round, rows, w.open())
			}
		}
	})
}

// TestLocksInOrder has the entry of the first of two people locked by another transaction.
// A write for the second one, with a reading of the first, waits for it and holds no lock
// of its own meanwhile. So two such writes never wait for each other.
func TestLocksInOrder(t *testing.T) {
	p := kindsOfColumn[0].create(t, open(t, sqlstore.Postgres))
	w := p.settle(t, p.store(p.DB), "a b")
	w.change("b a")
	var readings []symbolon.Reading
	for _, id := range w.ids {
		ticket, err := w.store.Ticket(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		readings = append(readings, symbolon.Reading{Identity: w.ory.identity(id), Ticket: ticket})
	}
	lock := func(id symbolon.IdentityID) *sql.Tx {
		tx, err := p.Begin()
		if err == nil {
			_, err = tx.Exec(`select 1 from symbolon.links where identity_id = $1 for update nowait`, string(id))
		}
		if err != nil {
			t.Fatalf("the entry of %s is locked: %v", id, err)
		}
		return tx
	}
	first := lock(w.ids[0])
	done := make(chan error, 1)
	go func() {
		q := symbolon.Query{Project: w.ory.domain, Reading: readings[1], Others: readings[:1]}
		_, err := w.store.Write(t.Context(), q, func(symbolon.Evidence) (symbolon.Plan, error) {
			return symbolon.Plan{Action: symbolon.Update, User: w.users[1]}, nil
		})
		done <- err
	}()
	for began := time.Now(); p.count(t, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) == 0; {
		if time.Since(began) > time.Minute {
			t.Fatal("the write does not wait")
		}
		time.Sleep(time.Millisecond)
	}
	_ = lock(w.ids[1]).Rollback()
	_ = first.Rollback()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.want("afterwards", "b a", "")
}
