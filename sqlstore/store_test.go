package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// variant is one kind of users table.
type variant struct {
	name             string
	postgres, sqlite string // create table
	users            sqlstore.Users
	fills            bool // the key has a default
}

var email = map[string]string{"email": "traits.email"}

var variants = []variant{
	{name: "default"},
	{
		name:     "uuid minted",
		postgres: `create schema app; create table app.people ("Id" uuid primary key, "Ory" uuid unique, email text)`,
		sqlite:   `create table people ("Id" uuid primary key, "Ory" uuid unique` + oryWrites + `, email text)`,
		users:    sqlstore.Users{Table: "app.people", ID: "Id", Identity: "Ory", Columns: email},
	},
	{
		name:     "text minted",
		postgres: `create table people (id text primary key, ory varchar(36) unique` + oryWrites + `, email varchar(255))`,
		sqlite:   `create table people (id varchar(36) primary key, ory text unique` + oryWrites + `, email varchar(255)) without rowid`,
		users:    sqlstore.Users{Table: "people", Identity: "ory", Columns: email},
	},
	{
		name:     "bigserial",
		postgres: `create table people (id bigserial primary key, ory uuid unique, email text)`,
		sqlite:   `create table people (id integer primary key, ory text unique` + oryWrites + `, email text)`,
		users:    sqlstore.Users{Table: "people", Identity: "ory", NewID: sqlstore.ByDatabase, Columns: email},
		fills:    true,
	},
	{
		name:     "integer identity",
		postgres: `create table people (id integer generated always as identity primary key, ory text unique` + oryWrites + `, email text)`,
		sqlite:   `create table people (id integer primary key autoincrement, ory text unique` + oryWrites + `, email text)`,
		users:    sqlstore.Users{Table: "people", Identity: "ory", NewID: sqlstore.ByDatabase, Columns: email},
		fills:    true,
	},
	{
		name:     "uuid default",
		postgres: `create table people (id uuid primary key default gen_random_uuid(), ory uuid unique, email text)`,
		sqlite:   `create table people (id text primary key not null default (lower(hex(randomblob(16)))), ory text unique` + oryWrites + `, email text)`,
		users:    sqlstore.Users{Table: "people", Identity: "ory", NewID: sqlstore.ByDatabase, Columns: email},
		fills:    true,
	},
	{
		name:     "by identity",
		postgres: `create table people (id uuid primary key, ory uuid unique, email text)`,
		sqlite:   `create table people (id text primary key not null, ory text unique` + oryWrites + `, email text)`,
		users:    sqlstore.Users{Table: "people", Identity: "ory", NewID: sqlstore.ByIdentity, Columns: email},
	},
	{
		name:     "one column",
		postgres: `create table people (id uuid primary key, email text)`,
		sqlite:   `create table people (id text primary key not null` + strings.ReplaceAll(oryWrites, "ory", "id") + `, email text)`,
		users:    sqlstore.Users{Table: "people", Identity: "id", NewID: sqlstore.ByIdentity, Columns: email},
	},
	{name: "by application", users: sqlstore.Users{NewID: sqlstore.ByApplication}},
}

func TestStore(t *testing.T) {
	onBothVariants(t, func(t *testing.T, db *people) {
		symbolontest.TestStore(t, func(t *testing.T) symbolontest.StoreFixture { return db.fixture(t) })
		t.Run("user rows", db.testUserRows)
	})
}

// onBothVariants is onBoth for each variant, one after the other, because a fixture may stop
// the Postgres that all of them share.
func onBothVariants(t *testing.T, f func(t *testing.T, db *people)) {
	t.Helper()
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
				t.Run(string(dialect), func(t *testing.T) {
					t.Parallel()
					f(t, openVariant(t, v, dialect))
				})
			}
		})
	}
}

// people is a database with a users table of one variant.
type people struct {
	database
	variant
	again *sql.DB
}

func openVariant(t *testing.T, v variant, dialect sqlstore.Dialect) *people {
	t.Helper()
	p := &people{database: open(t, dialect), variant: v}
	p.again = p.database.again(t)
	create := v.postgres
	if dialect == sqlstore.SQLite {
		create = v.sqlite
		p.users.Table = strings.Replace(p.users.Table, "app.", "main.", 1)
	}
	p.must(t, create+`; create table scribbles (n integer)`)
	if err := p.store(p.DB).Check(context.Background()); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *people) store(db *sql.DB) *sqlstore.Store {
	return &sqlstore.Store{DB: db, DrawDB: p.again, Dialect: p.dialect, Users: p.users}
}

