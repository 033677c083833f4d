package sqlstore_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/sqlstore"
)

const spelled = ` check ({c} = lower({c}) and {c} like '________-____-____-____-____________')`

// identityColumn is a column for the identity's ID, as each database has it.
func identityColumn(d sqlstore.Dialect, name string) string {
	if d == sqlstore.Postgres {
		return `"` + name + `" uuid unique`
	}
	return `"` + name + `" text unique` + strings.ReplaceAll(spelled, "{c}", `"`+name+`"`)
}

// tableShape is a users table as an ORM or a person makes it.
type tableShape struct {
	name string
	only sqlstore.Dialect // empty: on both databases

	// ddl has {identity:NAME} for the identity's column, and {time} and {serial} for the types.
	ddl   string
	users sqlstore.Users

	// fault is what Check says, and fix the number of the statements in it that correct the
	// table. Without a fix the table cannot be used.
	fault string
	fix   bool

	row  string // an expression over the row of Ada
	want string
}

const ada = `{"email":"ada@example.org","name":{"first":"Ada","last":"Lovelace"},"phone":"+49151","tags":["a","b \"c\"",null],"role":"ADMIN"}`

var tableShapes = []tableShape{
	{name: "Prisma", only: sqlstore.Postgres, ddl: `create type "Role" as enum ('MEMBER', 'ADMIN');
		create table "User" ("id" text not null, "email" text, "role" "Role" not null default 'MEMBER', "createdAt" timestamp(3) not null default current_timestamp, "updatedAt" timestamp(3) not null, {identity:oryIdentityId}, constraint "User_pkey" primary key ("id"));
		create unique index "User_email_key" on "User"("email")`,
		users: sqlstore.Users{Table: "User", Identity: "oryIdentityId", NewID: "c{nanoid}", Columns: map[string]string{"email": "traits.email", "updatedAt": "updated_at", "role": "default(traits.role, 'MEMBER')"}},
		row:   `"email" || ' ' || "role" || ' ' || length("id") || ' ' || (abs(extract(epoch from "updatedAt" - (now() at time zone 'utc'))) < 3600)`, want: "ada@example.org ADMIN 22 true"},
	{name: "Prisma without updatedAt", only: sqlstore.Postgres, ddl: `create table "User" ("id" text primary key, "updatedAt" timestamp(3) not null, {identity:oryIdentityId})`,
		users: sqlstore.Users{Table: "User", Identity: "oryIdentityId"}, fault: "fill it with now or updated_at in users.columns"},
	{name: "Rails", ddl: `create table members (id {serial} primary key, email varchar default '' not null, name varchar, created_at {time} not null, updated_at {time} not null, {identity:ory_identity_id})`,
		users: sqlstore.Users{Table: "members", NewID: sqlstore.ByDatabase, Columns: map[string]string{"email": "traits.email", "name": "traits.name.first", "created_at": "created_at", "updated_at": "updated_at"}},
		row:   `email || ' ' || name || ' ' || substr(cast(created_at as text), 1, 19)`, want: "ada@example.org Ada 2025-01-02 03:04:05"},
	{name: "Django", ddl: `create table accounts_user (id {serial} primary key, password varchar(128) not null, last_login {time}, is_superuser boolean not null, username varchar(150) not null unique, first_name varchar(150) not null, last_name varchar(150) not null, email varchar(254) not null, is_staff boolean not null, is_active boolean not null, date_joined {time} not null, {identity:ory_identity_id})`,
		users: sqlstore.Users{Table: "accounts_user", NewID: sqlstore.ByDatabase, Columns: map[string]string{"email": "[traits.email, '']", "username": "[traits.email, traits.phone]", "password": "'!'", "is_superuser": "false", "is_staff": "false",
			"is_active": "active", "first_name": "[traits.name.first, '']", "last_name": "[traits.name.last, '']", "date_joined": "now"}},
		row: `username || ' ' || first_name || ' ' || last_name || ' ' || (date_joined is not null)`, want: "ada@example.org Ada Lovelace true"},
	{name: "GORM", ddl: `create table customers (id {serial} primary key, created_at {time}, updated_at {time}, deleted_at {time}, email text unique, {identity:ory_identity_id})`,
		users: sqlstore.Users{Table: "customers", NewID: sqlstore.ByDatabase, Columns: map[string]string{"email": "traits.email", "created_at": "now", "updated_at": "updated_at"}},
		row:   `email || ' ' || (created_at = updated_at)`, want: "ada@example.org true"},
	{name: "TypeORM", only: sqlstore.Postgres, ddl: `create table "user" ("id" uuid not null default gen_random_uuid(), "email" character varying not null, "createdAt" timestamp not null default now(), "updatedAt" timestamp not null default now(), "version" integer not null, {identity:oryIdentityId}, constraint "PK_user" primary key ("id"))`,
		users: sqlstore.Users{Table: "user", Identity: "oryIdentityId", NewID: sqlstore.ByDatabase, Columns: map[string]string{"email": "[traits.email, traits.phone, '']", "version": "1", "updatedAt": "updated_at"}},
		row:   `email || ' ' || version`, want: "ada@example.org 1"},
	{name: "Supabase profiles", only: sqlstore.Postgres, ddl: `create table profiles ({identity:id} primary key, updated_at timestamptz, username text unique, full_name text, constraint username_length check (char_length(username) >= 3));
		alter table profiles enable row level security; create policy "Public profiles" on profiles for select using (true)`,
		users: sqlstore.Users{Table: "profiles", Identity: "id", NewID: sqlstore.ByIdentity, Columns: map[string]string{"full_name": "traits.name.first", "updated_at": "updated_at"}},
		fault: "row level security may hide rows of table profiles", fix: true, row: `full_name`, want: "Ada"},
	{name: "keys by a trigger", only: sqlstore.Postgres, ddl: `create function short_id(prefix text) returns text language sql volatile as $$ select prefix || '_' || substr(md5(random()::text), 1, 16) $$;
		create function give_id() returns trigger language plpgsql as $$ begin new.id := short_id('mem') @ return new @ end $$;
		create table members_a (id text primary key, {identity:ory_identity_id}, email text); create trigger members_id before insert on members_a for each row execute function give_id()`,
		users: sqlstore.Users{Table: "members_a", NewID: sqlstore.ByDatabase, Columns: map[string]string{"email": "traits.email"}},
		row:   `substr(id, 1, 4) || email`, want: "mem_ada@example.org"},
	{name: "keys by a function in the default", only: sqlstore.Postgres, ddl: `create function short_id(prefix text) returns text language sql volatile as $$ select prefix || '_' || substr(md5(random()::text), 1, 16) $$;
		create table members_b (id text primary key default short_id('mem'), {identity:ory_identity_id})`,
		users: sqlstore.Users{Table: "members_b", NewID: sqlstore.ByDatabase}, row: `substr(id, 1, 4)`, want: "mem_"},
	{name: "keys by a template", ddl: `create table members_c (id varchar(30) primary key, {identity:ory_identity_id})`,
		users: sqlstore.Users{Table: "members_c", NewID: "usr_{ulid}"}, row: `substr(id, 1, 4) || length(id)`, want: "usr_30"},
	{name: "a key that is too short", only: sqlstore.Postgres, ddl: `create table members_c (id varchar(30) primary key, {identity:ory_identity_id})`,
		users: sqlstore.Users{Table: "members_c"}, fault: "of type character varying(30), and the IDs that new_id uuidv7 makes have 36 characters", fix: true, row: `length(id)`, want: "36"},
	{name: "an identity column that is too short", only: sqlstore.Postgres, ddl: `create table people (id uuid primary key, ory_identity_id varchar(32) unique` + strings.ReplaceAll(spelled, "{c}", "ory_identity_id") + `)`,
		users: sqlstore.Users{Table: "people"}, fault: "of type character varying(32), and the ID of an identity has 36 characters", fix: true, row: `length(ory_identity_id)`, want: "36"},
	{name: "a trigger fills a required column", only: sqlstore.Postgres, ddl: `create table touch (id uuid primary key, {identity:ory_identity_id}, updated_at timestamptz not null);
		create function touch() returns trigger language plpgsql as $$ begin new.updated_at := now() @ return new @ end $$;
		create trigger touch before insert or update on touch for each row execute function touch()`,
		users: sqlstore.Users{Table: "touch"}, row: `updated_at is not null`, want: "true"},
	{name: "a trigger fills another column", only: sqlstore.Postgres, ddl: `create table touch (id uuid primary key, {identity:ory_identity_id}, created_at timestamptz, plan text not null);
		create function touch() returns trigger language plpgsql as $$ begin new.created_at := now() @ return new @ end $$;
		create trigger touch before insert or update on touch for each row execute function touch()`,
		users: sqlstore.Users{Table: "touch"}, fault: "plan is not null and has no default"},
	{name: "a view", ddl: `create table base (id varchar(36) primary key, {identity:ory_identity_id}, email text, name text); create view people_view as select id, ory_identity_id, email from base`,
		users: sqlstore.Users{Table: "people_view"}, fault: "people_view is a view"},
	{name: "partitioned", only: sqlstore.Postgres, ddl: `create table parted (id bigint generated always as identity, region text not null default 'eu', ory_identity_id uuid, primary key (id, region), unique (ory_identity_id, region)) partition by list (region);
		create table parted_eu partition of parted for values in ('eu')`,
		users: sqlstore.Users{Table: "parted", NewID: sqlstore.ByDatabase}, fault: "parted is partitioned by region, and such a table can have no unique index of ory_identity_id alone"},
	{name: "a key of two columns", only: sqlstore.Postgres, ddl: `create table composite (tenant uuid not null default gen_random_uuid(), id uuid not null, {identity:ory_identity_id}, primary key (tenant, id))`,
		users: sqlstore.Users{Table: "composite"}, fault: "id is the key and has no unique index", fix: true, row: `tenant is not null`, want: "true"},
	{name: "a unique index with a condition", ddl: `create table soft (id varchar(36) primary key, ory_identity_id varchar(36)` + strings.ReplaceAll(spelled, "{c}", "ory_identity_id") + `, deleted_at {time}); create unique index soft_ory on soft (ory_identity_id) where deleted_at is null`,
		users: sqlstore.Users{Table: "soft"}, fault: "has no unique index, so that one identity could have two users", fix: true, row: `length(id)`, want: "36"},
	{name: "odd names", ddl: `create table "order" (id varchar(36) primary key, {identity:group}, "e-mail" text, "größe" text)`,
		users: sqlstore.Users{Table: "order", Identity: "group", Columns: map[string]string{"e-mail": "traits.email", "größe": "traits.name.last"}},
		row:   `"e-mail" || ' ' || "größe"`, want: "ada@example.org Lovelace"},
	{name: "bytes", only: sqlstore.Postgres, ddl: `create table bytes_ids (id bytea primary key, ory_identity_id bytea unique)`, users: sqlstore.Users{Table: "bytes_ids"}, fault: "a key must be uuid, text, integer or bigint"},
	{name: "arrays", only: sqlstore.Postgres, ddl: `create table tagged (id uuid primary key, {identity:ory_identity_id}, tags text[], first text, mails text[], roles jsonb)`,
		users: sqlstore.Users{Table: "tagged", Columns: map[string]string{"tags": "traits.tags", "first": "traits.tags.1", "mails": "verified_emails", "roles": "traits.tags"}},
		row:   `tags::text || ' ' || first || ' ' || mails::text || ' ' || roles::text`, want: `{a,"b \"c\"",NULL} b "c" {ada@example.org,ada@work.example} ["a", "b \"c\"", null]`},
	{name: "what Ory says", ddl: `create table facts (id varchar(36) primary key, {identity:ory_identity_id}, kind text, org text, ext text, phone text, born {time})`,
		users: sqlstore.Users{Table: "facts", Columns: map[string]string{"kind": "schema_id", "org": "organization_id", "ext": "external_id", "phone": "verified_phone", "born": "created_at"}},
		row:   `kind || ' ' || org || ' ' || ext || ' ' || phone || ' ' || substr(cast(born as text), 1, 10)`, want: "customer 0a000000-0000-4000-8000-000000000001 ext-1 +49151 2025-01-02"},
	{name: "addresses into a text", ddl: `create table facts (id varchar(36) primary key, {identity:ory_identity_id}, mails text)`,
		users: sqlstore.Users{Table: "facts", Columns: map[string]string{"mails": "verified_emails"}}, fault: "which can never hold verified_emails"},
	{name: "a time into a number", ddl: `create table facts (id varchar(36) primary key, {identity:ory_identity_id}, at bigint)`,
		users: sqlstore.Users{Table: "facts", Columns: map[string]string{"at": "now"}}, fault: "its constant cannot be written"},
	{name: "the sign-up form into a required column", ddl: `create table facts (id varchar(36) primary key, {identity:ory_identity_id}, ref text not null)`,
		users: sqlstore.Users{Table: "facts", Columns: map[string]string{"ref": "transient_payload.ref"}}, fault: "often comes after the row was made"},
	{name: "the sign-up form", ddl: `create table facts (id varchar(36) primary key, {identity:ory_identity_id}, ref text not null, consent boolean)`,
		users: sqlstore.Users{Table: "facts", Columns: map[string]string{"ref": "default(transient_payload.ref, 'none')", "consent": "transient_payload.consent"}},
		row:   `ref || ' ' || (consent is null)`, want: "none true"},
}

