package sqlstore_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/chaos"
	"github.com/symbolon-id/symbolon/sqlstore"
)

func queryFor(id symbolon.Identity, claims ...symbolon.UserID) symbolon.Query {
	return symbolon.Query{Project: "default", Reading: symbolon.Reading{Identity: id}, Claims: claims}
}

// TestRowAppearsMeanwhile inserts a row between our look and our write, as a hand-written
// hook may do. This row is then linked. It runs on Postgres only, because SQLite blocks
// other writers.
func TestRowAppearsMeanwhile(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	p := create(t, db, "extra text", nil)
	store, id := p.store(p.DB), identityWith(`{}`)
	theirs, calls := newUUID(), 0
	out, err := store.Write(t.Context(), queryFor(id), func(h symbolon.Evidence) (symbolon.Plan, error) {
		calls++
		if h.Row != nil {
			return symbolon.Plan{Action: symbolon.Attach, User: h.Row.ID}, nil
		}
		p.must(t, p.sql(`insert into {users} (id, ory) values ($1, $2)`), theirs, string(id.ID))
		return symbolon.Plan{Action: symbolon.Create, User: symbolon.UserID(newUUID())}, nil
	})
	if err != nil || out.Link.User != symbolon.UserID(theirs) || calls != 2 || !out.New {
		t.Fatalf("%+v after %d calls, %v", out, calls, err)
	}

	// Another identity takes the row that was to be attached.
	free, other := newUUID(), identityWith(`{}`)
	p.must(t, p.sql(`insert into {users} (id) values ($1)`), free)
	calls = 0
	out, err = store.Write(t.Context(), queryFor(other, symbolon.UserID(free)), func(h symbolon.Evidence) (symbolon.Plan, error) {
		calls++
		if h.Claims[0].Owner() != "" {
			return symbolon.Plan{Action: symbolon.Create, User: symbolon.UserID(newUUID())}, nil
		}
		p.must(t, p.sql(`update {users} set ory = $1 where id = $2`), newUUID(), free)
		return symbolon.Plan{Action: symbolon.Attach, User: symbolon.UserID(free)}, nil
	})
	if err != nil || out.Link.User == symbolon.UserID(free) || calls != 2 {
		t.Fatalf("%+v after %d calls, %v", out, calls, err)
	}

	// A decision that conflicts every time ends with an error.
	calls = 0
	_, err = store.Write(t.Context(), queryFor(identityWith(`{}`)), func(symbolon.Evidence) (symbolon.Plan, error) {
		calls++
		return symbolon.Plan{Action: symbolon.Create, User: symbolon.UserID(free)}, nil
	})
	if !errors.Is(err, symbolon.ErrUnavailable) || calls > 8 {
		t.Fatalf("%d calls, %v", calls, err)
	}
}

// TestApplicationReusesAnID gives the ID of a deleted user to a new identity, by SQLite
// and the application's own hook. The row is then linked, and Forget works again.
func TestApplicationReusesAnID(t *testing.T) {
	db := open(t, sqlstore.SQLite)
	p := &people{database: db, variant: variant{users: sqlstore.Users{Table: "people", Identity: "ory", NewID: sqlstore.ByDatabase}}}
	p.must(t, `create table people (id integer primary key, ory text unique`+oryWrites+`)`)
	l := linkerOf(p.store(p.DB))
	for round := range 2 {
		id := identityWith(`{}`)
		p.must(t, `insert into people (ory) values ($1)`, string(id.ID))
		link, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
		if err != nil || link.User != "1" {
			t.Fatalf("round %d: %+v, %v", round, link, err)
		}
		p.inTx(t, func(tx symbolon.Execer) error { return l.Forget(t.Context(), tx, "1") })
		p.must(t, `delete from people`)
		if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id}); !errors.Is(err, symbolon.ErrUserGone) {
			t.Fatalf("round %d: %v", round, err)
		}
		r, err := l.Record(t.Context(), string(id.ID))
		if err != nil || len(r.Findings) != 0 || r.Events[len(r.Events)-1].Identity != id.ID {
			t.Fatalf("round %d: %+v, %v", round, r, err)
		}
	}
	link, err := l.Link(t.Context(), symbolon.Reading{Identity: identityWith(`{}`)})
	if err != nil || link.User == "1" {
		t.Fatalf("Symbolon gave a retired ID out: %+v, %v", link, err)
	}
}

