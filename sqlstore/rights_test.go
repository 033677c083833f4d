package sqlstore_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestRights revokes rights from the database user. Every missing right is named, and after the
// statements of the fixes none is missing.
func TestRights(t *testing.T) {
	db := open(t, sqlstore.Postgres)
	for i, tt := range []struct {
		name, revoke string // {user} is the database user
		wants        []string
	}{
		{"all", ``, nil},
		{"insert and delete", `revoke insert, delete on {users} from {user}`, []string{"lacks the right insert, delete on table public.{users}"}},
		{"some columns only", `revoke update on {users} from {user}; grant update (ory) on {users} to {user}`, nil},
		{"the key's sequence", `revoke all on {users}_id_seq from {user}`, []string{"the right usage on sequence public.{users}_id_seq"}},
		{"Symbolon's own", `revoke update on symbolon.links from {user}; revoke all on sequence symbolon.tickets from {user}`,
			[]string{"the right update on table symbolon.links", "the right usage on sequence symbolon.tickets"}},
		{"the schema", `revoke usage on schema symbolon from {user}`, []string{"may not use the schema symbolon"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := create(t, db, "extra text", nil)
			p.must(t, p.sql(`drop table {users}; create table {users} (id bigserial primary key, ory uuid unique)`))
			p.must(t, p.sql(fmt.Sprintf(`alter sequence {users}_id_seq restart with %d`, 1+1000*i))) // the ledger is the same in all cases
			p.users.NewID = sqlstore.ByDatabase
			store, user := p.asUser(t)
			p.must(t, strings.ReplaceAll(p.sql(tt.revoke), "{user}", user))
			faults, err := store.Rights(t.Context(), symbolon.DeleteRow)
			if err != nil || len(faults) != len(tt.wants) {
				t.Fatalf("%+v %v", faults, err)
			}
			for i, f := range faults {
				if !strings.Contains(f.Is, p.sql(tt.wants[i])) {
					t.Errorf("%q is missing: %s", p.sql(tt.wants[i]), f.Is)
				}
				p.must(t, f.Fix)
			}
			if faults, err = store.Rights(t.Context(), symbolon.DeleteRow); err != nil || len(faults) > 0 {
				t.Errorf("after the fix: %+v %v", faults, err)
			}
			if _, err := linkerOf(store).Link(t.Context(), symbolon.Reading{Identity: identityWith(`{}`), Ticket: next(t, store)}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTriggers lists the application's triggers, and which of them can ignore a write.
func TestTriggers(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		p := db.spelled(t, "text unique", strings.ToLower)
		wants := func(want ...sqlstore.Trigger) {
			t.Helper()
			got, err := p.store(p.DB).Triggers(t.Context())
			if err != nil || len(got) != len(want) {
				t.Fatalf("%+v %v", got, err)
			}
			for i := range got {
				if got[i].Name = strings.TrimSuffix(got[i].Name, "_"+p.users.Table); got[i] != want[i] {
					t.Errorf("got %+v, want %+v", got[i], want[i])
				}
			}
		}
		_, sql := p.misspelt(t)
		p.must(t, sql)
		wants()
		p.trigger(t, "insert", "new.id = 'no'")
		wants(sqlstore.Trigger{Name: "no"})
		p.ignore(t, "update", "new.id = 'no'")
		wants(sqlstore.Trigger{Name: "ignore", Ignores: true}, sqlstore.Trigger{Name: "no"})
		if db.dialect == sqlstore.Postgres {
			p.must(t, p.sql("alter table {users} disable trigger ignore_{users}"))
			p.must(t, p.sql("create rule a_rule as on delete to {users} do instead nothing"))
			wants(sqlstore.Trigger{Name: "a_rule", Ignores: true}, sqlstore.Trigger{Name: "no"})
		}
	})
}