func (s tableShape) statements(d sqlstore.Dialect) (out []string) {
	types := map[sqlstore.Dialect][]string{sqlstore.SQLite: {"{time}", "datetime", "{serial}", "integer"}, sqlstore.Postgres: {"{time}", "timestamptz", "{serial}", "bigserial"}}
	text := strings.NewReplacer(types[d]...).Replace(s.ddl)
	for _, name := range []string{"ory_identity_id", "oryIdentityId", "group", "id"} {
		text = strings.ReplaceAll(text, "{identity:"+name+"}", identityColumn(d, name))
	}
	for part := range strings.SplitSeq(text, ";") {
		out = append(out, strings.ReplaceAll(part, " @ ", "; "))
	}
	return out
}

// TestTableShapes starts with the tables that people have: the table is refused with the reason,
// and where there is SQL, the SQL is run and works; otherwise a person gets a row with their
// values, its proof says so, and the row follows the next reading.
func TestTableShapes(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		if db.dialect == sqlstore.Postgres {
			db.execute(t, `set timezone to utc`)
			db.execute(t, `alter database `+db.databaseName(t)+` set timezone to utc`)
		}
		for _, shape := range tableShapes {
			if shape.only != "" && shape.only != db.dialect {
				continue
			}
			t.Run(shape.name, func(t *testing.T) { db.testShape(t, shape) })
		}
	})
}

