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
	onBoth(t, func(t *testing.T, db database) {
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
			t.Run(name, func(t *testing.T) { db.testSpelling(t, c.write, c.finds) })
		}
	})
}

func (db database) testSpelling(t *testing.T, write func(id string) string, finds bool) {
	const ours = "1d0e0000-0000-4000-8000-00000000000"
	p := &people{database: db, variant: variant{users: sqlstore.Users{Table: fmt.Sprintf("people%d", tables.Add(1)), Identity: "ory"}}}
	p.must(t, p.sql("create table {users} (id text primary key not null, ory text unique)"))
	for n := range 3 {
		p.must(t, p.sql("insert into {users} (id, ory) values ($1, $2)"), fmt.Sprint(n), write(fmt.Sprintf("%s%d", ours, n)))
	}
	p.must(t, p.sql("insert into {users} (id) values ('9')"))
	store := p.store(p.DB)
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
	if (found != nil) != finds {
		t.Fatalf("%v", faults)
	}
	if found == nil {
		return
	}
	if !strings.Contains(found.Is, "at least 3 rows") {
		t.Error(found.Is)
	}
	fix, _, _ := strings.Cut(found.Fix, ";")
	p.must(t, fix)
	if faults, err = store.Examine(t.Context()); err != nil || len(faults) > 0 {
		t.Errorf("after the fix: %v, %v", faults, err)
	}
	if rows := db.rows(t, p.sql("select ory from {users} where id = '1'"), 1); rows[0][0] != ours+"1" {
		t.Errorf("the fix wrote %q", rows[0][0])
	}
}
