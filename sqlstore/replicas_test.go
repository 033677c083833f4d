package sqlstore_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
)

var (
	_ session.Memory    = (*sqlstore.Replicas)(nil)
	_ session.Broadcast = (*sqlstore.Replicas)(nil)
)

func (db database) replica(t *testing.T, now func() time.Time) *sqlstore.Replicas {
	return &sqlstore.Replicas{Store: &sqlstore.Store{DB: db.again(t), Dialect: db.dialect, Now: now}}
}

func credential(n int) [32]byte { return sha256.Sum256(fmt.Append(nil, n)) }

func sessionOf(n int) string { return fmt.Sprintf("%08d-5e55-4000-8000-000000000000", n) }

// TestRemember checks that one replica reads the sessions that another has seen today or
// yesterday, also if several write at the same time.
func TestRemember(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		clock := time.Date(2026, 11, 25, 23, 59, 0, 0, time.UTC)
		now := func() time.Time { return clock }
		a, b := db.replica(t, now), db.replica(t, now)
		const many = 1234
		batch := map[[32]byte]string{}
		for n := range many {
			batch[credential(n)] = sessionOf(n)
		}
		var wg sync.WaitGroup
		for _, r := range []*sqlstore.Replicas{a, b, a, b} {
			wg.Go(func() {
				if err := r.Remember(t.Context(), batch); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		recall := func(r *sqlstore.Replicas, n int, want string) {
			t.Helper()
			if got, err := r.Recall(t.Context(), credential(n)); got != want || err != nil {
				t.Errorf("%d: %q, %v, want %q", n, got, err, want)
			}
		}
		for n := range many {
			recall(b, n, sessionOf(n))
		}
		recall(b, many, "")
		// After a new sign-in the browser's credential belongs to another session.
		if err := b.Remember(t.Context(), map[[32]byte]string{credential(1): sessionOf(4711)}); err != nil {
			t.Fatal(err)
		}
		recall(a, 1, sessionOf(4711))

		clock = clock.Add(2 * time.Minute) // the next day
		recall(a, 0, sessionOf(0))
		if err := a.Remember(t.Context(), map[[32]byte]string{credential(2): sessionOf(2)}); err != nil {
			t.Fatal(err)
		}
		clock = clock.Add(24 * time.Hour)
		recall(a, 0, "")
		recall(a, 2, sessionOf(2))
		// The first write of a process deletes old rows.
		if err := db.replica(t, now).Remember(t.Context(), map[[32]byte]string{credential(3): sessionOf(3)}); err != nil {
			t.Fatal(err)
		}
		var rows int
		table := map[sqlstore.Dialect]string{sqlstore.SQLite: "symbolon_sessions", sqlstore.Postgres: "symbolon.sessions"}[db.dialect]
		if err := db.QueryRow("select count(*) from " + table).Scan(&rows); err != nil || rows != 2 {
			t.Errorf("%d rows are left, %v", rows, err)
		}
		if err := a.Remember(t.Context(), nil); err != nil {
			t.Error(err)
		}
		_ = db.Close()
		_ = a.Store.DB.Close()
		if got, err := a.Recall(t.Context(), credential(2)); err == nil {
			t.Errorf("a database that does not answer returned %q", got)
		}
	})
}

// hears collects the purges that a replica receives.
type hears struct {
	mu  sync.Mutex
	ids []string
}

func (h *hears) has(ids ...string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !slices.ContainsFunc(ids, func(id string) bool { return !slices.Contains(h.ids, id) })
}

func (h *hears) count(id string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, other := range h.ids {
		if other == id {
			n++
		}
	}
	return n
}

// listen returns when the replica listens.
func listen(t *testing.T, r *sqlstore.Replicas) *hears {
	t.Helper()
	if _, err := r.Hear(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := &hears{}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			ids, err := r.Hear(ctx)
			if err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			h.mu.Lock()
			h.ids = append(h.ids, ids...)
			h.mu.Unlock()
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return h
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for began := time.Now(); !f(); time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("not true within a minute: %s", what)
		}
	}
}

