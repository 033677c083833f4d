package sqlstore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// noOry has no admin API and is never called.
var noOry = &ory.Client{PublicURL: "http://kratos:4433"}

func linkerOf(store symbolon.Store) *link.Linker {
	return &link.Linker{Ory: noOry, Store: store, Log: slog.New(slog.DiscardHandler)}
}

func identityWith(traits string) symbolon.Identity {
	return symbolon.Identity{ID: symbolon.IdentityID(newUUID()), State: symbolon.Active, Traits: json.RawMessage(traits)}
}

// TestColumns checks that a column that cannot be written never prevents the link.
func TestColumns(t *testing.T) {
	long := strings.Repeat("x", 300)
	tests := []struct {
		name, column, trait string // trait is the value in the traits, as JSON
		want                string // value of the column; "-" for null
		refused             bool
	}{
		{name: "text", column: "text", trait: `"Ada"`, want: "Ada"},
		{name: "empty text", column: "text", trait: `""`, want: ""},
		{name: "nothing", column: "text", trait: `null`, want: "-"},
		{name: "unicode", column: "text", trait: `"Ada 👩‍💻 \u202e"`, want: "Ada 👩‍💻 \u202e"},
		{name: "quotes", column: "text", trait: `"'; drop table people; --"`, want: "'; drop table people; --"},
		{name: "NUL", column: "text", trait: `"a\u0000b"`, want: "-", refused: true},
		{name: "lone surrogate", column: "text", trait: `"a\ud800b"`, want: "-", refused: true},
		{name: "half a megabyte", column: "text", trait: `"` + strings.Repeat("x", 500_000) + `"`, want: strings.Repeat("x", 500_000)},
		{name: "number into text", column: "text", trait: `42`, want: "42"},
		{name: "big number into text", column: "text", trait: `9007199254740993`, want: "9007199254740993"},
		{name: "number beyond bigint into text", column: "text", trait: `12345678901234567890`, want: "-", refused: true},
		{name: "fraction into text", column: "text", trait: `1.5`, want: "1.5"},
		{name: "true into text", column: "text", trait: `true`, want: "true"},
		{name: "object into text", column: "text", trait: `{"first":"Ada"}`, want: "-", refused: true},
		{name: "array into text", column: "text", trait: `["Ada"]`, want: "-", refused: true},
		{name: "number", column: "bigint", trait: `9007199254740993`, want: "9007199254740993"},
		{name: "round number", column: "bigint", trait: `5.0`, want: "5"},
		{name: "number with an exponent", column: "bigint", trait: `5e2`, want: "500"},
		{name: "number beyond bigint", column: "bigint", trait: `12345678901234567890`, want: "-", refused: true},
		{name: "fraction into a whole number", column: "bigint", trait: `1.5`, want: "-", refused: true},
		{name: "text into number", column: "bigint", trait: `"42"`, want: "-", refused: true},
		{name: "number of 400 digits", column: "bigint", trait: strings.Repeat("9", 400), want: "-", refused: true},
		{name: "bool", column: "boolean", trait: `true`, want: "true"},
		{name: "text into bool", column: "boolean", trait: `"yes"`, want: "-", refused: true},
		{name: "number into bool", column: "boolean", trait: `1`, want: "-", refused: true},
		{name: "float", column: "double precision", trait: `1e300`, want: "1e+300"},
		{name: "text into float", column: "double precision", trait: `"1.5"`, want: "-", refused: true},
		{name: "object", column: "json", trait: `{"first":"Ada","n":9007199254740993}`, want: `{"first":"Ada","n":9007199254740993}`},
		{name: "text into json", column: "json", trait: `"Ada"`, want: `"Ada"`},
		{name: "object with NUL", column: "json", trait: `{"a":"\u0000"}`, want: "-", refused: true},
		{name: "object with a lone surrogate", column: "json", trait: `{"a":"\udfff"}`, want: "-", refused: true},
		{name: "object with a NUL for a key", column: "json", trait: `{"\u0000":1}`, want: "-", refused: true},
		{name: "checked", column: "text check (length(extra) < 200)", trait: `"` + long + `"`, want: "-", refused: true},
		{name: "not null with default", column: "text not null default 'none'", trait: `null`, want: "none"},
		{name: "not null with default, refused", column: "text not null default 'none' check (length(extra) < 200)", trait: `"` + long + `"`, want: "none", refused: true},
	}
	onBoth(t, func(t *testing.T, db database) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				p := create(t, db, "extra "+tt.column, map[string]string{"extra": "traits.extra"})
				l := linkerOf(p.store(p.DB))
				id := identityWith(`{"extra":` + tt.trait + `}`)
				link, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
				if err != nil {
					t.Fatal(err)
				}
				if got := p.extra(t, link.User); got != tt.want && !sameFloat(got, tt.want) {
					t.Fatalf("column: got %.100q, want %.100q", got, tt.want)
				}
				p.wantFindings(t, l, link, tt.refused)

				// A newer reading without a change writes the same values.
				next := symbolon.Reading{Identity: id, Ticket: link.Ticket + 1}
				if link, err = l.Link(t.Context(), next); err != nil {
					t.Fatal(err)
				}
				if got := p.extra(t, link.User); got != tt.want && !sameFloat(got, tt.want) {
					t.Fatalf("column after an update: got %.100q, want %.100q", got, tt.want)
				}
				p.wantFindings(t, l, link, tt.refused)
			})
		}
	})
}

