package sqlstore

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/projection"
)

// readRights lists the tables and sequences that the database user needs, and the rights on them
// that the user does not have. The users table is $2 in the schema $1, which may be empty. $3 says
// whether the table's own sequences are needed, and $4, $5 and $6 are the columns of the table
// that are inserted, updated and read, with commas between them. $7 says whether its rows are
// deleted.
const readRights = `
with users as (
    select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relname = $2 and c.relkind in ('r', 'p', 'v') and (n.nspname = $1 or $1 = '' and pg_table_is_visible(c.oid))),
needed as (
    select oid, true as theirs from users
    union all select d.objid, true from pg_depend d join users u on d.refobjid = u.oid
        where $3 and d.classid = cast('pg_class' as regclass) and d.refclassid = cast('pg_class' as regclass) and d.deptype = 'a'
    union all select c.oid, false from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('symbolon', 'symbolon_river')),
lacking as (
    select k.oid, min(k.at) as at, k.verb
    from (select u.oid, 1 as at, 'select' as verb, unnest(string_to_array($6, ',')) as name from users u
          union all select u.oid, 2, 'insert', unnest(string_to_array($4, ',')) from users u
          union all select u.oid, 3, 'update', unnest(string_to_array($5, ',')) from users u) as k
    join pg_attribute a on a.attrelid = k.oid and a.attname = k.name and not a.attisdropped
    where not has_column_privilege(k.oid, a.attnum, k.verb)
    group by k.oid, k.verb)
select quote_ident(n.nspname), quote_ident(c.relname), c.relkind = 'S', quote_ident(current_user),
       has_schema_privilege(n.oid, 'usage'),
       case when c.relkind = 'S' then case when has_sequence_privilege(c.oid, 'usage') then '' else 'usage' end
       when needed.theirs then concat_ws(', ', (select string_agg(l.verb, ', ' order by l.at) from lacking l where l.oid = c.oid),
                            case when $7 and not has_table_privilege(c.oid, 'delete') then 'delete' end)
       else concat_ws(', ', case when not has_any_column_privilege(c.oid, 'select') then 'select' end,
                            case when not has_any_column_privilege(c.oid, 'insert') then 'insert' end,
                            case when not has_any_column_privilege(c.oid, 'update') then 'update' end,
                            case when not has_table_privilege(c.oid, 'delete') then 'delete' end) end
from needed join pg_class c on c.oid = needed.oid join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'S') and c.relname not in ('migrations', 'river_migration')
order by 1, 2`

// right is what the database user may not do with a table or a sequence.
type right struct {
	schema, name, user, missing string
	sequence, usage             bool
}

// Rights returns the rights that the database user needs and does not have, one fault for each
// table or sequence. The fix is the GRANT. policy is what happens to the row of an identity that
// is gone; only DeleteRow needs the right to delete rows of the users table. SQLite has no
// rights.
func (s *Store) Rights(ctx context.Context, policy symbolon.RowPolicy) (faults []*Fault, err error) {
	if err := s.setup(); err != nil || s.Dialect == SQLite {
		return nil, err
	}
	u := s.users()
	name := u.parts()
	inserted, updated, read := u.written()
	args := []any{name.schema, name.table, s.NewID() == ByDatabase, inserted, updated, read, policy == symbolon.DeleteRow}
	all, err := collect(ctx, s.DB.QueryContext, readRights, args, func(row scanner) (r right, err error) {
		err = row.Scan(&r.schema, &r.name, &r.sequence, &r.user, &r.usage, &r.missing)
		return r, err
	})
	if err != nil {
		return nil, unavailable("read the rights of the database user", err)
	}
	entered := map[string]bool{}
	for _, r := range all {
		if !r.usage && !entered[r.schema] {
			entered[r.schema] = true
			faults = append(faults, &Fault{Kind: Forbidden, Is: fmt.Sprintf("the database user %s may not use the schema %s", r.user, r.schema),
				Fix: fmt.Sprintf("grant usage on schema %s to %s", r.schema, r.user)})
		}
		if r.missing != "" {
			kind := map[bool]string{true: "sequence ", false: "table "}[r.sequence]
			faults = append(faults, &Fault{Kind: Forbidden, Is: fmt.Sprintf("the database user %s lacks the right %s on %s%s.%s", r.user, r.missing, kind, r.schema, r.name),
				Fix: fmt.Sprintf("grant %s on %s%s.%s to %s", r.missing, kind, r.schema, r.name, r.user)})
		}
	}
	return faults, nil
}

