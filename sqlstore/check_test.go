package sqlstore_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
)

func TestCheck(t *testing.T) {
	const base = "id %key% primary key, ory %ory% unique"
	tests := []struct {
		name   string
		table  string // columns; empty: no table
		after  string // further SQL
		users  sqlstore.Users
		faults []string // a part of each line, in any order; none: no fault
		left   []string // the columns that are left out
	}{
		{name: "default"},
		{name: "default, by the database", users: sqlstore.Users{NewID: sqlstore.ByDatabase}},
		{name: "plain", table: base},
		{name: "no such table", users: sqlstore.Users{Table: "nobodies"}, faults: []string{"no table nobodies"}},
		{name: "no such schema", users: sqlstore.Users{Table: "nowhere.nobodies"}, faults: []string{"no table nowhere.nobodies"}},
		{name: "no such columns", table: base, users: sqlstore.Users{ID: "uid", Identity: "oid", Columns: map[string]string{"mail": "traits.email"}},
			faults: []string{"no column uid", "no column oid"}, left: []string{"mail"}},
		{name: "a filled column is missing", table: base + ", plan text", users: sqlstore.Users{Columns: map[string]string{"mail": "traits.email", "plan": "'free'"}},
			left: []string{"mail"}},
		{name: "an emptied column is missing", table: base, users: sqlstore.Users{ReleaseColumns: []string{"phone"}, AnonymiseColumns: []string{"phone", "street"}},
			left: []string{"phone", "street"}},
		{name: "a number for active", table: base + ", live double precision", users: sqlstore.Users{Columns: map[string]string{"live": "active"}},
			faults: []string{"cannot hold whether an identity is active"}},
		{name: "key of a wrong type", table: "id boolean primary key, ory %ory% unique", faults: []string{"id is of type boolean"}},
		{name: "identity of a wrong type", table: "id %key% primary key, ory bigint unique", faults: []string{"cannot hold an Ory identity's ID"}},
		{name: "no unique index on the identity", table: "id %key% primary key, ory %ory%", faults: []string{"create unique index"}},
		{name: "a unique index with a condition", table: "id %key% primary key, ory %ory%",
			after: "create unique index on_ory_%table% on %table% (ory) where ory is not null", faults: []string{"create unique index"}},
		{name: "a unique index of two columns", table: "id %key% primary key, ory %ory%, extra text",
			after: "create unique index on_ory_%table% on %table% (ory, extra)", faults: []string{"create unique index"}},
		{name: "a unique index made later", table: "id %key% primary key, ory %ory%", after: "create unique index on_ory_%table% on %table% (ory)"},
		{name: "an identity that must not be null", table: "id %key% primary key, ory %ory% not null unique", faults: []string{"must allow null"}},
		{name: "a key that is not unique", table: "id %key%, ory %ory% unique", faults: []string{"is the key and has no unique index"}},
		{name: "a key of two columns", table: "id %key%, ory %ory% unique, extra %key%, primary key (id, extra)",
			users: sqlstore.Users{Columns: map[string]string{"extra": "'9f425a8d-7efc-4768-8f23-7647a74fdf13'"}}, faults: []string{"is the key and has no unique index"}},
		{name: "minted into an integer", table: "id bigint primary key, ory %ory% unique", faults: []string{"set new_id to database"}},
		{name: "identity into an integer", table: "id bigint primary key, ory %ory% unique", users: sqlstore.Users{NewID: sqlstore.ByIdentity}, faults: []string{"set new_id to database"}},
		{name: "nothing fills the key", table: base, users: sqlstore.Users{NewID: sqlstore.ByDatabase}, faults: []string{"a key that the database fills"}},
		{name: "mandatory columns", table: base + ", plan text not null, seats integer not null default 1, born text not null",
			faults: []string{"born is not null and has no default", "plan is not null and has no default"}},
		{name: "mandatory columns filled", table: base + ", plan text not null, born text not null",
			users: sqlstore.Users{Columns: map[string]string{"plan": "'free'", "born": "default(traits.born, 'x')"}}},
		{name: "a mandatory column filled with null", table: base + ", plan text not null",
			users: sqlstore.Users{Columns: map[string]string{"plan": "null"}}, faults: []string{"plan is not null"}},
		{name: "a constant of the wrong type", table: base + ", seats integer", users: sqlstore.Users{Columns: map[string]string{"seats": "'many'"}},
			faults: []string{"its constant cannot be written"}},
		{name: "generated columns", table: base + ", extra text generated always as ('x') stored",
			users: sqlstore.Users{Columns: map[string]string{"extra": "traits.x"}}, left: []string{"extra"}},
		{name: "one column", table: "id %one% primary key", users: sqlstore.Users{Identity: "id", NewID: sqlstore.ByIdentity}},
		{name: "one column, minted", table: "id %one% primary key", users: sqlstore.Users{Identity: "id"}, faults: []string{"needs new_id identity"}},
		{name: "many faults", table: "id boolean primary key, ory bigint, plan text not null",
			faults: []string{"id is of type boolean", "cannot hold an Ory identity's ID", "create unique index", "plan is not null"}},
	}
	onBoth(t, func(t *testing.T, db database) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				u := tt.users
				if tt.table != "" {
					p := create(t, db, "extra text", nil)
					u.Table = p.users.Table
					if u.Identity == "" {
						u.Identity = "ory"
					}
					p.must(t, "drop table "+u.Table)
					key := map[sqlstore.Dialect]string{sqlstore.SQLite: "text", sqlstore.Postgres: "uuid"}[db.dialect]
					fill := strings.NewReplacer("%key%", key, "%ory%", map[sqlstore.Dialect]string{sqlstore.SQLite: "text" + oryWrites, sqlstore.Postgres: "uuid"}[db.dialect], "%one%", key+map[sqlstore.Dialect]string{sqlstore.SQLite: strings.ReplaceAll(oryWrites, "ory", "id")}[db.dialect], "%table%", u.Table)
					p.must(t, fill.Replace("create table %table% ("+tt.table+"); "+tt.after))
				}
				store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect, Users: u}
				wantFaults(t, store.Check(t.Context()), tt.faults)
				wantLeftOut(t, store, tt.left)
			})
		}
	})
}