func sameFloat(a, b string) bool {
	var x, y float64
	_, errA := fmt.Sscan(a, &x)
	_, errB := fmt.Sscan(b, &y)
	return errA == nil && errB == nil && x == y
}

// create creates a users table with one more column.
func create(t *testing.T, db database, extra string, columns map[string]string) *people {
	t.Helper()
	// Table names are not reused, because connections cache statements with their types.
	table := fmt.Sprintf("people%d", tables.Add(1))
	p := &people{database: db, variant: variant{users: sqlstore.Users{Table: table, Identity: "ory", Columns: columns}}}
	key, spelling := "uuid", ""
	if db.dialect == sqlstore.SQLite {
		key, spelling = "text", oryWrites
	}
	p.must(t, `create table `+table+` (id `+key+` primary key, ory `+key+` unique`+spelling+`, `+extra+`)`)
	return p
}

var tables atomic.Int64

func (p *people) extra(t *testing.T, user symbolon.UserID) string {
	t.Helper()
	text := `select coalesce(cast(extra as text), '-') from {users} where cast(id as text) = $1`
	if p.dialect == sqlstore.SQLite {
		text = `select coalesce(iif((select upper(type) from pragma_table_info('{users}') where name = 'extra') = 'BOOLEAN', iif(extra is null, null, iif(extra, 'true', 'false')),
			cast(extra as text)), '-') from {users} where id = $1`
	}
	var s string
	if err := p.QueryRow(p.sql(text), string(user)).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *people) wantFindings(t *testing.T, l *link.Linker, link symbolon.Link, refused bool) {
	t.Helper()
	r, err := l.Record(t.Context(), string(link.Identity))
	if err != nil {
		t.Fatal(err)
	}
	if !refused {
		if len(r.Findings) != 0 {
			t.Fatalf("findings: %+v", r.Findings)
		}
		return
	}
	if len(r.Findings) != 1 || r.Findings[0].Kind != symbolon.ColumnRefused || r.Findings[0].User != link.User ||
		!strings.Contains(r.Findings[0].Detail, "extra") || strings.Contains(r.Findings[0].Detail, "xxx") {
		t.Fatalf("findings: %+v", r.Findings)
	}
}

