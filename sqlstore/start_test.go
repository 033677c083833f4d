package sqlstore_test

import (
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
		begin(second, "used", "no_rows")
	})
}
