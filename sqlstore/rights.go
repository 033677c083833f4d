package sqlstore

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// readRights lists the tables and sequences that the database user needs, and the rights on them
// that the user does not have. The users table is $2 in the schema $1, which may be empty. $3 says
// whether the table's own sequences are needed. A right on some of the columns counts, because
// Symbolon writes only some.
const readRights = `
with users as (
    select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relname = $2 and c.relkind in ('r', 'p', 'v') and (n.nspname = $1 or $1 = '' and pg_table_is_visible(c.oid))),
needed as (
    select oid from users
    union all select d.objid from pg_depend d join users u on d.refobjid = u.oid
        where $3 and d.classid = cast('pg_class' as regclass) and d.refclassid = cast('pg_class' as regclass) and d.deptype = 'a'
    union all select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('symbolon', 'symbolon_river'))
select quote_ident(n.nspname), quote_ident(c.relname), c.relkind = 'S', quote_ident(current_user),
       has_schema_privilege(n.oid, 'usage'),
       case when c.relkind = 'S' then case when has_sequence_privilege(c.oid, 'usage') then '' else 'usage' end
       else concat_ws(', ', case when not has_any_column_privilege(c.oid, 'select') then 'select' end,
                            case when not has_any_column_privilege(c.oid, 'insert') then 'insert' end,
                            case when not has_any_column_privilege(c.oid, 'update') then 'update' end,
                            case when not has_table_privilege(c.oid, 'delete') then 'delete' end) end
from needed join pg_class c on c.oid = needed.oid join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'S') order by 1, 2`

// right is what the database user may not do with a table or a sequence.
type right struct {
	schema, name, user, missing string
	sequence, usage             bool
}

// Rights returns the rights that the database user needs and does not have, one fault for each
// table or sequence. The fix is the GRANT. SQLite has no rights.
func (s *Store) Rights(ctx context.Context) (faults []*Fault, err error) {
	if err := s.setup(); err != nil || s.Dialect == SQLite {
		return nil, err
	}
	name := s.users().parts()
	all, err := collect(ctx, s.DB.QueryContext, readRights, []any{name.schema, name.table, s.NewID() == ByDatabase}, func(row scanner) (r right, err error) {
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
