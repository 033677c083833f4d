package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/pgxtx"
)

// counted returns a pool of pgxtx.OpenDB with one connection, and the number of messages
// that it has sent. Each round trip is one message.
func (db database) counted(t *testing.T) (sent *atomic.Int64, counted database) {
	conf, err := pgx.ParseConfig(db.dsn)
	if err != nil {
		t.Fatal(err)
	}
	sent = &atomic.Int64{}
	conf.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		return countingConn{c, sent}, err
	}
	db.DB = pgxtx.OpenDB(*conf, pgxtx.Limits{})
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return sent, db
}

type countingConn struct {
	net.Conn
	sent *atomic.Int64
}

func (c countingConn) Write(b []byte) (int, error) {
	c.sent.Add(1)
	return c.Conn.Write(b)
}

// TestRoundTrips counts the round trips of a new link.
func TestRoundTrips(t *testing.T) {
	sent, db := open(t, sqlstore.Postgres).counted(t)
	p := defaultPeople(db)
	run(t, db, "create table of_text (id uuid primary key, ory_identity_id text unique)")
	ofText := sqlstore.Users{Table: "of_text", Columns: map[string]string{}}
	for _, c := range []struct {
		name  string
		store *sqlstore.Store
		want  int64
	}{
		{"a minted ID", p.store(db.DB), 2},
		{"a column of text", &sqlstore.Store{DB: db.DB, Dialect: db.dialect, Users: ofText}, 2},
		{"an ID of the database", &sqlstore.Store{DB: db.DB, Dialect: db.dialect, Users: sqlstore.Users{NewID: sqlstore.ByDatabase}}, 3},
		{"with OnLink", &sqlstore.Store{DB: db.DB, Dialect: db.dialect, OnLink: func(context.Context, *sqlstore.Tx, symbolon.Link) error { return nil }}, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			var trips int64
			for range 2 { // the first call reads the shape of the table and prepares the statements
				user := symbolon.UserID("")
				if c.store.NewID() == symbolon.ByMint {
					user = symbolon.UserID(newUUID())
				}
				before := sent.Load()
				if _, err := linkNew(c.store, user); err != nil {
					t.Fatal(err)
				}
				trips = sent.Load() - before
			}
			if trips != c.want {
				t.Errorf("%d round trips, want %d", trips, c.want)
			}
		})
	}
}

// TestOddRows has tables that store another row than the statement says. Nobody looks at
// the row before the commit, so the commit itself must notice it. The outcome must be the
// same as that of a pool that sends one statement after another.
func TestOddRows(t *testing.T) {
	for name, body := range map[string]string{
		"another ID":       `new.id := md5(new.ory_identity_id::text)::uuid; return new;`,
		"another identity": `new.ory_identity_id := md5(new.id::text)::uuid; return new;`,
		"no row":           `return null;`,
	} {
		t.Run(name, func(t *testing.T) {
			p := defaultPeople(open(t, sqlstore.Postgres))
			p.must(t, `create function odd() returns trigger language plpgsql as $$ begin `+body+` end $$`)
			p.must(t, `create trigger odd before insert on symbolon_users for each row execute function odd()`)
			outcome := func(pool *sql.DB) string {
				link, err := linkNew(p.store(pool), symbolon.UserID(newUUID()))
				rows := p.count(t, `select count(*) from symbolon_users where id::text = $1`, string(link.User))
				return fmt.Sprintf("%s %s, %d rows, error: %t", link.State, link.Reason, rows, err != nil)
			}
			if got, want := outcome(p.DB), outcome(p.database.again(t)); got != want {
				t.Errorf("%s, one by one: %s", got, want)
			}
		})
	}
}

// TestRetiredWhileDeciding retires the ID of a new user after the evidence was read.
func TestRetiredWhileDeciding(t *testing.T) {
	p := defaultPeople(open(t, sqlstore.Postgres))
	store, retired, fresh := p.store(p.DB), symbolon.UserID(newUUID()), symbolon.UserID(newUUID())
	q := symbolon.Query{Project: "default", Reading: symbolon.Reading{Identity: identityWith(`{}`)}, Claims: []symbolon.UserID{retired}}
	out, err := store.Write(t.Context(), q, func(e symbolon.Evidence) (symbolon.Plan, error) {
		if e.Claims[0].Retired {
			return symbolon.Plan{Action: symbolon.Create, User: fresh}, nil
		}
		p.must(t, `insert into symbolon.retired (project, user_id, retired_at) values ('default', $1, now())`, string(retired))
		return symbolon.Plan{Action: symbolon.Create, User: retired}, nil
	})
	if err != nil || out.Link.User != fresh || len(p.all(t)) != 1 {
		t.Errorf("%+v, %v; %d rows", out, err, len(p.all(t)))
	}
}
