package sqlstore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestStartOnAnotherTable starts a project on an empty table, and later on a table with a user
// from before. The second start is not settled, unless the ledger knows an identity already.
func TestStartOnAnotherTable(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		first := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}
		run(t, db, `create table accounts (id varchar(40) primary key, ory varchar(36) unique`+oryWrites+`, email text)`)
		run(t, db, `insert into accounts (id, email) values ('1', 'a@b.c')`)
		second := &sqlstore.Store{DB: db.DB, Dialect: db.dialect, Users: sqlstore.Users{Table: "accounts", Identity: "ory"}}
		begin := func(s *sqlstore.Store, project, want string) {
			t.Helper()
			got, err := s.Begin(t.Context(), project)
			if err != nil || got.SettledBy != want || got.Settled() != (want != "") {
				t.Errorf("project %s: %+v, %v; want it settled by %q", project, got, err, want)
			}
			if found, err := s.FindStart(t.Context(), project); err != nil || found.SettledBy != want || found.Settled() != (want != "") {
				t.Errorf("project %s was recorded as %+v, %v", project, found, err)
			}
		}
		begin(first, "unused", "no_rows")
		begin(first, "unused", "no_rows")
		begin(second, "unused", "")
		begin(second, "unused", "")
		if _, err := second.Settle(t.Context(), "unused", "start_fresh"); err != nil {
			t.Fatal(err)
		}
		begin(second, "unused", "start_fresh")

		begin(first, "used", "no_rows")
		l := linkerOf(first)
		l.Project = "used"
		if _, err := l.Link(t.Context(), symbolon.Reading{Identity: identityWith(`{}`)}); err != nil {
			t.Fatal(err)
		}
		var fault *sqlstore.Fault
		if _, err := second.Begin(t.Context(), "used"); !errors.As(err, &fault) || fault.Kind != sqlstore.OtherTable {
			t.Errorf("the table of another service was taken: %v", err)
		}
	})
}

// TestLedgerKnowsItsTable has a ledger whose links belong to a users table. A program with another
// table does not start in this project, and a project of its own can use it. A renamed table is
// recorded by the operator's word, and a ledger from before the record is recorded by its next
// start.
func TestLedgerKnowsItsTable(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		for _, name := range []string{"buyers", "readers"} {
			run(t, db, `create table `+name+` (id varchar(40) primary key, ory varchar(36) unique`+oryWrites+`)`)
		}
		on := func(table string) *sqlstore.Store {
			return &sqlstore.Store{DB: db.DB, Dialect: db.dialect, Users: sqlstore.Users{Table: table, Identity: "ory"}}
		}
		starts := func(table, project string, want bool) {
			t.Helper()
			if err := on(table).CheckProject(t.Context(), project); (err == nil) != want || errors.Is(err, symbolon.ErrUnavailable) {
				t.Errorf("%s may use %s: %v", project, table, err)
			}
			_, err := on(table).Begin(t.Context(), project)
			var fault *sqlstore.Fault
			if (err == nil) != want || errors.Is(err, symbolon.ErrUnavailable) || err != nil && (!errors.As(err, &fault) || fault.Kind != sqlstore.OtherTable || !strings.Contains(fault.Fix, "ory.project")) {
				t.Errorf("%s starts with %s: %v", project, table, err)
			}
		}
		link := func(table, project string) {
			t.Helper()
			l := linkerOf(on(table))
			l.Project = project
			if _, err := l.Link(t.Context(), symbolon.Reading{Identity: identityWith(`{}`)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := on("readers").CheckProject(t.Context(), "shop"); err != nil {
			t.Errorf("nothing has started: %v", err)
		}
		starts("readers", "shop", true)
		starts("buyers", "shop", true)                                      // no link was made
		if err := on("readers").OwnTable(t.Context(), "shop"); err != nil { // a command that links next
			t.Fatal(err)
		}
		link("readers", "shop")
		starts("buyers", "shop", false)
		starts("readers", "shop", true)
		if before, err := on("buyers").TakeTable(t.Context(), "shop"); err != nil || !strings.HasSuffix(before, ".readers") {
			t.Errorf("before: %q, %v", before, err)
		}
		starts("readers", "shop", false)
		starts("buyers", "shop", true)
		starts("readers", "blog", true)
		starts("buyers", "tenant", true) // two projects on one table

		same := map[sqlstore.Dialect]string{sqlstore.SQLite: "main.buyers", sqlstore.Postgres: "public.buyers"}[db.dialect]
		starts(same, "shop", true)

		run(t, db, `alter table buyers rename to customers`)
		starts("customers", "shop", false)
		if before, err := on("customers").TakeTable(t.Context(), "shop"); err != nil || before != same {
			t.Errorf("before: %q, %v", before, err)
		}
		starts("customers", "shop", true)
		if _, err := on("customers").TakeTable(t.Context(), "nobody"); !errors.Is(err, symbolon.ErrNotFound) {
			t.Errorf("a project that never started: %v", err)
		}

		recorded := map[sqlstore.Dialect]string{sqlstore.SQLite: "symbolon_starts", sqlstore.Postgres: "symbolon.starts"}[db.dialect]
		run(t, db, `update `+recorded+` set users_table = ''`)
		starts("customers", "shop", true)
		starts("readers", "shop", false)
	})
}