// TestDeadlock has two moves that wait for each other's entry. Postgres cancels one of
// them, which is then repeated.
func TestDeadlock(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	p := create(t, db, "extra text", nil)
	store := p.store(p.DB)
	a, b := identityWith(`{}`), identityWith(`{}`)
	users := map[symbolon.IdentityID]symbolon.UserID{}
	for _, id := range []symbolon.Identity{a, b} {
		link, err := linkerOf(store).Link(t.Context(), symbolon.Reading{Identity: id})
		if err != nil {
			t.Fatal(err)
		}
		users[id.ID] = link.User
	}
	var both, wg sync.WaitGroup
	both.Add(2)
	swap := func(id, other symbolon.Identity) {
		var once sync.Once
		_, err := store.Write(t.Context(), queryFor(id, users[other.ID]), func(symbolon.Evidence) (symbolon.Plan, error) {
			once.Do(func() { both.Done(); both.Wait() })
			return symbolon.Plan{Action: symbolon.Attach, User: users[other.ID], Release: other.ID}, nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	wg.Go(func() { swap(a, b) })
	wg.Go(func() { swap(b, a) })
	wg.Wait()
	if n := p.count(t, `select count(*) from symbolon.links where state = 'linked'`); n != 1 {
		t.Fatalf("%d bonds", n)
	}
}

// TestSerializableByDefault checks that we do not depend on the server's default
// isolation.
func TestSerializableByDefault(t *testing.T) {
	db := openEmpty(t, sqlstore.Postgres)
	db.dsn += "&default_transaction_isolation=serializable"
	db.DB = db.again(t)
	db.migrate(t)
	p := create(t, db, "extra text", nil)
	store, id := p.store(p.DB), identityWith(`{}`)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := linkerOf(store).Link(context.Background(), symbolon.Reading{Identity: id}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestPoolOfOne needs only one connection and does not use SQLite's busy timeout.
func TestPoolOfOne(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		db.SetMaxOpenConns(1)
		p := create(t, db, "email text unique", map[string]string{"email": "traits.email"})
		store := p.store(p.DB)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := linkerOf(store).Link(context.Background(), symbolon.Reading{Identity: identityWith(`{"email":"a@example.com"}`)}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func TestNoBusyTimeout(t *testing.T) {
	db := database{dialect: sqlstore.SQLite, dsn: filepath.Join(t.TempDir(), "x.db")} // without a write-ahead log
	db.DB = db.again(t)
	db.migrate(t)
	p := create(t, db, "extra text", nil)
	conn, err := db.again(t).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	store := p.store(p.DB)
	for _, hold := range []time.Duration{200 * time.Millisecond, time.Minute} {
		if _, err := conn.ExecContext(t.Context(), `begin exclusive`); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(hold, func() { _, _ = conn.ExecContext(context.Background(), `rollback`) })
		began := time.Now()
		_, err = store.Write(t.Context(), queryFor(identityWith(`{}`)), func(symbolon.Evidence) (symbolon.Plan, error) {
			return symbolon.Plan{Action: symbolon.Create, User: symbolon.UserID(newUUID())}, nil
		})
		took := time.Since(began)
		if hold < time.Second && (err != nil || took < hold) || hold > time.Second && (!errors.Is(err, symbolon.ErrUnavailable) || took > 30*time.Second) {
			t.Fatalf("held for %v: %v after %v", hold, err, took)
		}
		timer.Stop()
	}
}

// TestConnectionLost checks that a broken connection in the middle leaves nothing.
func TestConnectionLost(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	p := create(t, db, "extra text", nil)
	store, id := p.store(p.DB), identityWith(`{}`)
	_, err := store.Write(t.Context(), queryFor(id), func(symbolon.Evidence) (symbolon.Plan, error) {
		if n := chaos.Terminate(t, db.DB, `state = 'idle in transaction'`); n != 1 {
			t.Errorf("%d connections were ended", n)
		}
		return symbolon.Plan{Action: symbolon.Create, User: symbolon.UserID(newUUID())}, nil
	})
	if !errors.Is(err, symbolon.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	if h, err := store.Read(t.Context(), queryFor(id)); err != nil || h.Link != nil || h.Row != nil {
		t.Fatalf("%+v %v", h, err)
	}
	if _, err := linkerOf(store).Link(t.Context(), symbolon.Reading{Identity: id}); err != nil {
		t.Fatal(err)
	}
}

// TestDemoted checks that the connections to a server that was demoted to a standby are
// dropped, and that the first call already gets through on a new one.
func TestDemoted(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	p := create(t, db, "extra text", nil)
	const connections = 8
	chaos.Demote(t, db.DB, connections)
	if n := db.Stats().Idle; n != connections {
		t.Fatalf("%d idle connections", n)
	}
	id := identityWith(`{}`)
	if _, err := linkerOf(p.store(p.DB)).Link(t.Context(), symbolon.Reading{Identity: id}); err != nil {
		t.Fatal(err)
	}
	chaos.ReadOnly(t, db.DB)
	standby := p.store(db.again(t))
	if _, err := linkerOf(standby).Link(t.Context(), symbolon.Reading{Identity: identityWith(`{}`)}); !errors.Is(err, symbolon.ErrUnavailable) {
		t.Errorf("a database that takes no writes: %v", err)
	}
}

// TestOnLinkSerialization checks that an error of OnLink is retried if a retry may fix
// it.
func TestOnLinkSerialization(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	p := create(t, db, "extra text", nil)
	store, calls := p.store(p.DB), 0
	store.OnLink = func(ctx context.Context, tx *sqlstore.Tx, _ symbolon.Link) error {
		calls++
		if calls == 1 {
			_, err := tx.SQL().ExecContext(ctx, `do $$ begin raise exception using errcode = '40001'; end $$`)
			return err
		}
		return nil
	}
	if _, err := linkerOf(store).Link(t.Context(), symbolon.Reading{Identity: identityWith(`{}`)}); err != nil || calls != 2 {
		t.Fatalf("%d calls, %v", calls, err)
	}
}

// TestForgetMeetsMove moves a user while the application deletes it. In every order no
// identity has a retired ID at the end, and the history is complete.
func TestForgetMeetsMove(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := create(t, db, "extra text", nil)
		store := p.store(p.DB)
		for range size(20, 1000) {
			a, b := identityWith(`{}`), identityWith(`{}`)
			link, err := linkerOf(store).Link(t.Context(), symbolon.Reading{Identity: a})
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				tx, err := p.Begin()
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = tx.Rollback() }()
				if err := store.Forget(t.Context(), tx, "default", link.User); err != nil {
					t.Error(err)
				} else if _, err := tx.Exec(p.sql(`delete from {users} where id = $1`), string(link.User)); err != nil {
					t.Error(err)
				} else if err := tx.Commit(); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				_, err := linkerOf(store).Bind(t.Context(), b.ID, link.User, symbolon.BindOptions{Move: true})
				if errors.Is(err, symbolon.ErrUnavailable) {
					t.Error(err)
				}
			})
			wg.Wait()
			linked := map[sqlstore.Dialect]string{sqlstore.SQLite: `select count(*) from symbolon_links where user_id = $1 and state = 'linked'`,
				sqlstore.Postgres: `select count(*) from symbolon.links where user_id = $1 and state = 'linked'`}[p.dialect]
			if n := p.count(t, linked, string(link.User)); n != 0 {
				t.Fatal("an identity has a retired ID")
			}
			r, err := store.Record(t.Context(), "default", string(link.User))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range r.Events {
				h, err := store.Read(t.Context(), queryFor(symbolon.Identity{ID: e.Identity}))
				if e.Kind == symbolon.UserForgotten && (err != nil || h.Link == nil || h.Link.State != symbolon.Forgotten) {
					t.Fatalf("the history says that %s was forgotten, the ledger %+v, %v", e.Identity, h.Link, err)
				}
			}
		}
	})
}