// wantLeftOut checks which columns the store leaves out.
func wantLeftOut(t *testing.T, store *sqlstore.Store, want []string) {
	t.Helper()
	faults, err := store.Examine(t.Context())
	if err != nil && len(want) > 0 {
		t.Fatal(err)
	}
	var left []string
	for _, err := range faults {
		if f, ok := errors.AsType[*sqlstore.Fault](err); ok && f.LeftOut {
			left = append(left, f.Column)
		}
	}
	if !slices.Equal(left, want) {
		t.Fatalf("the store leaves out %q, want %q", left, want)
	}
}

func wantFaults(t *testing.T, err error, want []string) {
	t.Helper()
	var lines []string
	if err != nil {
		lines = strings.Split(err.Error(), "\n")
	}
	if len(lines) != len(want) {
		t.Fatalf("%d faults, want %d:\n%v", len(lines), len(want), err)
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			t.Fatalf("%q is missing in:\n%v", part, err)
		}
	}
	if errors.Is(err, symbolon.ErrUnavailable) {
		t.Fatalf("a fault is reported as an outage: %v", err)
	}
}

// TestCheckCollation has columns that treat different IDs as equal. Check refuses them, also
// in a domain, and the SQL that it prints is enough.
func TestCheckCollation(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	run(t, db, `create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`)
	run(t, db, `create domain loosely as varchar(40) collate loose`)
	check := " check (ory collate \"C\" = lower(ory collate \"C\") and ory collate \"C\" like '________-____-____-____-____________')"
	for _, tt := range []struct {
		name, table string
		columns     []string
	}{
		{"the identity", `id uuid primary key, ory text collate loose unique` + check, []string{"ory"}},
		{"the key", `id varchar(36) collate loose primary key, ory uuid unique`, []string{"id"}},
		{"both, in a domain", `id loosely primary key, ory loosely unique` + check, []string{"id", "ory"}},
		{"neither", `id text collate "C" primary key, ory uuid unique, other text collate loose`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &people{database: db, variant: variant{users: sqlstore.Users{Table: fmt.Sprintf("people%d", tables.Add(1)), Identity: "ory", Columns: map[string]string{}}}}
			p.must(t, p.sql(`create table {users} (`+tt.table+`)`))
			store := p.store(db.DB)
			faults, err := store.Examine(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var columns []string
			for _, err := range faults {
				f, _ := errors.AsType[*sqlstore.Fault](err)
				columns = append(columns, f.Column)
				_, statement, _ := strings.Cut(f.Fix, "run: ")
				p.must(t, statement)
			}
			if !slices.Equal(columns, tt.columns) {
				t.Errorf("%q, want %q: %v", columns, tt.columns, faults)
			}
			if err := store.Check(t.Context()); err != nil {
				t.Errorf("after the fix: %v", err)
			}
			if _, err := linkNew(store, symbolon.UserID(newUUID())); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCheckNames checks names and expressions of a configuration without a database.
func TestCheckNames(t *testing.T) {
	db := openEmpty(t, sqlstore.SQLite)
	bad := []string{"users; drop table x", `users"`, `u"; --`, "a.b.c", ".a", "a.", "1st", " a", "a;b", "a\x00", strings.Repeat("a", 64), strings.Repeat("é", 32), "users--", "'", "$1", "{id}", "*"}
	for _, name := range bad {
		for what, u := range map[string]sqlstore.Users{
			"table": {Table: name}, "id": {ID: name}, "identity": {Identity: name}, "column": {Table: "people", Columns: map[string]string{name: "'x'"}},
		} {
			store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect, Users: u}
			for call, err := range everyCall(t, store) {
				if err == nil || !strings.Contains(err.Error(), "is not a name") || errors.Is(err, symbolon.ErrUnavailable) {
					t.Errorf("%s %q: %s: %v", what, name, call, err)
				}
			}
		}
	}
	u := sqlstore.Users{Table: "x;y", ID: "1", Identity: "2", NewID: "random", Columns: map[string]string{"a": "traits", "id": "active", "b": "upper(x)"}}
	err := (&sqlstore.Store{Users: u}).Check(t.Context())
	wantFaults(t, err, []string{"DB is nil", "neither sqlite nor postgres", `"x;y"`, `"1"`, `"2"`, `"random"`, `"traits"`, `"upper(x)"`})
}

func everyCall(t *testing.T, s *sqlstore.Store) map[string]error {
	ctx := t.Context()
	q := symbolon.Query{Project: "default", Reading: symbolon.Reading{Identity: symbolon.Identity{ID: "9f425a8d-7efc-4768-8f23-7647a74fdf13"}}}
	_, look := s.Read(ctx, q)
	_, write := s.Write(ctx, q, func(symbolon.Evidence) (symbolon.Plan, error) { return symbolon.Plan{Action: symbolon.Keep}, nil })
	_, ticket := s.Ticket(ctx)
	_, record := s.Record(ctx, "default", "1")
	return map[string]error{"look": look, "write": write, "ticket": ticket, "record": record, "check": s.Check(ctx), "forget": s.Forget(ctx, s.DB, "default", "1")}
}

// TestCheckMigrations checks that before the migrations every call fails and says why.
func TestCheckMigrations(t *testing.T) {
	for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
		t.Run(string(dialect), func(t *testing.T) {
			db := openEmpty(t, dialect)
			store := &sqlstore.Store{DB: db.DB, Dialect: dialect}
			for call, err := range everyCall(t, store) {
				if err == nil {
					t.Errorf("%s works without tables", call)
				}
			}
			wantFaults(t, store.Check(t.Context()), []string{"run Symbolon's migrations", "no table symbolon_users"})
			if err := migrate.Up(t.Context(), db.DB, dialect); err != nil {
				t.Fatal(err)
			}
			for call, err := range everyCall(t, store) {
				if err != nil && !errors.Is(err, symbolon.ErrNotFound) {
					t.Errorf("%s: %v", call, err)
				}
			}
			table := map[sqlstore.Dialect]string{sqlstore.SQLite: "symbolon_layout", sqlstore.Postgres: "symbolon.layout"}[dialect]
			for version, want := range map[string]string{"0": "run Symbolon's migrations", "1000": "upgrade the program"} {
				if _, err := db.Exec(`update ` + table + ` set version = ` + version); err != nil {
					t.Fatal(err)
				}
				wantFaults(t, store.Check(t.Context()), []string{want})
			}
		})
	}
}