func (p *people) must(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := p.Exec(query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// sql replaces the placeholders by the names of the users table.
func (p *people) sql(text string) string {
	table, id, identity := "symbolon_users", "id", "ory_identity_id"
	if p.users.NewID == sqlstore.ByApplication {
		table = map[sqlstore.Dialect]string{sqlstore.Postgres: "symbolon.remote_users", sqlstore.SQLite: "symbolon_remote_users"}[p.dialect]
	}
	if p.users.Table != "" {
		table, id, identity = p.users.Table, p.users.ID, p.users.Identity
	}
	if id == "" {
		id = "id"
	}
	return strings.NewReplacer("{users}", table, "{id}", `"`+id+`"`, "{identity}", `"`+identity+`"`).Replace(text)
}

func (p *people) empty(t testing.TB) {
	prefix := "symbolon."
	if p.dialect == sqlstore.SQLite {
		prefix = "symbolon_"
	}
	for _, table := range []string{prefix + "links", prefix + "retired", prefix + "events", prefix + "findings", p.sql("{users}"), "scribbles"} {
		p.must(t, "delete from "+table)
	}
	p.must(t, "delete from "+prefix+"starts where project <> ''")
}

func (p *people) fixture(t *testing.T) symbolontest.StoreFixture {
	p.empty(t)
	store := p.store(p.DB)
	f := symbolontest.StoreFixture{
		Store:      store,
		Again:      func() symbolon.Store { return p.store(p.again) },
		InsertUser: func(id symbolon.IdentityID) symbolon.UserID { return p.insertUser(t, id) },
		DeleteUser: func(u symbolon.UserID) {
			p.must(t, p.sql(`delete from {users} where cast({id} as text) = $1`), string(u))
		},
		SetIdentity: func(u symbolon.UserID, id symbolon.IdentityID) { p.setIdentity(t, u, id) },
		Users:       func() map[symbolon.UserID]symbolon.IdentityID { return p.all(t) },
		InTx:        func(f func(symbolon.Execer) error) { p.inTx(t, f) },
		OneColumn:   p.users.Identity == "id",
		Email:       func(u symbolon.UserID) string { return p.email(t, u) },
		OnLink: func(f func(context.Context, symbolon.Execer, symbolon.Link) error) {
			store.OnLink = func(ctx context.Context, tx *sqlstore.Tx, link symbolon.Link) error { return f(ctx, tx.SQL(), link) }
		},
		Scribble: func(ctx context.Context, tx symbolon.Execer) error {
			_, err := tx.ExecContext(ctx, `insert into scribbles (n) values (1)`)
			return err
		},
		Scribbled: func() int { return p.count(t, `select count(*) from scribbles`) },
		Compact: func(ctx context.Context, before time.Time) error {
			for { // some tests lose the answers of commits
				if _, err := store.Compact(ctx, "default", before); !errors.Is(err, symbolon.ErrUnavailable) {
					return err
				}
			}
		},
	}
	if p.users.NewID == sqlstore.ByApplication {
		f.Email = nil
	}
	if p.name == "default" {
		f.Stop = func() func() { return p.stop(t) }
	}
	return f
}

func (p *people) insertUser(t testing.TB, id symbolon.IdentityID) (user symbolon.UserID) {
	t.Helper()
	var identity any
	if id != "" {
		identity = string(id)
	}
	query, args := `insert into {users} ({id}, {identity}) values ($1, $2) returning cast({id} as text)`, []any{newUUID(), identity}
	switch {
	case p.users.Identity == "id" && p.users.Table != "":
		query, args = `insert into {users} ({id}) values ($1) returning cast({id} as text)`, []any{identity}
	case p.fills:
		query, args = `insert into {users} ({identity}) values ($1) returning cast({id} as text)`, []any{identity}
	}
	if err := p.QueryRow(p.sql(query), args...).Scan(&user); err != nil {
		t.Fatal(err)
	}
	return user
}

func (p *people) setIdentity(t testing.TB, u symbolon.UserID, id symbolon.IdentityID) {
	var identity any
	if id != "" {
		identity = string(id)
	}
	p.must(t, p.sql(`update {users} set {identity} = $1 where cast({id} as text) = $2`), identity, string(u))
}

func (p *people) all(t testing.TB) map[symbolon.UserID]symbolon.IdentityID {
	rows, err := p.Query(p.sql(`select cast({id} as text), coalesce(cast({identity} as text), '') from {users}`))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := map[symbolon.UserID]symbolon.IdentityID{}
	for rows.Next() {
		var u symbolon.UserID
		var id symbolon.IdentityID
		if err := rows.Scan(&u, &id); err != nil {
			t.Fatal(err)
		}
		out[u] = id
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func (p *people) inTx(t testing.TB, f func(symbolon.Execer) error) {
	tx, err := p.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if f(tx) == nil {
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *people) email(t testing.TB, u symbolon.UserID) string {
	var s sql.NullString
	if err := p.QueryRow(p.sql(`select email from {users} where cast({id} as text) = $1`), string(u)).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s.String
}

func (p *people) count(t testing.TB, query string, args ...any) (n int) {
	t.Helper()
	if err := p.QueryRow(query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// stop stops the shared Postgres, or takes SQLite's write lock.
func (p *people) stop(t *testing.T) (start func()) {
	ctx := context.Background()
	if p.dialect == sqlstore.Postgres {
		pg := symbolontest.SharedPostgres(t)
		pg.Stop()
		return func() {
			if err := pg.Start(ctx); err != nil {
				t.Fatal(err)
			}
			for _, pool := range []*sql.DB{p.DB, p.again} { // later tests must not find the broken connections
				pool.SetMaxIdleConns(0)
				pool.SetMaxIdleConns(2)
			}
		}
	}
	conn, err := p.again.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(ctx, `begin exclusive`); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := conn.ExecContext(ctx, `rollback`); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
}

func newUUID() string {
	return string(mint.NewMinter("test").Mint(now()))
}