// TestPostgresColumns tests types that SQLite does not have.
func TestPostgresColumns(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	if _, err := db.Exec(`create type mood as enum ('sad', 'happy'); create domain tiny as varchar(3)`); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		column, trait, want string
		refused             bool
	}{
		{"varchar(5)", `"Adelaide"`, "-", true},
		{"varchar(5)", `"Ada"`, "Ada", false},
		{"tiny", `"Adelaide"`, "-", true},
		{"smallint", `70000`, "-", true},
		{"smallint", `7`, "7", false},
		{"integer", `3000000000`, "-", true},
		{"numeric(4,2)", `1.25`, "1.25", false},
		{"numeric(4,2)", `1234567`, "-", true},
		{"mood", `"happy"`, "happy", false},
		{"mood", `"angry"`, "-", true},
		{"uuid", `"9f425a8d-7efc-4768-8f23-7647a74fdf13"`, "9f425a8d-7efc-4768-8f23-7647a74fdf13", false},
		{"uuid", `"nobody"`, "-", true},
		{"date", `"2026-02-30"`, "-", true},
		{"date", `"2026-02-28"`, "2026-02-28", false},
		{"jsonb", `{"a": [1, 2.50, "x"]}`, `{"a": [1, 2.50, "x"]}`, false},
		{"jsonb", `[9007199254740993]`, `[9007199254740993]`, false},
		{"text[]", `"{a,b}"`, "{a,b}", false},
	} {
		t.Run(tt.column+" "+tt.trait, func(t *testing.T) {
			p := create(t, db, "extra "+tt.column, map[string]string{"extra": "traits.extra"})
			l := linkerOf(p.store(p.DB))
			link, err := l.Link(t.Context(), symbolon.Reading{Identity: identityWith(`{"extra":` + tt.trait + `}`)})
			if err != nil {
				t.Fatal(err)
			}
			if got := p.extra(t, link.User); got != tt.want {
				t.Fatalf("column: got %q, want %q", got, tt.want)
			}
			p.wantFindings(t, l, link, tt.refused)
		})
	}
}

// TestDuplicateEmail leaves a unique e-mail out that another row has. When it is free
// again, the next reading writes it and the finding is closed.
func TestDuplicateEmail(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := create(t, db, "email text unique, name text", map[string]string{"email": "traits.email", "name": "traits.name"})
		l := linkerOf(p.store(p.DB))
		first, err := l.Link(t.Context(), symbolon.Reading{Identity: identityWith(`{"email":"ada@example.com","name":"Ada"}`)})
		if err != nil {
			t.Fatal(err)
		}
		id := identityWith(`{"email":"ada@example.com","name":"Eve"}`)
		second, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
		if err != nil {
			t.Fatal(err)
		}
		row := func(u symbolon.UserID) string {
			var s string
			if err := p.QueryRow(p.sql(`select coalesce(email, '-') || ' ' || name from {users} where cast(id as text) = $1`), string(u)).Scan(&s); err != nil {
				t.Fatal(err)
			}
			return s
		}
		if first.User == second.User || row(first.User) != "ada@example.com Ada" || row(second.User) != "- Eve" {
			t.Fatalf("rows: %q, %q", row(first.User), row(second.User))
		}
		wantHistory(t, l, id.ID, "duplicate_email", "user.linked finding.opened")
		for ticket := symbolon.Ticket(1); ticket < 3; ticket++ {
			if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Ticket: ticket}); err != nil {
				t.Fatal(err)
			}
		}
		wantHistory(t, l, id.ID, "duplicate_email", "user.linked finding.opened")
		p.must(t, p.sql(`update {users} set email = null where name = 'Ada'`))
		if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Ticket: 3}); err != nil {
			t.Fatal(err)
		}
		if got := row(second.User); got != "ada@example.com Eve" {
			t.Fatalf("row: %q", got)
		}
		wantHistory(t, l, id.ID, "", "user.linked finding.opened user.updated finding.closed")

		// A refused update keeps the old value and writes the other columns.
		other := identityWith(`{"email":"bob@example.com","name":"Bob"}`)
		bob, err := l.Link(t.Context(), symbolon.Reading{Identity: other})
		if err != nil {
			t.Fatal(err)
		}
		other.Traits = json.RawMessage(`{"email":"ada@example.com","name":"Robert"}`)
		if _, err := l.Link(t.Context(), symbolon.Reading{Identity: other, Ticket: 4}); err != nil {
			t.Fatal(err)
		}
		if got := row(bob.User); got != "bob@example.com Robert" {
			t.Fatalf("row: %q", got)
		}
		wantHistory(t, l, other.ID, "duplicate_email", "user.linked user.updated finding.opened")
	})
}

func wantHistory(t *testing.T, l *link.Linker, id symbolon.IdentityID, findings, events string) {
	t.Helper()
	r, err := l.Record(t.Context(), string(id))
	if err != nil {
		t.Fatal(err)
	}
	var fs, es []string
	for _, f := range r.Findings {
		fs = append(fs, string(f.Kind))
	}
	for _, e := range r.Events {
		es = append(es, string(e.Kind))
	}
	if got := strings.Join(fs, " "); got != findings {
		t.Fatalf("findings: got %q, want %q", got, findings)
	}
	if got := strings.Join(es, " "); got != events {
		t.Fatalf("events: got %q, want %q", got, events)
	}
}

