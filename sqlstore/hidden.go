package sqlstore

import (
	"context"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// Row level security of Postgres hides rows without an error. A hidden row looks like a
// deleted one: its person would be denied, or get a second user. So Check refuses tables of
// which some rows may be hidden. If a policy is added later, a row that seems to be missing
// is treated as "don't know".

// hidden lists the tables of which some rows may be hidden from the database user: the users
// table ($1) and Symbolon's own tables. Every row is visible if three conditions hold: a
// permissive policy for reading has the condition true, a permissive policy for updating has
// it, too, and no restrictive policy with another condition applies. A permissive policy
// without a condition shows no row, and a restrictive policy without a condition hides no row.
// A policy applies to everybody (role 0) or to a role whose rights the user has.
const hidden = `
with applying as (
    select polrelid, polpermissive, polcmd, pg_get_expr(polqual, polrelid) = 'true' as whole
    from pg_policy p
    where exists (select 1 from unnest(p.polroles) as r (role) where r.role = 0 or pg_has_role(current_user, r.role, 'usage')))
select cast(cast(c.oid as regclass) as text)
from pg_class c
where (c.oid = to_regclass(cast($1 as text)) or c.relnamespace = to_regnamespace('symbolon')) and c.relkind in ('r', 'p')
  and row_security_active(c.oid)
  and not (exists (select 1 from applying a where a.polrelid = c.oid and a.polpermissive and a.whole and a.polcmd in ('*', 'r'))
       and exists (select 1 from applying a where a.polrelid = c.oid and a.polpermissive and a.whole and a.polcmd in ('*', 'w'))
       and not exists (select 1 from applying a where a.polrelid = c.oid and not a.polpermissive and a.whole is false and a.polcmd in ('*', 'r', 'w')))
order by 1`

// checkHidden finds tables of which some rows may be hidden.
func (s *Store) checkHidden(ctx context.Context) (faults []error, err error) {
	if s.Dialect != Postgres {
		return nil, nil
	}
	names, err := readNames(ctx, s.DB, hidden, []any{s.users().parts().String()})
	if err != nil {
		return nil, unavailable("read the policies of row level security", err)
	}
	for _, name := range names {
		faults = append(faults, hidingFault(name))
	}
	return faults, nil
}

func hidingFault(table string) *Fault {
	return &Fault{Kind: Hiding, Is: "row level security may hide rows of table " + table + " from the database user, and a hidden row looks like a deleted one",
		Fix: fmt.Sprintf("create policy symbolon_sees_all on %s to USER using (true), or alter role USER bypassrls; USER is the database user", table)}
}

// hiddenError says that a row of the table may exist although it cannot be read.
type hiddenError struct{ table string }

func (e hiddenError) Error() string { return "row level security may hide the row in table " + e.table }

// mayBeHidden returns a hiddenError if a row that was not found may exist.
func (r *reader) mayBeHidden(ctx context.Context) error {
	s := r.db.store
	if s.Dialect != Postgres {
		return nil
	}
	names, err := collect(ctx, r.db.query, hidden, []any{s.users().parts().String()}, scanOne[string])
	if err == nil && len(names) > 0 {
		return hiddenError{names[0]}
	}
	return err
}

// linkedRowMissing reports whether the row of a linked user was not found.
func (r *reader) linkedRowMissing() bool {
	return r.held.Link.State == symbolon.Linked && r.held.User == nil
}
