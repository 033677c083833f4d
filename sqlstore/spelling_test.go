package sqlstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestSpelling checks that rows with another spelling of an identity's ID are refused, and that
// the fix of the message repairs them.
func TestSpelling(t *testing.T) {
	const ours = "1d0e0000-0000-4000-8000-00000000000"
	for name, c := range map[string]struct {
		write func(id string) string
		finds bool
	}{
		"as Ory":          {strings.ToLower, false},
		"capitals":        {strings.ToUpper, true},
		"no hyphens":      {func(id string) string { return strings.ReplaceAll(id, "-", "") }, true},
		"braces, capital": {func(id string) string { return "{" + strings.ToUpper(id) + "}" }, true},
		"blanks":          {func(id string) string { return " " + id + " " }, true},
		"no UUID":         {func(id string) string { return "x" + id }, false},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, db database) {
				run := func(query string, args ...any) {
					t.Helper()
					if _, err := db.Exec(query, args...); err != nil {
						t.Fatal(err)
					}
				}
				run("create table people (id text primary key not null, ory text unique)")
				for n := range 3 {
					run("insert into people (id, ory) values ($1, $2)", fmt.Sprint(n), c.write(fmt.Sprintf("%s%d", ours, n)))
				}
				run("insert into people (id) values ('9')")
				store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect, Users: sqlstore.Users{Table: "people", Identity: "ory"}}
				faults, err := store.Examine(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				var found *sqlstore.Fault
				for _, fault := range faults {
					if f, ok := errors.AsType[*sqlstore.Fault](fault); ok && f.Kind == sqlstore.Spelling {
						found = f
					}
				}
				if (found != nil) != c.finds {
					t.Fatalf("%v", faults)
				}
				if found == nil {
					return
				}
				if !strings.Contains(found.Is, "at least 3 rows") {
					t.Error(found.Is)
				}
				fix, _, _ := strings.Cut(found.Fix, ";")
				run(fix)
				if faults, err = store.Examine(t.Context()); err != nil || len(faults) > 0 {
					t.Errorf("after the fix: %v, %v", faults, err)
				}
				if rows := db.rows(t, "select ory from people where id = '1'", 1); rows[0][0] != ours+"1" {
					t.Errorf("the fix wrote %q", rows[0][0])
				}
			})
		})
	}
}
