package sqlstore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestIdentityColumn adds the column and the index to tables. A second run changes
// nothing, and possible failures are reported.
func TestIdentityColumn(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		ctx := t.Context()
		for i, ddl := range []string{
			"create table %t (id integer primary key)",
			"create table %t (id integer primary key, ory text)",
			"create table %t (id integer primary key, ory text unique)",
		} {
			name := "people_" + string(rune('a'+i))
			run(t, db, strings.ReplaceAll(ddl, "%t", name))
			s := &sqlstore.Store{DB: db.DB, Dialect: db.dialect, Users: sqlstore.Users{Table: name, Identity: "ory", NewID: sqlstore.ByDatabase}}
			planned, err := s.IdentityColumn(ctx)
			if want := [3]int{2, 3, 2}[i]; err != nil || len(planned) != want {
				t.Fatalf("%s: %q %v", name, planned, err)
			}
			ran, err := s.AddIdentityColumn(ctx)
			if err != nil || strings.Join(ran, ";") != strings.Join(planned, ";") {
				t.Errorf("%s: %q %v", name, ran, err)
			}
			if ran, err = s.AddIdentityColumn(ctx); err != nil || len(ran) != 0 {
				t.Errorf("%s again: %q %v", name, ran, err)
			}
			d, err := sqlstore.Describe(ctx, db.DB, db.dialect, name)
			if c, ok := d.Column("ory"); err != nil || !ok || !c.Unique || !c.Holds || c.NotNull {
				t.Errorf("%s: %+v %v", name, d, err)
			}
		}
		run(t, db, "create table doubles (id integer primary key, ory text)")
		run(t, db, "insert into doubles (id, ory) values (1, '"+ours+"1'), (2, '"+strings.ToUpper(ours)+"1'), (3, '"+ours+"2'), (4, null), (5, null)")
		s := &sqlstore.Store{DB: db.DB, Dialect: db.dialect, Users: sqlstore.Users{Table: "doubles", Identity: "ory", NewID: sqlstore.ByDatabase}}
		_, err := s.AddIdentityColumn(ctx)
		var doubled *sqlstore.DoubledError
		if !errors.As(err, &doubled) || len(doubled.Values) != 1 || !strings.HasSuffix(doubled.Values[0], `1" (2 rows)`) {
			t.Errorf("%v", err)
		}
		if db.dialect == sqlstore.Postgres { // a failed build of an index leaves an invalid index
			run(t, db, "update doubles set ory = lower(ory)")
			_, _ = db.ExecContext(ctx, "create unique index concurrently doubles_ory_key on doubles (ory)")
			run(t, db, "delete from doubles where id = 2")
			ran, err := s.AddIdentityColumn(ctx)
			if err != nil || len(ran) != 4 || !strings.HasPrefix(ran[2], "drop index") {
				t.Errorf("%q %v", ran, err)
			}
		}
		s = &sqlstore.Store{DB: db.DB, Dialect: db.dialect, Users: sqlstore.Users{Table: "nowhere"}}
		if _, err := s.IdentityColumn(ctx); err == nil || !strings.Contains(err.Error(), "no table nowhere") {
			t.Error(err)
		}
	})
}

// TestTables lists possible users tables, without Symbolon's own tables.
func TestTables(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		run(t, db, "create table members (email varchar(200) not null unique, id integer primary key, plan text default 'free')")
		run(t, db, `create table "odd name" (id integer primary key)`)
		tables, err := sqlstore.Tables(t.Context(), db.DB, db.dialect)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, table := range tables {
			names = append(names, table.Name)
			if table.Name != "members" {
				continue
			}
			email, _ := table.Column("email")
			plan, _ := table.Column("plan")
			if id := table.Columns[0]; id.Name != "id" || !id.Key || !id.Integer || !email.Text || !email.Unique || !email.NotNull || email.Default || !plan.Default {
				t.Errorf("%+v", table)
			}
		}
		if got := strings.Join(names, " "); got != "members odd name symbolon_users" {
			t.Error(got)
		}
	})
}

// TestUnmake undoes links, on every kind of users table, and does not change other
// people's rows.
func TestUnmake(t *testing.T) {
	for _, v := range variants {
		for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
			t.Run(v.name+"/"+string(dialect), func(t *testing.T) {
				p := openVariant(t, v, dialect)
				store := p.store(p.DB)
				ids := linkSome(t, store, 3)
				rec, err := store.Record(t.Context(), "default", string(ids[1]))
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if err := store.Unmake(t.Context(), "default", ids[1]); err != nil {
						t.Fatal(err)
					}
				}
				after, err := store.Record(t.Context(), "default", string(ids[1]))
				if err != nil || after.Link != nil || after.Row != nil || len(after.Events) != 2 {
					t.Errorf("%+v %v", after, err)
				}
				held, err := store.Read(t.Context(), symbolon.Query{Project: "default", Reading: symbolon.Reading{Identity: person(5)},
					Claims: []symbolon.UserID{rec.Link.User}})
				if err != nil || !held.Claims[0].Retired {
					t.Errorf("the user's ID may be given out again: %+v %v", held, err)
				}
				for _, id := range []symbolon.IdentityID{ids[0], ids[2]} {
					if rec, err := store.Record(t.Context(), "default", string(id)); err != nil || rec.Link == nil || rec.Row == nil {
						t.Errorf("another person: %+v %v", rec, err)
					}
				}
				links, err := store.LatestLinks(t.Context(), "default", 2)
				if err != nil || len(links) != 2 || links[0].Identity != ids[2] || links[1].Identity != ids[1] || links[0].Source != symbolon.FromRequest || links[0].At.IsZero() {
					t.Errorf("%+v %v", links, err)
				}
			})
		}
	}
}

// TestUnmakeOfARowThatIsNeeded expects an error and a rollback.
func TestUnmakeOfARowThatIsNeeded(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}
		ids := linkSome(t, store, 1)
		run(t, db, "create table notes (author "+map[sqlstore.Dialect]string{sqlstore.SQLite: "text", sqlstore.Postgres: "uuid"}[db.dialect]+" references symbolon_users (id))")
		run(t, db, "insert into notes select id from symbolon_users")
		if err := store.Unmake(t.Context(), "default", ids[0]); err == nil || !strings.Contains(err.Error(), "cannot be deleted") {
			t.Fatal(err)
		}
		if rec, err := store.Record(t.Context(), "default", string(ids[0])); err != nil || rec.Link.State != symbolon.Linked || rec.Row == nil {
			t.Errorf("%+v %v", rec, err)
		}
	})
}

func run(t *testing.T, db database, text string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}
