package sqlstore_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

func queryFor(id symbolon.Identity, claims ...symbolon.UserID) symbolon.Query {
	return symbolon.Query{Project: "default", Seen: symbolon.Seen{Identity: id}, Claims: claims}
}

// A hand-written hook inserts the row between our look and our write: then that
// row is the link. Only on Postgres can anybody write meanwhile.
func TestRowAppearsMeanwhile(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	p := create(t, db, "extra text", nil)
	store, id := p.store(p.DB), identityWith(`{}`)
	theirs, calls := newUUID(), 0
	out, err := store.Write(t.Context(), queryFor(id), func(h symbolon.Held) (symbolon.Plan, error) {
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

	// The row that was to be attached is taken by somebody else's hook.
	free, other := newUUID(), identityWith(`{}`)
	p.must(t, p.sql(`insert into {users} (id) values ($1)`), free)
	calls = 0
	out, err = store.Write(t.Context(), queryFor(other, symbolon.UserID(free)), func(h symbolon.Held) (symbolon.Plan, error) {
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

	// A decision that never comes to terms with what is there ends.
	calls = 0
	_, err = store.Write(t.Context(), queryFor(identityWith(`{}`)), func(symbolon.Held) (symbolon.Plan, error) {
		calls++
		return symbolon.Plan{Action: symbolon.Create, User: symbolon.UserID(free)}, nil
	})
	if !errors.Is(err, symbolon.ErrUnavailable) || calls > 8 {
		t.Fatalf("%d calls, %v", calls, err)
	}
}

// SQLite gives the number of a deleted last row again, and the application's own
// hook may do so for a new identity: its word counts, and Forget works again.
func TestApplicationReusesAnID(t *testing.T) {
	db := open(t, sqlstore.SQLite)
	p := &people{database: db, variant: variant{users: sqlstore.Users{Table: "people", Identity: "ory", NewID: sqlstore.ByDatabase}}}
	p.must(t, `create table people (id integer primary key, ory text unique)`)
	l := linkerOf(p.store(p.DB))
	for round := range 2 {
		id := identityWith(`{}`)
		p.must(t, `insert into people (ory) values ($1)`, string(id.ID))
		link, err := l.Link(t.Context(), symbolon.Seen{Identity: id})
		if err != nil || link.User != "1" {
			t.Fatalf("round %d: %+v, %v", round, link, err)
		}
		p.inTx(t, func(tx symbolon.Execer) error { return l.Forget(t.Context(), tx, "1") })
		p.must(t, `delete from people`)
		if _, err := l.Link(t.Context(), symbolon.Seen{Identity: id}); !errors.Is(err, symbolon.ErrUserGone) {
			t.Fatalf("round %d: %v", round, err)
		}
		r, err := l.Record(t.Context(), string(id.ID))
		if err != nil || len(r.Findings) != 0 || r.Events[len(r.Events)-1].Identity != id.ID {
			t.Fatalf("round %d: %+v, %v", round, r, err)
		}
	}
	link, err := l.Link(t.Context(), symbolon.Seen{Identity: identityWith(`{}`)})
	if err != nil || link.User == "1" {
		t.Fatalf("Symbolon itself gave a retired ID out: %+v, %v", link, err)
	}
}

// Two moves that want each other's entry wait for each other; Postgres ends one,
// which is begun again.
func TestDeadlock(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	p := create(t, db, "extra text", nil)
	store := p.store(p.DB)
	a, b := identityWith(`{}`), identityWith(`{}`)
	users := map[symbolon.IdentityID]symbolon.UserID{}
	for _, id := range []symbolon.Identity{a, b} {
		link, err := linkerOf(store).Link(t.Context(), symbolon.Seen{Identity: id})
		if err != nil {
			t.Fatal(err)
		}
		users[id.ID] = link.User
	}
	var both, wg sync.WaitGroup
	both.Add(2)
	swap := func(id, other symbolon.Identity) {
		var once sync.Once
		_, err := store.Write(t.Context(), queryFor(id, users[other.ID]), func(symbolon.Held) (symbolon.Plan, error) {
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

// The server's default isolation is not ours.
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
			if _, err := linkerOf(store).Link(context.Background(), symbolon.Seen{Identity: id}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// One connection is enough, and SQLite's own patience is not needed.
func TestPoolOfOne(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		db.SetMaxOpenConns(1)
		p := create(t, db, "email text unique", map[string]string{"email": "traits.email"})
		store := p.store(p.DB)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := linkerOf(store).Link(context.Background(), symbolon.Seen{Identity: identityWith(`{"email":"a@example.com"}`)}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func TestNoBusyTimeout(t *testing.T) {
	db := database{dialect: sqlstore.SQLite, dsn: filepath.Join(t.TempDir(), "x.db")} // not even a write-ahead log
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
		_, err = store.Write(t.Context(), queryFor(identityWith(`{}`)), func(symbolon.Held) (symbolon.Plan, error) {
			return symbolon.Plan{Action: symbolon.Create, User: symbolon.UserID(newUUID())}, nil
		})
		took := time.Since(began)
		if hold < time.Second && (err != nil || took < hold) || hold > time.Second && (!errors.Is(err, symbolon.ErrUnavailable) || took > 6*time.Second) {
			t.Fatalf("held for %v: %v after %v", hold, err, took)
		}
		timer.Stop()
	}
}

// A connection that breaks in the middle leaves nothing.
func TestConnectionLost(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	p := create(t, db, "extra text", nil)
	store, id := p.store(p.DB), identityWith(`{}`)
	_, err := store.Write(t.Context(), queryFor(id), func(symbolon.Held) (symbolon.Plan, error) {
		if _, err := db.Exec(`select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()
			and state = 'idle in transaction'`); err != nil {
			t.Error(err)
		}
		return symbolon.Plan{Action: symbolon.Create, User: symbolon.UserID(newUUID())}, nil
	})
	if !errors.Is(err, symbolon.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	if h, err := store.Look(t.Context(), queryFor(id)); err != nil || h.Link != nil || h.Row != nil {
		t.Fatalf("%+v %v", h, err)
	}
	if _, err := linkerOf(store).Link(t.Context(), symbolon.Seen{Identity: id}); err != nil {
		t.Fatal(err)
	}
}

// What the application's own rules refuse: no user, the reason without anybody's
// data, and a new attempt with every call.
func TestTableRefuses(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		t.Run("a trigger", func(t *testing.T) {
			p := create(t, db, "email text", map[string]string{"email": "traits.email"})
			p.trigger(t, "insert", "new.email like '%@blocked.example' or new.email is null")
			l := linkerOf(p.store(p.DB))
			id := identityWith(`{"email":"eve@blocked.example"}`)
			_, err := l.Link(t.Context(), symbolon.Seen{Identity: id})
			if !errors.Is(err, symbolon.ErrCannotCreate) || strings.Contains(err.Error(), "eve") {
				t.Fatalf("got %v", err)
			}
			id.Traits = []byte(`{"email":"eve@example.com"}`)
			if _, err := l.Link(t.Context(), symbolon.Seen{Identity: id}); err != nil {
				t.Fatal(err)
			}
		})
		t.Run("a trigger on the identity column", func(t *testing.T) {
			p := create(t, db, "extra text", nil)
			p.trigger(t, "update", "new.extra = 'frozen'")
			user, id := newUUID(), identityWith(`{}`)
			p.must(t, p.sql(`insert into {users} (id, extra) values ($1, 'frozen')`), user)
			store := p.store(p.DB)
			_, err := linkerOf(store).Bind(t.Context(), id.ID, symbolon.UserID(user), symbolon.BindOptions{})
			if !errors.Is(err, symbolon.ErrCannotCreate) {
				t.Fatalf("got %v", err)
			}
			link, err := linkerOf(store).Link(t.Context(), symbolon.Seen{Identity: id})
			if err != nil {
				t.Fatal(err)
			}
			_, err = linkerOf(store).Bind(t.Context(), id.ID, symbolon.UserID(user), symbolon.BindOptions{Move: true})
			if err == nil || errors.Is(err, symbolon.ErrUnavailable) {
				t.Fatalf("got %v", err)
			}
			if h, err := store.Look(t.Context(), queryFor(id)); err != nil || *h.Link != link || h.Row == nil {
				t.Fatalf("a bind that failed changed the bond: %+v %v", h, err)
			}
		})
		t.Run("a foreign key", func(t *testing.T) {
			p := create(t, db, "extra text", nil)
			p.must(t, p.sql(`create table plans_of_{users} (name text primary key)`))
			p.must(t, p.sql(`alter table {users} add column plan text references plans_of_{users} (name)`))
			p.users.Columns = map[string]string{"plan": "traits.plan", "extra": "traits.extra"}
			l := linkerOf(p.store(p.DB))
			link, err := l.Link(t.Context(), symbolon.Seen{Identity: identityWith(`{"plan":"gold","extra":"x"}`)})
			if err != nil || p.extra(t, link.User) != "x" {
				t.Fatal(err)
			}
			wantHistory(t, l, link.Identity, "column_refused", "user.linked finding.opened")
		})
	})
	t.Run("a constraint that is checked at the end", func(t *testing.T) {
		p := create(t, open(t, sqlstore.Postgres), "email text unique deferrable initially deferred", map[string]string{"email": "traits.email"})
		l := linkerOf(p.store(p.DB))
		for _, want := range []string{"", "duplicate_email"} {
			link, err := l.Link(t.Context(), symbolon.Seen{Identity: identityWith(`{"email":"a@example.com"}`)})
			if err != nil {
				t.Fatal(err)
			}
			wantHistory(t, l, link.Identity, want, strings.TrimSpace("user.linked "+map[bool]string{true: "finding.opened"}[want != ""]))
		}
	})
}

// trigger refuses rows for which the condition holds.
func (p *people) trigger(t *testing.T, on, when string) {
	if p.dialect == sqlstore.SQLite {
		p.must(t, p.sql(`create trigger no_{users} before `+on+` on {users} when `+when+` begin select raise(abort, 'no: eve'); end`))
		return
	}
	p.must(t, p.sql(`create function no_{users}() returns trigger language plpgsql as $f$ begin
		if `+when+` then raise exception 'no: %', new.id || ' eve'; end if; return new; end $f$`))
	p.must(t, p.sql(`create trigger no_{users} before `+on+` on {users} for each row execute function no_{users}()`))
}

// An error of OnLink that a retry mends is retried.
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
	if _, err := linkerOf(store).Link(t.Context(), symbolon.Seen{Identity: identityWith(`{}`)}); err != nil || calls != 2 {
		t.Fatalf("%d calls, %v", calls, err)
	}
}

// The ledger's own tables refuse what is no identity, whoever writes.
func TestConstraints(t *testing.T) {
	bad := []string{"", "00000000-0000-0000-0000-000000000000", "9F425A8D-7EFC-4768-8F23-7647A74FDF13", "{9f425a8d-7efc-4768-8f23-7647a74fdf13}",
		"9f425a8d7efc47688f237647a74fdf13", "9f425a8d-7efc-4768-8f23-7647a74fdf1", "9f425a8d-7efc-4768-8f23-7647a74fdf130", "9f425a8d-7efc-4768-8f23-7647a74fdf1g",
		"urn:uuid:9f425a8d-7efc-4768-8f23-7647a74fdf13", "9f425a8d-7efc-4768-8f23-7647a74fdf13\n", " 9f425a8d-7efc-4768-8f23-7647a74fdf13", "nobody"}
	const good = "9f425a8d-7efc-4768-8f23-7647a74fdf13"
	onBoth(t, func(t *testing.T, db database) {
		p := &people{database: db}
		name := func(text string) string {
			if db.dialect == sqlstore.SQLite {
				return strings.ReplaceAll(text, "symbolon.", "symbolon_")
			}
			return text
		}
		refuse := func(text string, args ...any) {
			t.Helper()
			if _, err := db.Exec(name(text), args...); err == nil {
				t.Errorf("%s took %q", text, args)
			}
		}
		const link = `insert into symbolon.links (project, identity_id, user_id, state, reason, linked_at) values ($1, $2, $3, $4, $5, $6)`
		const at = "2026-01-02T03:04:05.000006Z"
		for _, id := range append(bad, good+"\x00", "9f425a8d-7efc-4768-8f23-7647a74fdf1\x00") {
			refuse(link, "default", id, "u", "linked", "", at)
			refuse(`insert into symbolon.findings (project, identity_id, kind, opened_at) values ('default', $1, 'moved', $2)`, id, at)
			refuse(`insert into symbolon.events (project, identity_id, kind, at) values ('default', $1, 'user.linked', $2)`, id, at)
			if id != "9F425A8D-7EFC-4768-8F23-7647A74FDF13" && !strings.HasPrefix(id, "{") && len(id) != 32 || db.dialect == sqlstore.SQLite {
				refuse(`insert into symbolon_users (id, ory_identity_id) values ($1, $2)`, newUUID(), id)
			}
		}
		refuse(link, "", good, "u", "linked", "", at)
		refuse(link, "default", nil, "u", "linked", "", at)
		refuse(link, "default", good, nil, "linked", "", at)
		refuse(link, "default", good, "", "linked", "", at)
		refuse(link, "default", good, "u", "linked", "", nil)
		refuse(link, "default", good, "u", "loose", "", at)
		refuse(link, "default", good, nil, "held", "", at)
		refuse(`insert into symbolon.retired (project, user_id, retired_at) values ('default', '', $1)`, at)
		p.must(t, name(link), "default", good, "u", "linked", "", at)
		refuse(link, "default", good, "v", "linked", "", at)
		refuse(link, "default", "9f425a8d-7efc-4768-8f23-7647a74fdf14", "u", "linked", "", at)
		p.must(t, name(link), "default", "9f425a8d-7efc-4768-8f23-7647a74fdf14", "u", "held", "moved", nil)
		p.must(t, name(link), "other", good, "u", "linked", "", at)
		const finding = `insert into symbolon.findings (project, identity_id, kind, opened_at, closed_at) values ('default', $1, 'moved', $2, $3)`
		p.must(t, name(finding), good, at, at)
		p.must(t, name(finding), good, at, nil)
		refuse(finding, good, at, nil)
	})
}

// The operator moves a user while the application deletes it. Whoever comes first,
// a retired ID is nobody's in the end, and the history says how it went.
func TestForgetMeetsMove(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := create(t, db, "extra text", nil)
		store := p.store(p.DB)
		for range size(20, 1000) {
			a, b := identityWith(`{}`), identityWith(`{}`)
			link, err := linkerOf(store).Link(t.Context(), symbolon.Seen{Identity: a})
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
				t.Fatal("a retired ID is somebody's")
			}
			r, err := store.Record(t.Context(), "default", string(link.User))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range r.Events {
				h, err := store.Look(t.Context(), queryFor(symbolon.Identity{ID: e.Identity}))
				if e.Kind == symbolon.UserForgotten && (err != nil || h.Link == nil || h.Link.State != symbolon.Forgotten) {
					t.Fatalf("the history says that %s was forgotten, the ledger %+v, %v", e.Identity, h.Link, err)
				}
			}
		}
	})
}