// TestTell checks that every replica receives a purge once, also on a pool of its own and
// while many send at the same time. It does not receive purges of another project.
func TestTell(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		a, b, other := db.replica(t, now), db.replica(t, now), db.replica(t, now)
		other.Project = "other"
		if err := a.Tell(t.Context(), []string{"before"}); err != nil {
			t.Fatal(err)
		}
		heard, foreign := listen(t, b), listen(t, other)
		if err := a.Tell(t.Context(), []string{"one", "two"}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "one and two are heard", func() bool { return heard.has("one", "two") })

		var wg sync.WaitGroup
		var all []string
		for n := range 8 {
			ids := make([]string, 150)
			for i := range ids {
				ids[i] = fmt.Sprintf("%d-%d", n, i)
			}
			all = append(all, ids...)
			wg.Go(func() {
				for chunk := range slices.Chunk(ids, 30) {
					if err := a.Tell(t.Context(), chunk); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		eventually(t, "all of many are heard", func() bool { return heard.has(all...) })
		for _, id := range append(all, "one", "two") {
			if heard.count(id) != 1 {
				t.Errorf("%s was received %d times", id, heard.count(id))
			}
		}
		foreign.mu.Lock()
		if len(foreign.ids) != 0 {
			t.Errorf("another project received %q", foreign.ids[0])
		}
		foreign.mu.Unlock()
		_ = db.Close()
		_ = a.Store.DB.Close()
		if err := a.Tell(t.Context(), []string{"x"}); err == nil {
			t.Error("Tell reported no error for a database that does not answer")
		}
	})
}

// TestTellOutOfOrder checks that a purge that is committed after a later one is received.
func TestTellOutOfOrder(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	a, b := db.replica(t, now), db.replica(t, now)
	heard := listen(t, b)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(`insert into symbolon.purges (project, what, at) values ('default', 'slow', now())`); err != nil {
		t.Fatal(err)
	}
	if err := a.Tell(t.Context(), []string{"fast"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the purge fast is heard", func() bool { return heard.has("fast") })
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the purge slow is heard", func() bool { return heard.has("slow") })
}

// TestHearsWithinHalfASecond checks that a purge is received at the next poll, half a
// second later. A replica that starts or is woken receives it at once. The clock stands
// still while the database works.
func TestHearsWithinHalfASecond(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		synctest.Test(t, func(t *testing.T) {
			r, wake := db.replica(t, now), make(chan struct{}, 1)
			r.Wake = wake
			hears := func(took time.Duration, what ...string) {
				t.Helper()
				began := time.Now()
				if ids, err := r.Hear(t.Context()); !slices.Equal(ids, what) || err != nil || time.Since(began) != took {
					t.Errorf("%q, %v after %s; want %q after %s", ids, err, time.Since(began), what, took)
				}
			}
			tells := func(what string) {
				t.Helper()
				if err := r.Tell(t.Context(), []string{what}); err != nil {
					t.Fatal(err)
				}
			}
			tells("before")
			hears(0, "before")
			hears(500 * time.Millisecond)
			tells("now")
			hears(500*time.Millisecond, "now")
			tells("at once")
			wake <- struct{}{}
			hears(0, "at once")
			hears(500 * time.Millisecond)
		})
	})
}

// TestHearWhatWasBefore checks that a replica that starts receives the purges of the last
// two hours once, and no much older ones. A token of Ory that was revoked then may still
// be in use.
func TestHearWhatWasBefore(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		tell := func(ago time.Duration, ids ...string) {
			t.Helper()
			if err := db.replica(t, func() time.Time { return time.Now().Add(-ago) }).Tell(t.Context(), ids); err != nil {
				t.Fatal(err)
			}
		}
		none, err := db.replica(t, now).Hear(t.Context())
		if err != nil || len(none) != 0 {
			t.Errorf("nothing was sent, but received: %q, %v", none, err)
		}
		many := make([]string, 150)
		for n := range many {
			many[n] = fmt.Sprintf("old-%d", n)
		}
		tell(3*time.Hour, append([]string{"oldest"}, many...)...)
		old := db.replica(t, now)
		if heard, err := old.Hear(t.Context()); err != nil || slices.Contains(heard, "oldest") {
			t.Errorf("heard %q, %v", heard, err)
		}
		tell(110*time.Minute, "recent")
		r := db.replica(t, now)
		heard, err := r.Hear(t.Context())
		if err != nil || !slices.Contains(heard, "recent") || slices.Contains(heard, "oldest") {
			t.Errorf("heard %q, %v", heard, err)
		}
		if again, err := r.Hear(t.Context()); err != nil || len(again) != 0 {
			t.Errorf("heard twice: %q, %v", again, err)
		}
	})
}

// TestOldPurgesGo checks that the table does not grow without limit.
func TestOldPurgesGo(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		clock := time.Now().Add(-24 * time.Hour)
		r := db.replica(t, func() time.Time { return clock })
		if err := r.Tell(t.Context(), []string{"old"}); err != nil {
			t.Fatal(err)
		}
		clock = time.Now()
		if err := db.replica(t, func() time.Time { return clock }).Tell(t.Context(), []string{"new"}); err != nil {
			t.Fatal(err)
		}
		var what string
		table := map[sqlstore.Dialect]string{sqlstore.SQLite: "symbolon_purges", sqlstore.Postgres: "symbolon.purges"}[db.dialect]
		if err := db.QueryRow("select what from " + table).Scan(&what); err != nil || what != "new" {
			t.Errorf("%q, %v", what, err)
		}
	})
}