// written lists the columns that Symbolon inserts, updates and reads.
func (u Users) written() (inserted, updated, read string) {
	in, up := []string{u.identity()}, []string{}
	if u.newID() != ByDatabase {
		in = append(in, u.id())
	}
	if !u.one() {
		up = append(up, u.identity())
	}
	projections, _ := projection.ParseAll(u.columns())
	for _, p := range projections {
		in = append(in, p.Column)
		if p.Path != "" || p.Touch {
			up = append(up, p.Column)
		}
	}
	up = slices.Concat(up, u.ReleaseColumns, u.AnonymiseColumns)
	out := []string{u.id(), u.identity()}
	if u.Email != "" {
		out = append(out, u.Email, u.EmailVerified)
	}
	return strings.Join(in, ","), strings.Join(up, ","), strings.Join(out, ",")
}

// Trigger is a trigger or a rule of the users table that runs when Symbolon writes rows.
type Trigger struct {
	Name string

	// Ignores says that it may ignore a write without an error. Its text has "return null"
	// or "raise(ignore)".
	Ignores bool
}

const readTriggers = `
select t.tgname, (t.tgtype & 3) = 3 and p.prosrc ~* '\mreturn\s+null\M'
from pg_trigger t join pg_proc p on p.oid = t.tgfoid
where t.tgrelid = to_regclass(cast($1 as text)) and not t.tgisinternal and t.tgenabled <> 'D' and (t.tgtype & 28) <> 0
union all
select rulename, is_instead from pg_rewrite
where ev_class = to_regclass(cast($1 as text)) and ev_type in ('2', '3', '4') and ev_enabled <> 'D'
order by 1`

var raiseIgnore = regexp.MustCompile(`(?i)raise\s*\(\s*ignore`)

// Triggers returns the application's triggers of the users table.
func (s *Store) Triggers(ctx context.Context) (out []Trigger, err error) {
	if err := s.setup(); err != nil {
		return nil, err
	}
	name := s.users().parts()
	if s.Dialect == SQLite {
		out, err = s.triggersOfSQLite(ctx, name)
	} else {
		out, err = collect(ctx, s.DB.QueryContext, readTriggers, []any{name.String()}, func(row scanner) (t Trigger, err error) {
			err = row.Scan(&t.Name, &t.Ignores)
			return t, err
		})
	}
	if err != nil {
		return nil, unavailable("read the triggers of table "+s.users().table(), err)
	}
	return out, nil
}

// triggersOfSQLite leaves out the triggers that Check asks for.
func (s *Store) triggersOfSQLite(ctx context.Context, name tableName) (out []Trigger, err error) {
	p := spelling{dialect: SQLite, users: s.users(), table: name, column: column{name: s.users().identity()}}
	own := []string{body(p.trigger("insert")), body(p.trigger("update"))}
	texts, err := s.readSQLiteTexts(ctx, p, "tbl_name")
	for _, text := range texts {
		if body(text) != own[0] && body(text) != own[1] {
			out = append(out, Trigger{Name: triggerName(text), Ignores: raiseIgnore.MatchString(text)})
		}
	}
	return out, err
}

// triggerName is the name in the text that SQLite stores of a trigger.
func triggerName(text string) string {
	fields := strings.Fields(text)
	for i, f := range fields[:max(0, len(fields)-1)] {
		if strings.EqualFold(f, "trigger") {
			return strings.Trim(fields[i+1], "\"`[]")
		}
	}
	return text
}
