package sqlstore

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon/projection"
)

// table is what the database says of a table.
type table struct {
	columns map[string]column
	unique  []string // columns that are unique each on its own, without condition
	rowid   string   // SQLite: the column that is the rowid, which fills itself
}

type column struct {
	name      string
	declared  string
	kind      kind
	notNull   bool
	preset    bool // has a default, or is an identity column
	generated bool
	primary   bool
}

// shape is the users table as the store writes it.
type shape struct {
	users    Users
	dialect  Dialect
	id       column
	identity column
	columns  []filled          // the projected ones, by name
	others   map[string]column // all of them
}

// filled is a projected column.
type filled struct {
	column
	projection.Projection
}

// kind is what a column can hold, as far as it matters here.
type kind int

const (
	other kind = iota // the database judges
	text
	uuid
	int2
	int4
	int8
	float
	boolean
	jsonDoc
)

// key reports whether users can be keyed by it.
func (k kind) key() bool { return k == text || k == uuid || k.integer() }

func (k kind) integer() bool { return k == int2 || k == int4 || k == int8 }

const readPostgresColumns = `
select a.attname, format_type(coalesce(nullif(t.typbasetype, 0), t.oid), null), a.attnotnull or t.typnotnull,
       a.atthasdef or a.attidentity <> '' or t.typdefault is not null, a.attgenerated <> '',
       exists (select 1 from pg_index i where i.indrelid = a.attrelid and i.indisprimary and i.indnatts = 1 and a.attnum = any (i.indkey))
from pg_attribute a join pg_type t on t.oid = a.atttypid
where a.attrelid = to_regclass(cast($1 as text)) and a.attnum > 0 and not a.attisdropped`

const readPostgresUnique = `
select a.attname
from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
where i.indrelid = to_regclass(cast($1 as text)) and i.indisunique and i.indisvalid and i.indimmediate
  and i.indnkeyatts = 1 and i.indpred is null and i.indexprs is null`

const readSQLiteSchema = `select name from pragma_database_list where lower(name) = lower($1)`

const readSQLiteColumns = `
select name, type, "notnull" or (pk > 0 and upper(type) <> 'INTEGER'), dflt_value is not null, hidden in (2, 3),
       pk > 0 and (select count(*) from pragma_table_info($1, $2) where pk > 0) = 1
from pragma_table_xinfo($1, $2) where hidden <> 1`

const readSQLiteUnique = `
select c.name from pragma_index_list($1, $2) i join pragma_index_info(i.name, $2) c
where i."unique" = 1 and i.partial = 0 and c.name is not null
  and (select count(*) from pragma_index_info(i.name, $2)) = 1`

const readSQLiteRowid = `
select c.name from pragma_table_info($1, $2) c
where c.pk > 0 and upper(c.type) = 'INTEGER' and (select count(*) from pragma_table_info($1, $2) where pk > 0) = 1
  and not exists (select 1 from pragma_table_list t where t.name = $1 and t.schema = $2 and t.wr = 1)`

// readTable asks the database for a table. One that does not exist has no columns.
func readTable(ctx context.Context, db *sql.DB, dialect Dialect, name tableName) (t table, err error) {
	args := []any{name.String()}
	columns, unique := readPostgresColumns, readPostgresUnique
	if dialect == SQLite {
		schema := name.schema
		if schema == "" {
			schema = "main"
		}
		args = []any{name.table, schema}
		if known, err := readNames(ctx, db, readSQLiteSchema, args[1:]); err != nil || len(known) == 0 {
			return t, err
		}
		columns, unique = readSQLiteColumns, readSQLiteUnique
	}
	if t.columns, err = readColumns(ctx, db, columns, dialect, args); err != nil {
		return t, err
	}
	if t.unique, err = readNames(ctx, db, unique, args); err != nil {
		return t, err
	}
	if dialect == SQLite {
		rowid, err := readNames(ctx, db, readSQLiteRowid, args)
		if err != nil {
			return t, err
		}
		if len(rowid) == 1 {
			t.rowid = rowid[0]
			t.unique = append(t.unique, rowid[0])
		}
	}
	return t, nil
}

func readColumns(ctx context.Context, db *sql.DB, query string, dialect Dialect, args []any) (map[string]column, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]column{}
	for rows.Next() {
		var c column
		if err := rows.Scan(&c.name, &c.declared, &c.notNull, &c.preset, &c.generated, &c.primary); err != nil {
			return nil, err
		}
		c.kind = kindOf(dialect, c.declared)
		out[c.name] = c
	}
	return out, rows.Err()
}

func readNames(ctx context.Context, db *sql.DB, query string, args []any) ([]string, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out, rows.Err()
}

func kindOf(dialect Dialect, declared string) kind {
	if dialect == SQLite {
		return kindOfSQLite(strings.ToUpper(declared))
	}
	switch declared {
	case "text", "character varying", "character", "citext", "name":
		return text
	case "uuid":
		return uuid
	case "smallint":
		return int2
	case "integer":
		return int4
	case "bigint":
		return int8
	case "real", "double precision", "numeric":
		return float
	case "boolean":
		return boolean
	case "json", "jsonb":
		return jsonDoc
	}
	return other
}

// kindOfSQLite follows SQLite's own rules for the affinity of a declared type,
// and reads the names that people give to what SQLite has no type for.
func kindOfSQLite(declared string) kind {
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(declared, p) })
	}
	switch {
	case has("BOOL"):
		return boolean
	case has("JSON"):
		return jsonDoc
	case has("UUID", "GUID"):
		return uuid
	case has("INT"):
		return int8
	case has("CHAR", "CLOB", "TEXT"):
		return text
	case has("REAL", "FLOAT", "DOUBLE", "NUMERIC", "DECIMAL"):
		return float
	}
	return other
}
