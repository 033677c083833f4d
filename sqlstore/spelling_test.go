package sqlstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

const ours = "1d0e0000-0000-4000-8000-00000000000"

// spellings are ways of writing an ID.
var spellings = map[string]func(id string) string{
	"as Ory":          strings.ToLower,
	"capitals":        strings.ToUpper,
	"no hyphens":      func(id string) string { return strings.ReplaceAll(id, "-", "") },
	"braces, capital": func(id string) string { return "{" + strings.ToUpper(id) + "}" },
	"blanks":          func(id string) string { return " " + id + " " },
	"a URN":           func(id string) string { return "urn:uuid:" + id },
}

// spelled is a table with a column of text whose IDs are in a spelling.
func (db database) spelled(t *testing.T, declared string, write func(id string) string) *people {
	t.Helper()
	p := &people{database: db, variant: variant{users: sqlstore.Users{Table: fmt.Sprintf("people%d", tables.Add(1)), Identity: "ory"}}}
	p.must(t, p.sql("create table {users} (id text primary key not null, ory "+declared+")"))
	for n := range 3 {
		p.must(t, p.sql("insert into {users} (id, ory) values ($1, $2)"), fmt.Sprint(n), write(fmt.Sprintf("%s%d", ours, n)))
	}
	p.must(t, p.sql("insert into {users} (id) values ('9')"))
	return p
}

// misspelt returns the fault of the spelling, and its SQL.
func (p *people) misspelt(t *testing.T) (*sqlstore.Fault, string) {
	t.Helper()
	faults, err := p.store(p.DB).Examine(t.Context())
	if err != nil || len(faults) > 1 {
		t.Fatalf("%v, %v", faults, err)
	}
	if len(faults) == 0 {
		return nil, ""
	}
	found, ok := errors.AsType[*sqlstore.Fault](faults[0])
	if !ok || found.Kind != sqlstore.Spelling {
		t.Fatal(faults[0])
	}
	_, sql, _ := strings.Cut(found.Fix, "run: ")
	return found, sql
}

// TestSpelling checks that a column that takes another spelling of an identity's ID is refused,
// and that the SQL of the message corrects the rows and keeps other spellings out.
func TestSpelling(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		for name, write := range spellings {
			t.Run(name, func(t *testing.T) {
				p := db.spelled(t, "text unique", write)
				fault, sql := p.misspelt(t)
				if fault == nil || strings.Contains(fault.Is, "3 rows with such a spelling") != (name != "as Ory") {
					t.Fatal(fault)
				}
				if err := p.store(p.DB).Check(t.Context()); err == nil || errors.Is(err, symbolon.ErrUnavailable) {
					t.Fatal(err)
				}
				p.must(t, sql)
				if err := p.store(p.DB).Check(t.Context()); err != nil {
					t.Fatal(err)
				}
				for other, write := range spellings {
					for _, query := range []string{"insert into {users} (id, ory) values ('4', $1)", "update {users} set ory = $1 where id = '9'"} {
						if _, err := db.ExecContext(t.Context(), p.sql(query), write(ours+"1")); err == nil {
							t.Errorf("%s: the row is written: %s", other, query)
						}
					}
				}
				link, err := linkerOf(p.store(p.DB)).Link(t.Context(), symbolon.Reading{Identity: symbolon.Identity{ID: ours + "1"}})
				if err != nil || link.User != "1" {
					t.Errorf("%+v %v", link, err)
				}
				p.must(t, p.sql("insert into {users} (id, ory) values ('4', $1)"), ours+"4")
			})
		}
	})
}

