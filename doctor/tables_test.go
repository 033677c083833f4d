package doctor_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/doctor"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// TestTables tests the faults of a users table, on both databases.
func TestTables(t *testing.T) {
	kratos := fakeory.Start(t, fakeory.Config{})
	for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
		t.Run(string(dialect), func(t *testing.T) { testTables(t, dialect, kratos) })
	}
}

func testTables(t *testing.T, dialect sqlstore.Dialect, kratos *fakeory.Ory) {
	db := openDatabase(t, dialect)
	noTable := map[string]doctor.Verdict{"users.table": doctor.Problem, "users.column": doctor.Unknown, "users.type": doctor.Unknown,
		"users.unique": doctor.Unknown, "users.row": doctor.Unknown, "users.spelling": doctor.Unknown, "users.hidden": doctor.Unknown, "users.triggers": doctor.Unknown, "users.start": doctor.Unknown, "users.release": doctor.Unknown}
	for i, test := range []struct {
		name    string
		ddl     string
		columns map[string]string
		policy  symbolon.RowPolicy
		release []string
		want    map[string]doctor.Verdict
	}{
		{name: "right", ddl: "id text primary key, ory_identity_id %text% unique, email text", columns: map[string]string{"email": "traits.email"}},
		{name: "table missing", want: noTable},
		{name: "column missing", ddl: "id text primary key, email text", want: wrong("users.column")},
		{name: "projected column missing", ddl: "id text primary key, ory_identity_id %text% unique", columns: map[string]string{"email": "traits.email"}, want: wrong("users.column")},
		{name: "column of the wrong type", ddl: "id text primary key, ory_identity_id bigint unique", want: wrong("users.type")},
		{name: "key of the wrong type", ddl: "id bigint primary key, ory_identity_id %text% unique", want: wrong("users.type")},
		{name: "unique index missing", ddl: "id text primary key, ory_identity_id %text%", want: wrong("users.unique")},
		{name: "a column without a value", ddl: "id text primary key, ory_identity_id %text% unique, plan text not null", want: wrong("users.row")},
		{name: "unique projected column", ddl: "id text primary key, ory_identity_id %text% unique, email text unique", columns: map[string]string{"email": "traits.email"}, want: wrong("users.release")},
		{name: "unique projected column, kept", ddl: "id text primary key, ory_identity_id %text% unique, email text unique", columns: map[string]string{"email": "traits.email"}, policy: "keep", want: wrong("users.release")},
		{name: "unique projected column, released", ddl: "id text primary key, ory_identity_id %text% unique, email text unique", columns: map[string]string{"email": "traits.email"}, release: []string{"email"}},
		{name: "unique projected column, deleted", ddl: "id text primary key, ory_identity_id %text% unique, email text unique", columns: map[string]string{"email": "traits.email"}, policy: "delete"},
		{name: "other spellings", ddl: "id text primary key, ory_identity_id text unique", want: wrong("users.spelling")},
		{name: "unique column of the application's", ddl: "id text primary key, ory_identity_id %text% unique, handle text unique"},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := fmt.Sprintf("users_%d", i)
			if test.ddl != "" {
				if _, err := db.ExecContext(t.Context(), "create table "+name+" ("+strings.ReplaceAll(test.ddl, "%text%", "text"+oryWrites)+")"); err != nil {
					t.Fatal(err)
				}
			}
			store := &sqlstore.Store{DB: db, Dialect: dialect, Users: sqlstore.Users{Table: name, Columns: test.columns}}
			if i == 0 {
				got := examine(t, tableDoctor(t, store, kratos))
				expect(t, got, map[string]doctor.Verdict{"users.layout": doctor.Problem, "hooks.silent": doctor.Unknown})
				migrateUp(t, db, dialect)
			}
			d := tableDoctor(t, store, kratos)
			d.ReleaseColumns = test.release
			if test.policy != "" {
				d.OnIdentityDeleted = test.policy
			}
			expect(t, examine(t, d), test.want)
		})
	}
	t.Run("no database", func(t *testing.T) {
		d := tableDoctor(t, nil, kratos)
		d.Table, d.Ledger, d.Database = nil, nil, context.DeadlineExceeded
		want := map[string]doctor.Verdict{"users.database": doctor.Problem, "hooks.silent": doctor.Unknown}
		for name := range noTable {
			want[name] = doctor.Unknown
		}
		want["users.layout"], want["users.ledger"], want["users.rights"] = doctor.Unknown, doctor.Unknown, doctor.Unknown
		expect(t, examine(t, d), want)
	})
}