// TestMandatoryColumns tests columns that may not be null, with and without a value.
func TestMandatoryColumns(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		t.Run("a constant", func(t *testing.T) {
			p := create(t, db, "plan text not null, seats integer not null, trial boolean not null, extra text",
				map[string]string{"plan": "'free'", "seats": "3", "trial": "true", "extra": "default(traits.extra, 'x')"})
			if err := p.store(p.DB).Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			l := linkerOf(p.store(p.DB))
			id := identityWith(`{}`)
			link, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
			if err != nil {
				t.Fatal(err)
			}
			p.must(t, p.sql(`update {users} set plan = 'pro', extra = 'mine'`))
			id.Traits = json.RawMessage(`{"extra":"y"}`)
			if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Ticket: 1}); err != nil {
				t.Fatal(err)
			}
			var plan string
			if err := p.QueryRow(p.sql(`select plan from {users}`)).Scan(&plan); err != nil || plan != "pro" {
				t.Fatalf("a constant was written again: %q %v", plan, err)
			}
			if got := p.extra(t, link.User); got != "y" {
				t.Fatalf("extra: %q", got)
			}
		})
		t.Run("a path without a value", func(t *testing.T) {
			p := create(t, db, "extra text not null", map[string]string{"extra": "traits.extra"})
			l := linkerOf(p.store(p.DB))
			id := identityWith(`{}`)
			for range 3 {
				_, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
				var deny *symbolon.DenyError
				if !errors.Is(err, symbolon.ErrCannotCreate) || !errors.As(err, &deny) || deny.Finding != symbolon.CannotCreate || !strings.Contains(deny.Detail, "extra") {
					t.Fatalf("got %v", err)
				}
			}
			wantHistory(t, l, id.ID, "cannot_create", "link.held finding.opened")
			if n := p.count(t, p.sql(`select count(*) from {users}`)); n != 0 {
				t.Fatalf("%d rows", n)
			}
			id.Traits = json.RawMessage(`{"extra":"now"}`)
			link, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Ticket: 1})
			if err != nil || p.extra(t, link.User) != "now" {
				t.Fatal(err)
			}
			wantHistory(t, l, id.ID, "", "link.held finding.opened user.linked finding.closed")
			id.Traits = json.RawMessage(`{}`)
			if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Ticket: 2}); err != nil || p.extra(t, link.User) != "now" {
				t.Fatal("a mandatory column was set to null, or prevented the update", err)
			}
		})
		t.Run("a mandatory e-mail that is in use", func(t *testing.T) {
			p := create(t, db, "email text not null unique", map[string]string{"email": "traits.email"})
			l := linkerOf(p.store(p.DB))
			if _, err := l.Link(t.Context(), symbolon.Reading{Identity: identityWith(`{"email":"a@example.com"}`)}); err != nil {
				t.Fatal(err)
			}
			_, err := l.Link(t.Context(), symbolon.Reading{Identity: identityWith(`{"email":"a@example.com"}`)})
			if !errors.Is(err, symbolon.ErrCannotCreate) || strings.Contains(err.Error(), "a@example.com") {
				t.Fatalf("got %v", err)
			}
		})
		t.Run("by identity, and the row belongs to another identity", func(t *testing.T) {
			p := create(t, db, "extra text", nil)
			p.users.NewID = sqlstore.ByIdentity
			id := identityWith(`{}`)
			p.must(t, p.sql(`insert into {users} (id) values ($1)`), string(id.ID))
			l := linkerOf(p.store(p.DB))
			_, err := l.Link(t.Context(), symbolon.Reading{Identity: id})
			if !errors.Is(err, symbolon.ErrCannotCreate) || !strings.Contains(err.Error(), "bind") {
				t.Fatalf("got %v", err)
			}
			if _, err := l.Bind(t.Context(), id.ID, symbolon.UserID(id.ID), symbolon.BindOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id}); err != nil {
				t.Fatal(err)
			}
		})
	})
}