// TestSpellingProofs declares the column in ways that keep other spellings out, and in ways that
// do not.
func TestSpellingProofs(t *testing.T) {
	const both, regexp = "", ` check (ory ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')`
	dbs := []database{open(t, sqlstore.SQLite), open(t, sqlstore.Postgres)}
	run(t, dbs[1], strings.ReplaceAll("create domain ory_id as text"+regexp, "ory ~", "value ~"))
	for _, tt := range []struct {
		declared string
		only     sqlstore.Dialect
		proves   bool
	}{
		{"uuid", sqlstore.Postgres, true},
		{"uuid", sqlstore.SQLite, false},
		{"text", both, false},
		{"text" + oryWrites, both, true},
		{"varchar(36)" + oryWrites, both, true},
		{"uuid" + oryWrites, sqlstore.SQLite, true},
		{"text check (length(ory) = 36 and ory = lower(ory))", both, true},
		{"text check (ory = lower(ory))", both, false},
		{"text check (length(ory) = 36)", both, false},
		{"text check (ory = upper(ory))", both, false},
		{"text check (ory = lower(ory) and length(ory) = 36 and trim(ory, ' {}') = ory and replace(ory, '-', '') <> ory)", both, true},
		{"text, constraint several check (id <> '' and ory = lower(ory) and ory like '________-____-____-____-____________')", both, false},
		{"text, constraint one check (ory = lower(ory)), constraint other check (ory like '________-____-____-____-____________')", both, false},
		{"text" + regexp, sqlstore.Postgres, true},
		{"varchar" + regexp, sqlstore.Postgres, true},
		{"text check (cast(cast(ory as uuid) as text) = ory)", sqlstore.Postgres, true},
		{"ory_id", sqlstore.Postgres, true},
		{"char(40)", sqlstore.Postgres, false},
	} {
		for _, db := range dbs {
			if tt.only != both && tt.only != db.dialect {
				continue
			}
			t.Run(tt.declared+"/"+string(db.dialect), func(t *testing.T) {
				p := &people{database: db, variant: variant{users: sqlstore.Users{Table: fmt.Sprintf("people%d", tables.Add(1)), Identity: "ory"}}}
				p.must(t, p.sql("create table {users} (id text primary key not null, ory "+tt.declared+")"))
				p.must(t, p.sql("create unique index ory_of_{users} on {users} (ory)"))
				fault, sql := p.misspelt(t)
				if (fault == nil) != tt.proves {
					t.Fatal(fault)
				}
				if fault == nil || strings.Contains(tt.declared, "upper") {
					return
				}
				p.must(t, sql)
				if fault, _ := p.misspelt(t); fault != nil {
					t.Error(fault)
				}
				p.must(t, p.sql("insert into {users} (id, ory) values ('1', $1)"), ours+"1")
			})
		}
	}
}

// TestSpellingIsInterrupted runs only some of the statements, and then those that the next message
// has. IdentityColumn has the same ones.
func TestSpellingIsInterrupted(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		for n := range 3 {
			p := db.spelled(t, "text unique", strings.ToUpper)
			_, sql := p.misspelt(t)
			todo, err := p.store(p.DB).IdentityColumn(t.Context())
			if err != nil || strings.Join(todo, "; ")+";" != sql {
				t.Fatalf("%q %q %v", sql, todo, err)
			}
			p.must(t, strings.Join(todo[:n+1], "; "))
			if _, sql = p.misspelt(t); sql != "" {
				p.must(t, sql)
			}
			todo, err = p.store(p.DB).IdentityColumn(t.Context())
			if fault, _ := p.misspelt(t); fault != nil || err != nil || len(todo) > 0 {
				t.Errorf("%v %q %v", fault, todo, err)
			}
		}
	})
}

// TestSpellingNeedsADecision has rows that no SQL can correct.
func TestSpellingNeedsADecision(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := db.spelled(t, "text unique", strings.ToUpper)
		p.must(t, p.sql("insert into {users} (id, ory) values ('4', $1), ('5', 'auth0|5')"), ours+"1")
		fault, sql := p.misspelt(t)
		for _, part := range []string{"3 rows with such a spelling", "1 row with something else", strings.ReplaceAll(ours, "-", "") + "1 (2 rows)"} {
			if !strings.Contains(fault.Is, part) {
				t.Errorf("%q is missing: %s", part, fault.Is)
			}
		}
		_, show, _ := strings.Cut(fault.Fix, "(select")
		show, _, _ = strings.Cut(show, ") and set")
		if rows := db.rows(t, "select id from"+strings.TrimPrefix(show, " * from"), 1); len(rows) != 1 {
			t.Errorf("%q", rows)
		}
		if _, err := p.store(p.DB).IdentityColumn(t.Context()); err == nil || !strings.Contains(err.Error(), "(2 rows)") {
			t.Error(err)
		}
		p.must(t, p.sql("update {users} set ory = null where id in ('4', '5')"))
		p.must(t, sql)
		if fault, _ := p.misspelt(t); fault != nil {
			t.Error(fault)
		}
	})
}