// TestRightsAndTriggers takes rights from the database user, and adds a trigger that ignores rows.
func TestRightsAndTriggers(t *testing.T) {
	kratos := fakeory.Start(t, fakeory.Config{})
	for dialect, statements := range map[sqlstore.Dialect][]string{
		sqlstore.SQLite: {`create trigger quiet before insert on people begin select raise(ignore); end`},
		sqlstore.Postgres: {`create function quiet() returns trigger language plpgsql as $f$ begin return null; end $f$`,
			`create trigger quiet before insert on people for each row execute function quiet()`,
			`create role reader`, `grant usage on schema symbolon to reader`, `grant select on all tables in schema symbolon to reader`,
			`grant all on people to reader`, `set role reader`},
	} {
		t.Run(string(dialect), func(t *testing.T) {
			db := openMigrated(t, dialect)
			db.SetMaxOpenConns(1) // for the role
			want := wrong("users.triggers")
			if dialect == sqlstore.Postgres {
				want["users.rights"] = doctor.Problem
				t.Cleanup(func() { _, _ = db.Exec(`reset role; drop owned by reader; drop role reader`) })
			}
			for _, statement := range append([]string{"create table people (id text primary key, ory_identity_id text unique" + oryWrites + ")"}, statements...) {
				if _, err := db.ExecContext(t.Context(), statement); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			got := examine(t, tableDoctor(t, &sqlstore.Store{DB: db, Dialect: dialect, Users: sqlstore.Users{Table: "people"}}, kratos))
			expect(t, got, want)
			if !strings.Contains(got["users.triggers"].Is, "quiet") || dialect == sqlstore.Postgres && !strings.Contains(got["users.rights"].Fix, "grant insert, update, delete on table symbolon.links to reader;") {
				t.Errorf("%+v\n%+v", got["users.triggers"], got["users.rights"])
			}
		})
	}
}

// TestProof asks for a proof where the catalogue cannot tell, and reports it.
func TestProof(t *testing.T) {
	db := openDatabase(t, sqlstore.Postgres)
	migrateUp(t, db, sqlstore.Postgres)
	for _, statement := range []string{"create table people (id uuid primary key, ory_identity_id uuid unique, seen timestamptz not null, email text not null)",
		`create function see() returns trigger language plpgsql as $f$ begin if new.email <> 'never' then new.seen := now(); end if; return new; end $f$`,
		`create trigger see before insert on people for each row execute function see()`} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	store := &sqlstore.Store{DB: db, Dialect: sqlstore.Postgres, Users: sqlstore.Users{Table: "people", Columns: map[string]string{"email": "traits.email"}}}
	d := tableDoctor(t, store, fakeory.Start(t, fakeory.Config{}))
	got := examine(t, d)["users.row"]
	if got.Verdict != doctor.Unknown || !strings.Contains(got.Is, "column seen seems to be filled by the trigger see") || !strings.Contains(got.Fix, "--prove") {
		t.Errorf("%+v", got)
	}
	for traits, want := range map[string]doctor.Verdict{`{"email":"a@b.c"}`: doctor.OK, `{"email":"never"}`: doctor.Problem, `{}`: doctor.OK} {
		d.Prove = func(ctx context.Context) (doctor.Proof, error) {
			proof, err := store.Prove(ctx, symbolon.Identity{ID: "1d000000-0000-4000-8000-000000000001", Traits: json.RawMessage(traits)}, "1d000000-0000-4000-8000-000000000002")
			return doctor.Proof{Refused: proof.Refused, Sampled: proof.Sampled}, err
		}
		if got := examine(t, d)["users.row"]; got.Verdict != want || traits == "{}" && !strings.Contains(got.Is, "no value for email") {
			t.Errorf("%s: %+v", traits, got)
		}
	}
	d.Prove = func(context.Context) (doctor.Proof, error) {
		return doctor.Proof{Refused: "a check refused it", Sampled: []string{"email"}}, nil
	}
	if got := examine(t, d)["users.row"]; got.Verdict != doctor.Unknown {
		t.Errorf("a refused sample: %+v", got)
	}
}

// oryWrites is a constraint for a column of text, so that it takes IDs only as Ory writes them.
const oryWrites = " check (ory_identity_id = lower(ory_identity_id) and ory_identity_id like '________-____-____-____-____________')"

func migrateUp(t *testing.T, db *sql.DB, dialect sqlstore.Dialect) {
	t.Helper()
	if err := migrate.Up(t.Context(), db, dialect); err != nil {
		t.Fatal(err)
	}
}

// tableDoctor returns a doctor for a table, with a fake Ory and working hooks.
func tableDoctor(t *testing.T, store *sqlstore.Store, o *fakeory.Ory) *doctor.Doctor {
	h := &hooks.Handler{Linker: &link.Linker{Ory: &ory.Client{PublicURL: o.PublicURL}, Store: store, Secrets: []symbolon.Secret{secret}}}
	mux := http.NewServeMux()
	h.Mount(mux)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	c := &ory.Client{PublicURL: o.PublicURL, AdminURL: o.AdminURL}
	t.Cleanup(c.CloseIdleConnections)
	return &doctor.Doctor{Ory: c, Actions: hooks.Actions{URL: s.URL, Keys: hooks.DeriveKeys([]symbolon.Secret{secret})},
		Table: table{store}, Ledger: store, OnIdentityDeleted: "deactivate", HTTP: s.Client()}
}