func (db database) execute(t *testing.T, text string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func (db database) databaseName(t *testing.T) (name string) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), `select quote_ident(current_database())`).Scan(&name); err != nil {
		t.Fatal(err)
	}
	return name
}

func (db database) testShape(t *testing.T, shape tableShape) {
	schema := &people{database: db, variant: variant{users: shape.users}}
	if db.dialect == sqlstore.Postgres {
		schema.must(t, `create schema shape`)
		schema.must(t, `alter database `+db.databaseName(t)+` set search_path to shape, public`)
		t.Cleanup(func() { _, _ = db.Exec(`drop schema shape cascade`) })
		t.Cleanup(func() { _, _ = db.Exec(`delete from symbolon.links`) })
	} else {
		schema.database = open(t, sqlstore.SQLite) // a file is cheaper than a clean-up
	}
	schema.DB = schema.database.again(t)
	for _, text := range shape.statements(db.dialect) {
		schema.must(t, text)
	}
	var store *sqlstore.Store
	if store = schema.store(schema.DB); strings.Contains(shape.ddl, "row level security") { // it does not apply to the owner
		var user string
		store, user = schema.asUser(t)
		if err := store.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "grant usage on schema shape to "+user+";") {
			t.Errorf("without the right to use the schema: %v", err)
		}
		schema.must(t, "grant usage on schema shape to "+user)
		lacks, err := store.Rights(t.Context(), symbolon.KeepRow)
		if err != nil || len(lacks) == 0 {
			t.Fatal(lacks, err)
		}
		for _, f := range lacks {
			schema.must(t, f.Fix)
		}
	}
	err := store.Check(t.Context())
	if shape.fault != "" {
		if err == nil || !strings.Contains(err.Error(), shape.fault) {
			t.Fatalf("Check says %v, and not %q", err, shape.fault)
		}
		if !shape.fix {
			return
		}
		schema.must(t, fixOf(t, err))
		store = &sqlstore.Store{DB: store.DB, Dialect: store.Dialect, Users: store.Users}
		err = store.Check(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	schema.testRow(t, store, shape)
}

// fixOf is the SQL in a fault.
func fixOf(t *testing.T, err error) string {
	t.Helper()
	_, sql, found := strings.Cut(err.Error(), ": run")
	_, sql, colon := strings.Cut(sql, ": ")
	sql, _, end := strings.Cut(sql, ";")
	if !found || !colon || !end {
		t.Fatalf("there is no SQL in %v", err)
	}
	return sql
}

func (p *people) testRow(t *testing.T, store *sqlstore.Store, shape tableShape) {
	l := &link.Linker{Ory: noOry, Store: store, Log: slog.New(slog.DiscardHandler), Secrets: []symbolon.Secret{symbolon.Secret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e")}}
	id := symbolon.Identity{ID: symbolon.IdentityID(newUUID()), State: symbolon.Active, SchemaID: "customer", OrganizationID: "0a000000-0000-4000-8000-000000000001",
		ExternalID: "ext-1", Traits: json.RawMessage(ada), CreatedAt: time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC),
		Addresses: []symbolon.Address{{Value: "ada@example.org", Via: "email", Verified: true}, {Value: "+49151", Via: "sms", Verified: true}, {Value: "ada@work.example", Via: "email", Verified: true}}}
	table := `"` + strings.ReplaceAll(shape.users.Table, `.`, `"."`) + `"`
	before := p.count(t, `select count(*) from `+table)
	proof, err := store.Prove(t.Context(), id, proofID(l, store, id))
	if err != nil || proof.Refused != "" || p.count(t, `select count(*) from `+table) != before {
		t.Errorf("the proof of a row: %+v %v", proof, err)
	}
	made, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	read := func() string {
		key := shape.users.ID
		if key == "" {
			key = "id"
		}
		text := `select cast(` + shape.row + ` as text) from ` + table + ` where cast(` + key + ` as text) = $1`
		if err := p.QueryRowContext(context.Background(), text, string(made.User)).Scan(&got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if p.dialect == sqlstore.SQLite && strings.HasSuffix(shape.want, "true") {
			got = strings.TrimSuffix(got, "1") + "true"
		}
		return got
	}
	if read() != shape.want {
		t.Errorf("the row: %q, want %q", got, shape.want)
	}
	r, err := l.Record(t.Context(), string(id.ID))
	if err != nil || len(r.Findings) > 0 {
		t.Errorf("findings: %+v %v", r.Findings, err)
	}
	ticket, err := store.Ticket(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Ticket: ticket}); err != nil || again.User != made.User {
		t.Errorf("the next reading: %+v %v", again, err)
	}
}

func proofID(l *link.Linker, store *sqlstore.Store, id symbolon.Identity) symbolon.UserID {
	switch {
	case store.NewID() == sqlstore.ByIdentity:
		return symbolon.UserID(id.ID)
	case store.NewID() == sqlstore.ByDatabase:
		return ""
	}
	r, _ := l.Reserve(context.Background(), symbolon.Identity{})
	return r.User
}

// TestTablesOfRealTools starts with tables that the tools made (testdata/orm), after the SQL of
// `symbolon init --apply`.
func TestTablesOfRealTools(t *testing.T) {
	django := tableShape{users: sqlstore.Users{Table: "accounts_user", NewID: sqlstore.ByDatabase, Columns: map[string]string{"email": "[traits.email, '']", "username": "[traits.email, traits.phone]",
		"password": "'!'", "is_superuser": "false", "is_staff": "false", "is_active": "active", "first_name": "[traits.name.first, '']", "last_name": "[traits.name.last, '']", "date_joined": "now"}},
		row: `username || ' ' || first_name || ' ' || (date_joined is not null)`, want: "ada@example.org Ada true"}
	drizzle := tableShape{users: sqlstore.Users{Table: "users", NewID: "usr_{ulid}", Columns: map[string]string{"email": "traits.email", "active": "active"}},
		row: `email || ' ' || substr(id, 1, 4)`, want: "ada@example.org usr_"}
	withTime := drizzle
	withTime.users.Columns = map[string]string{"email": "traits.email", "active": "active", "updated_at": "updated_at"}
	for file, shape := range map[string]tableShape{"django.sqlite": django, "django.postgres": django, "drizzle.sqlite": drizzle, "drizzle.postgres": withTime,
		"typeorm.postgres": {users: sqlstore.Users{Table: "user", Identity: "oryIdentityId", NewID: sqlstore.ByDatabase, Columns: map[string]string{"email": "traits.email",
			"firstName": "[traits.name.first, '']", "isActive": "active", "version": "1", "updatedAt": "updated_at"}}, row: `email || ' ' || "firstName"`, want: "ada@example.org Ada"}} {
		t.Run(file, func(t *testing.T) {
			ddl, err := os.ReadFile("testdata/orm/" + file + ".sql")
			if err != nil {
				t.Fatal(err)
			}
			_, dialect, _ := strings.Cut(file, ".")
			p := &people{database: open(t, sqlstore.Dialect(dialect)), variant: variant{users: shape.users}}
			p.execute(t, string(ddl))
			p.DB = p.database.again(t)
			store := p.store(p.DB)
			if _, err := store.AddIdentityColumn(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := store.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.testRow(t, store, shape)
		})
	}
}

// TestProof tests what a proof says about a table that refuses rows, and that nothing stays.
func TestProof(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	for _, tt := range []struct{ name, body, refused string }{
		{"the trigger fills the column", "new.plan := 'free'; return new;", ""},
		{"the trigger fills it in some cases only", "if false then new.plan := 'free'; end if; return new;", `null value in column "plan"`},
		{"the trigger ignores the row", "new.plan := 'free'; return null;", "ignored the write"},
		{"the trigger raises an error", "new.plan := 'free'; raise exception 'no';", "a trigger of the table refused it"},
		{"the trigger changes the key", "new.plan := 'free'; new.id := gen_random_uuid(); return new;", "another key than was written to it"},
		{"the trigger takes the identity away", "new.plan := 'free'; new.ory := null; return new;", "does not hold the identity"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := create(t, db, "plan text not null, email text", map[string]string{"email": "traits.email"})
			p.must(t, p.sql(`create function f_{users}() returns trigger language plpgsql as $f$ begin `+tt.body+` end $f$`))
			p.must(t, p.sql(`create trigger t before insert on {users} for each row execute function f_{users}()`))
			store := p.store(p.DB)
			if err := store.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			if doubts, err := store.Doubts(t.Context()); err != nil || len(doubts) != 1 || !strings.Contains(doubts[0], "the required column plan") {
				t.Errorf("%q %v", doubts, err)
			}
			proof, err := store.Prove(t.Context(), identityWith(`{"email":"a@b.c"}`), symbolon.UserID(newUUID()))
			if err != nil || (proof.Refused == "") != (tt.refused == "") || !strings.Contains(proof.Refused, tt.refused) {
				t.Errorf("%+v %v, want %q", proof, err, tt.refused)
			}
			if n := p.count(t, p.sql(`select count(*) from {users}`)); n != 0 {
				t.Errorf("%d rows stayed", n)
			}
		})
	}
}
