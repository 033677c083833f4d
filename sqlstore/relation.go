package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// relation is what the name of the users table stands for.
type relation struct {
	sort  string   // table, partitioned, view, matview, foreign or virtual
	below []string // the tables that a view reads
	by    []string // the columns that a partitioned table is partitioned by; "": an expression
}

const readPostgresRelation = `
select case c.relkind when 'p' then 'partitioned' when 'v' then 'view' when 'm' then 'matview' when 'f' then 'foreign' else 'table' end
from pg_class c where c.oid = to_regclass(cast($1 as text))`

const readPostgresBelow = `
select distinct cast(cast(d.refobjid as regclass) as text)
from pg_rewrite r join pg_depend d on d.classid = cast('pg_rewrite' as regclass) and d.objid = r.oid and d.refclassid = cast('pg_class' as regclass)
where r.ev_class = to_regclass(cast($1 as text)) and d.refobjid <> r.ev_class order by 1`

const readPostgresPartition = `
select coalesce(a.attname, '')
from pg_partitioned_table p cross join lateral unnest(p.partattrs) as k (attnum)
left join pg_attribute a on a.attrelid = p.partrelid and a.attnum = k.attnum
where p.partrelid = to_regclass(cast($1 as text))`

const readSQLiteRelation = `select type from pragma_table_list where lower(name) = lower($1) and lower(schema) = lower($2)`

func readRelation(ctx context.Context, db *sql.DB, dialect Dialect, args []any) (r relation, err error) {
	query := readPostgresRelation
	if dialect == SQLite {
		query = readSQLiteRelation
	}
	sorts, err := readNames(ctx, db, query, args)
	if err != nil || len(sorts) == 0 {
		return r, err
	}
	r.sort = sorts[0]
	switch {
	case r.sort == "partitioned":
		r.by, err = readNames(ctx, db, readPostgresPartition, args)
	case r.sort == "view" && dialect == Postgres:
		r.below, err = readNames(ctx, db, readPostgresBelow, args)
	}
	return r, err
}

// sortWords names the sorts that cannot be the users table.
var sortWords = map[string]string{"view": "a view", "matview": "a materialised view", "foreign": "a foreign table", "virtual": "a virtual table"}

// checkRelation refuses what can have no unique index. Without one, two requests of one new
// person make two users.
func (u Users) checkRelation(t table) error {
	word := sortWords[t.sort]
	if word == "" {
		return nil
	}
	fix := "name an ordinary table in users.table"
	if len(t.below) > 0 {
		fix = "name the table below it in users.table: " + strings.Join(t.below, " or ") + ". The application may go on using the view"
	}
	return &Fault{Kind: NoTable, Is: u.table() + " is " + word + ", and only a table can have the unique index that keeps one identity from having two users", Fix: fix}
}

// undividable reports whether the table is partitioned in a way that allows no unique index of
// the column alone: Postgres demands that a unique index has every column of the partition key.
func (t table) undividable(name string) bool {
	return t.sort == "partitioned" && slices.ContainsFunc(t.by, func(by string) bool { return by != name })
}

// uniqueIndex is the SQL that makes a column of the users table unique.
func (u Users) uniqueIndex(dialect Dialect, t table, name string) string {
	how, at, index := "", u.parts().String(), quote(u.indexName(name).table)
	switch {
	case dialect == SQLite: // the schema belongs to the name of the index
		at, index = quote(u.parts().table), u.indexName(name).String()
	case t.sort != "partitioned": // Postgres cannot build an index of a partitioned table concurrently
		how = "concurrently "
	}
	return fmt.Sprintf("create unique index %s%s on %s (%s)", how, index, at, quote(name))
}

// notUnique is the fault of a column without a unique index.
func (u Users) notUnique(dialect Dialect, t table, name, is string) error {
	if t.undividable(name) {
		return u.faultOf(NotUnique, name, is, "%s is partitioned by %s, and such a table can have no unique index of %s alone. Name another table in users.table: one with the columns %s and %s, to which %s refers, such as Symbolon's own symbolon_users",
			u.table(), strings.Join(slices.DeleteFunc(slices.Clone(t.by), func(by string) bool { return by == "" }), ", "), name, u.id(), u.identity(), u.table())
	}
	return u.faultOf(NotUnique, name, is, "run, outside of a transaction: %s;", u.uniqueIndex(dialect, t, name))
}

// filler is a trigger of Postgres that runs before a row is inserted and may change it. On
// SQLite no trigger can.
type filler struct {
	name string
	text string // the function and the arguments of the trigger
	dark bool   // the function's text is not shown, or it takes the row as a whole
}

const readPostgresFillers = `
select t.tgname, p.prosrc || ' ' || encode(t.tgargs, 'escape'), l.lanname not in ('plpgsql', 'sql')
from pg_trigger t join pg_proc p on p.oid = t.tgfoid join pg_language l on l.oid = p.prolang
where t.tgrelid = to_regclass(cast($1 as text)) and not t.tgisinternal and t.tgenabled in ('O', 'A') and (t.tgtype & 7) = 7
order by 1`

// assignsRow recognises a function that assigns the row as a whole.
var assignsRow = regexp.MustCompile(`(?i)populate_record|\bnew\s*:?=|\binto\s+(strict\s+)?new\b|#=`)

func readFillers(ctx context.Context, db *sql.DB, dialect Dialect, args []any) ([]filler, error) {
	if dialect == SQLite {
		return nil, nil
	}
	return collect(ctx, db.QueryContext, readPostgresFillers, args, func(row scanner) (f filler, err error) {
		err = row.Scan(&f.name, &f.text, &f.dark)
		f.dark = f.dark || assignsRow.MatchString(f.text)
		return f, err
	})
}

// mayFill returns the name of a trigger that may fill a column of new rows, or "". The catalogue
// cannot tell whether it does; [Store.Prove] can.
func (t table) mayFill(name string) string {
	word := regexp.MustCompile(`(?i)(^|[^\w$])` + regexp.QuoteMeta(name) + `($|[^\w$])`)
	for _, f := range t.fillers {
		if f.dark || word.MatchString(f.text) {
			return f.name
		}
	}
	return ""
}
