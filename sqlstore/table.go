package sqlstore

import (
	"context"
	"database/sql"
	"slices"
	"strings"
)

// table is the database's description of a table.
type table struct {
	columns map[string]column
	unique  []string // each is unique by itself and without a condition
	rowid   string   // on SQLite the column that is the rowid, which SQLite generates
	relation
	fillers []filler // the triggers that may fill columns of new rows

	spelling proof // of the IDs in the identity column
}

type column struct {
	name      string
	declared  string
	kind      kind
	item      kind // of an array
	limit     int  // the number of characters that fit; 0: any number
	notNull   bool
	preset    bool // has a default, or is an identity column
	generated bool
	primary   bool

	// On Postgres the whole name of the type, and the collation if it is nondeterministic, which
	// means that it takes different texts for the same. Otherwise both are empty.
	exact, collation string
}

// kind is what a column can hold.
type kind int

const (
	other kind = iota // a type that only the database knows
	text
	uuid
	int2
	int4
	int8
	float
	boolean
	jsonDoc
	instant // a date, or a date with a time
	array
)

// key reports whether a column of the kind can be the users' key.
func (k kind) key() bool { return k == text || k == uuid || k.integer() }

func (k kind) integer() bool { return k == int2 || k == int4 || k == int8 }

const readPostgresColumns = `
select a.attname, format_type(coalesce(nullif(t.typbasetype, 0), t.oid), null),
       case when coalesce(nullif(t.typbasetype, 0), t.oid) in (cast('varchar' as regtype), cast('bpchar' as regtype))
            then greatest(greatest(a.atttypmod, t.typtypmod) - 4, 0) else 0 end,
       a.attnotnull or t.typnotnull,
       a.atthasdef or a.attidentity <> '' or t.typdefault is not null, a.attgenerated <> '',
       exists (select 1 from pg_index i where i.indrelid = a.attrelid and i.indisprimary and i.indnatts = 1 and a.attnum = any (i.indkey)),
       format_type(a.atttypid, a.atttypmod), coalesce(c.collname, '')
from pg_attribute a join pg_type t on t.oid = a.atttypid
left join pg_collation c on c.oid = a.attcollation and not c.collisdeterministic
where a.attrelid = to_regclass(cast($1 as text)) and a.attnum > 0 and not a.attisdropped`

const readPostgresUnique = `
select a.attname
from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
where i.indrelid = to_regclass(cast($1 as text)) and i.indisunique and i.indisvalid and i.indimmediate
  and i.indnkeyatts = 1 and i.indpred is null and i.indexprs is null`

const readSQLiteSchema = `select name from pragma_database_list where lower(name) = lower($1)`

const readSQLiteColumns = `
select name, type, 0, "notnull" or (pk > 0 and upper(type) <> 'INTEGER'), dflt_value is not null, hidden in (2, 3),
       pk > 0 and (select count(*) from pragma_table_info($1, $2) where pk > 0) = 1, '', ''
from pragma_table_xinfo($1, $2) where hidden <> 1`

const readSQLiteUnique = `
select c.name from pragma_index_list($1, $2) i join pragma_index_info(i.name, $2) c
where i."unique" = 1 and i.partial = 0 and c.name is not null
  and (select count(*) from pragma_index_info(i.name, $2)) = 1`

const readSQLiteRowid = `
select c.name from pragma_table_info($1, $2) c
where c.pk > 0 and upper(c.type) = 'INTEGER' and (select count(*) from pragma_table_info($1, $2) where pk > 0) = 1
  and not exists (select 1 from pragma_table_list t where t.name = $1 and t.schema = $2 and t.wr = 1)`

// readTable reads the description of a table. A table that does not exist has no columns.
func readTable(ctx context.Context, db *sql.DB, dialect Dialect, name tableName) (t table, err error) {
	args := []any{name.String()}
	columns, unique := readPostgresColumns, readPostgresUnique
	if dialect == SQLite {
		args = []any{name.table, name.sqliteSchema()}
		if known, err := readNames(ctx, db, readSQLiteSchema, args[1:]); err != nil || len(known) == 0 {
			return t, err
		}
		columns, unique = readSQLiteColumns, readSQLiteUnique
	}
	if t.columns, err = readColumns(ctx, db, columns, dialect, args); err != nil || len(t.columns) == 0 {
		return t, err
	}
	if t.relation, err = readRelation(ctx, db, dialect, args); err != nil {
		return t, err
	}
	if t.fillers, err = readFillers(ctx, db, dialect, args); err != nil {
		return t, err
	}
	if t.unique, err = readNames(ctx, db, unique, args); err != nil || dialect != SQLite {
		return t, err
	}
	rowid, err := readNames(ctx, db, readSQLiteRowid, args)
	if len(rowid) == 1 {
		t.rowid = rowid[0]
		t.unique = append(t.unique, rowid[0])
	}
	return t, err
}

func readColumns(ctx context.Context, db *sql.DB, query string, dialect Dialect, args []any) (map[string]column, error) {
	all, err := collect(ctx, db.QueryContext, query, args, func(row scanner) (c column, err error) {
		err = row.Scan(&c.name, &c.declared, &c.limit, &c.notNull, &c.preset, &c.generated, &c.primary, &c.exact, &c.collation)
		c.kind = kindOf(dialect, c.declared)
		if item, ok := strings.CutSuffix(c.declared, "[]"); ok && dialect == Postgres {
			c.kind, c.item = array, kindOf(dialect, item)
		}
		return c, err
	})
	out := make(map[string]column, len(all))
	for _, c := range all {
		out[c.name] = c
	}
	return out, err
}

func readNames(ctx context.Context, db *sql.DB, query string, args []any) ([]string, error) {
	return collect(ctx, db.QueryContext, query, args, scanOne[string])
}

func kindOf(dialect Dialect, declared string) kind {
	if dialect == SQLite {
		return kindOfSQLite(strings.ToUpper(declared))
	}
	return postgresKinds[declared]
}

var postgresKinds = map[string]kind{
	"text": text, "character varying": text, "character": text, "citext": text, "name": text,
	"uuid":     uuid,
	"smallint": int2, "integer": int4, "bigint": int8,
	"real": float, "double precision": float, "numeric": float,
	"boolean": boolean,
	"json":    jsonDoc, "jsonb": jsonDoc,
	"timestamp with time zone": instant, "timestamp without time zone": instant, "date": instant,
}

// kindOfSQLite returns the first kind whose names are part of a declared type.
func kindOfSQLite(declared string) kind {
	for _, k := range sqliteKinds {
		if slices.ContainsFunc(k.names, func(name string) bool { return strings.Contains(declared, name) }) {
			return k.kind
		}
	}
	return other
}

// sqliteKinds follow SQLite's own rules for the affinity of a declared type. The usual
// names for types that SQLite does not have come first.
var sqliteKinds = []struct {
	names []string
	kind  kind
}{
	{[]string{"BOOL"}, boolean},
	{[]string{"JSON"}, jsonDoc},
	{[]string{"UUID", "GUID"}, uuid},
	{[]string{"INT"}, int8},
	{[]string{"CHAR", "CLOB", "TEXT"}, text},
	{[]string{"DATE", "TIME"}, instant},
	{[]string{"REAL", "FLOAT", "DOUBLE", "NUMERIC", "DECIMAL"}, float},
}
