package sqlstore

import (
	"context"
	"fmt"
	"slices"

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

// refusing lists the same tables if no row can be inserted into them: row level security is
// active, and no permissive policy for inserting applies to the database user. A policy for
// inserting with a condition may refuse some rows; see doubted.
const refusing = `
select cast(cast(c.oid as regclass) as text)
from pg_class c
where (c.oid = to_regclass(cast($1 as text)) or c.relnamespace = to_regnamespace('symbolon')) and c.relkind in ('r', 'p')
  and row_security_active(c.oid)
  and not exists (select 1 from pg_policy p where p.polrelid = c.oid and p.polpermissive and p.polcmd in ('*', 'a')
      and exists (select 1 from unnest(p.polroles) as r (role) where r.role = 0 or pg_has_role(current_user, r.role, 'usage')))
order by 1`

// doubted lists the policies that apply to rows that the database user inserts into the users
// table, and that have a condition.
const doubted = `
select quote_ident(p.polname) from pg_policy p
where p.polrelid = to_regclass(cast($1 as text)) and row_security_active(p.polrelid) and p.polcmd in ('*', 'a')
  and coalesce(pg_get_expr(p.polwithcheck, p.polrelid), pg_get_expr(p.polqual, p.polrelid), 'true') <> 'true'
  and exists (select 1 from unnest(p.polroles) as r (role) where r.role = 0 or pg_has_role(current_user, r.role, 'usage'))
order by 1`

// checkHidden finds tables of which some rows may be hidden, and tables that refuse every new
// row.
func (s *Store) checkHidden(ctx context.Context) (faults []error, err error) {
	if s.Dialect != Postgres {
		return nil, nil
	}
	names, err := readNames(ctx, s.DB, hidden, []any{s.users().parts().String()})
	if err != nil {
		return nil, unavailable("read the policies of row level security", err)
	}
	closed, err := readNames(ctx, s.DB, refusing, []any{s.users().parts().String()})
	if err != nil {
		return nil, unavailable("read the policies of row level security", err)
	}
	for _, name := range names {
		faults = append(faults, hidingFault(name, s.user(ctx)))
	}
	for _, name := range closed {
		if !slices.Contains(names, name) { // one policy corrects both
			faults = append(faults, &Fault{Kind: Refusing, Is: "row level security refuses every new row of table " + name,
				Fix: fmt.Sprintf("run as its owner: create policy symbolon_inserts on %s for insert to %s with check (true);", name, s.user(ctx))})
		}
	}
	return faults, nil
}

// user is the quoted name of the database user.
func (s *Store) user(ctx context.Context) string {
	var user string
	if s.DB.QueryRowContext(ctx, `select quote_ident(current_user)`).Scan(&user) != nil {
		return "current_user"
	}
	return user
}

// hidingFault says that rows may be hidden. A policy may name current_user, which is the role
// that runs the statement.
func hidingFault(table, user string) *Fault {
	return &Fault{Kind: Hiding, Is: "row level security may hide rows of table " + table + " from the database user, and a hidden row looks like a deleted one",
		Fix: fmt.Sprintf("run as its owner: create policy symbolon_sees_all on %s to %s using (true); or as a superuser: alter role %s bypassrls;", table, user, user)}
}

// hiddenError says that a row of the table may exist although it cannot be read.
type hiddenError struct{ table, user string }

func (e hiddenError) Error() string { return "row level security may hide the row in table " + e.table }

// mayBeHidden returns a hiddenError if a row that was not found may exist.
func (r *reader) mayBeHidden(ctx context.Context) error {
	s := r.db.store
	if s.Dialect != Postgres {
		return nil
	}
	names, err := collect(ctx, r.db.query, hidden, []any{s.users().parts().String()}, scanOne[string])
	if err == nil && len(names) > 0 {
		return hiddenError{names[0], s.user(ctx)}
	}
	return err
}

// linkedRowMissing reports whether the row of a linked user was not found.
func (r *reader) linkedRowMissing() bool {
	linked := r.held.Link.State == symbolon.Linked || r.held.Link.State == symbolon.Also
	return linked && r.held.User == nil
}