// TestSpellingIsLost removes what keeps other spellings out while the store runs. There is a
// fault, nobody with a row in another spelling gets a second user, and others get theirs.
func TestSpellingIsLost(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := db.spelled(t, "text unique", strings.ToLower)
		_, sql := p.misspelt(t)
		p.must(t, sql)
		store := p.store(p.DB)
		l := linkerOf(store)
		if err := store.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantTableFaults(t, store)
		away := "alter table {users} drop constraint ory_spelling"
		if db.dialect == sqlstore.SQLite {
			away = "drop trigger {users}_ory_spelling_insert; drop trigger {users}_ory_spelling_update"
		}
		p.must(t, p.sql(away))
		store.Age()
		good := identityWith(`{}`)
		for name, write := range spellings {
			if name == "as Ory" {
				continue
			}
			bad := identityWith(`{}`)
			p.must(t, p.sql("update {users} set ory = $1 where id = '2'"), write(string(bad.ID)))
			if _, err := l.Link(t.Context(), symbolon.Reading{Identity: bad}); !errors.Is(err, symbolon.ErrCannotCreate) {
				t.Errorf("%s: %v", name, err)
			}
		}
		wantTableFaults(t, store, "spelling ory")
		for _, many := range l.LinkAll(t.Context(), []symbolon.Reading{{Identity: good}, {Identity: identityWith(`{}`)}}) {
			if many.Err != nil || many.Link.State != symbolon.Linked {
				t.Errorf("%+v", many)
			}
		}
		p.must(t, p.sql("update {users} set ory = null where id = '2'"))
		p.must(t, sql)
		store.Age()
		if _, err := l.Link(t.Context(), symbolon.Reading{Identity: good}); err != nil {
			t.Fatal(err)
		}
		wantTableFaults(t, store)
	})
}

// TestSpellingAfterRename renames the table and the column, with what keeps other spellings out.
func TestSpellingAfterRename(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := db.spelled(t, "text unique", strings.ToUpper)
		_, sql := p.misspelt(t)
		p.must(t, sql)
		p.must(t, p.sql("alter table {users} rename column ory to kratos"))
		p.must(t, p.sql("alter table {users} rename to {users}_renamed"))
		p.users.Table, p.users.Identity = p.users.Table+"_renamed", "kratos"
		if fault, _ := p.misspelt(t); fault != nil {
			t.Error(fault)
		}
	})
}

// loses removes what keeps other spellings out, as the store's own SQL made it.
func (p *people) loses(t *testing.T) {
	t.Helper()
	away := "alter table {users} drop constraint ory_spelling"
	if p.dialect == sqlstore.SQLite {
		away = "drop trigger {users}_ory_spelling_insert; drop trigger {users}_ory_spelling_update"
	}
	p.must(t, p.sql(away))
}

// TestSpellingIsLostUnnoticed loses the guarantee after the store has read the shape, and restores
// it without a correction of the rows. Nobody gets a second user, alone or among many, and the fault
// lasts as long as a row is misspelt.
func TestSpellingIsLostUnnoticed(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := db.spelled(t, "text unique", strings.ToLower)
		_, sql := p.misspelt(t)
		p.must(t, sql)
		store := p.store(p.DB)
		l := linkerOf(store)
		misspell := func(write func(string) string) symbolon.Identity {
			bad := identityWith(`{}`)
			p.must(t, p.sql("insert into {users} (id, ory) values ($1, $2)"), newUUID(), write(string(bad.ID)))
			return bad
		}
		refused := func(when string, bad symbolon.Identity) {
			t.Helper()
			many := l.LinkAll(t.Context(), []symbolon.Reading{{Identity: bad}, {Identity: identityWith(`{}`)}})
			if !errors.Is(many[0].Err, symbolon.ErrCannotCreate) || many[1].Err != nil || many[1].Link.State != symbolon.Linked {
				t.Errorf("%s, many: %+v", when, many)
			}
		}
		if _, err := l.Link(t.Context(), symbolon.Reading{Identity: identityWith(`{}`)}); err != nil {
			t.Fatal(err)
		}
		p.loses(t)
		for name, write := range spellings {
			if name == "as Ory" {
				continue
			}
			if _, err := l.Link(t.Context(), symbolon.Reading{Identity: misspell(write)}); !errors.Is(err, symbolon.ErrCannotCreate) {
				t.Errorf("%s: %v", name, err)
			}
			refused(name, misspell(write))
		}
		wantTableFaults(t, store)
		store.Age()
		late := misspell(strings.ToUpper)
		refused("unproven", misspell(strings.ToUpper))
		wantTableFaults(t, store, "spelling ory")

		_, sql = p.misspelt(t)
		guard, correct, _ := strings.Cut(sql, "; update")
		p.must(t, guard)
		store.Age()
		refused("guarded", late)
		wantTableFaults(t, store, "spelling ory")
		p.must(t, "update"+correct)
		store.Age()
		if link, err := l.Link(t.Context(), symbolon.Reading{Identity: late}); err != nil || link.State != symbolon.Linked {
			t.Errorf("%+v, %v", link, err)
		}
		wantTableFaults(t, store)
	})
}

// TestSpellingOfANewType makes the column another type while the store looks for other spellings.
func TestSpellingOfANewType(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	for _, kind := range []string{"varchar(60)", "char(60)", "uuid"} {
		p := db.spelled(t, "text unique", strings.ToUpper)
		l := linkerOf(p.store(p.DB))
		for _, ddl := range []string{"", "alter table {users} alter column ory type " + kind + " using cast(cast(ory as text) as " + kind + ")"} {
			p.must(t, p.sql(ddl))
			many := l.LinkAll(t.Context(), []symbolon.Reading{{Identity: identityWith(`{}`)}, {Identity: identityWith(`{}`)}})
			one, err := l.Link(t.Context(), symbolon.Reading{Identity: identityWith(`{}`)})
			if many[0].Err != nil || many[1].Err != nil || err != nil || one.State != symbolon.Linked {
				t.Errorf("%s: %+v %+v %v", kind, many, one, err)
			}
		}
	}
}

// TestSpellingNames makes the guarantee although its usual name is in use: by a weaker constraint,
// or by the triggers of a backup of the table. One of SQLite's triggers may be there already.
func TestSpellingNames(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		for _, apply := range []bool{false, true} {
			p := db.spelled(t, "text unique", strings.ToUpper)
			if _, sql := p.misspelt(t); db.dialect == sqlstore.SQLite {
				p.must(t, sql)
				p.must(t, p.sql(`alter table {users} rename to {users}_backup; create table {users} (id text primary key not null, ory text unique);
insert into {users} select id, upper(ory) from {users}_backup`))
			} else {
				p.must(t, p.sql(`alter table {users} add constraint ory_spelling check (ory <> '')`))
			}
			if _, sql := p.misspelt(t); apply {
				if ran, err := p.store(p.DB).AddIdentityColumn(t.Context()); err != nil || len(ran) != 3 {
					t.Errorf("%q %v", ran, err)
				}
			} else {
				p.must(t, sql)
			}
			if fault, _ := p.misspelt(t); fault != nil {
				t.Error(fault)
			}
			if db.dialect == sqlstore.SQLite {
				p.must(t, p.sql(`drop trigger {users}_ory_spelling_update_2`))
				if _, sql := p.misspelt(t); strings.Count(sql, "create trigger") != 1 || !strings.Contains(sql, "_spelling_update_2") {
					t.Error(sql)
				}
			}
		}
	})
}

// TestSpellingStays has a trigger that keeps the rows from being corrected. AddIdentityColumn
// reports it.
func TestSpellingStays(t *testing.T) {
	p := open(t, sqlstore.SQLite).spelled(t, "text unique", strings.ToUpper)
	p.must(t, p.sql("create trigger stubborn before update on {users} begin select raise(ignore); end"))
	ran, err := p.store(p.DB).AddIdentityColumn(t.Context())
	if len(ran) != 3 || err == nil || !strings.Contains(err.Error(), "still missing: update") {
		t.Errorf("%q %v", ran, err)
	}
}
