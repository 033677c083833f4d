package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Table is a table as the database describes it. Table is for tools that propose or check a
// configuration.
type Table struct {
	Name    string // as in Users.Table, without the schema if it is the default schema
	Columns []Column

	// Is says what the name stands for if that cannot be the users table, such as a view, and
	// Instead says what to name instead. Both are empty for a table.
	Is, Instead string
}

// Column is a column of a [Table].
type Column struct {
	Name    string
	Type    string // the declared type
	Key     bool   // the column is the whole primary key
	Integer bool
	Text    bool // the type is any kind of text
	Holds   bool // it can hold an identity's ID, because it is uuid or text
	Unique  bool // the column has a unique index of its own, without a condition
	NotNull bool
	Default bool // the column has a default or is generated
	Time    bool // the type is a date, or a date with a time
	Limit   int  // the number of characters that fit; 0: any number

	Triggered bool // a trigger that runs before an insert seems to fill it
}

// Column returns the column with a name.
func (t Table) Column(name string) (Column, bool) {
	for _, c := range t.Columns {
		if c.Name == name {
			return c, true
		}
	}
	return Column{}, false
}

const readPostgresTables = `
select case when n.nspname = current_schema() then c.relname else n.nspname || '.' || c.relname end
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition and n.nspname not in ('symbolon', 'symbolon_river') and n.nspname <> 'information_schema' and n.nspname not like 'pg\_%'
  and has_table_privilege(c.oid, 'select')
order by 1`

const readSQLiteTables = `
select name from sqlite_schema
where type = 'table' and name not like 'sqlite\_%' escape '\' and (name not like 'symbolon\_%' escape '\' or name = 'symbolon_users')
order by 1`

// Tables lists the tables that could hold an application's users, in the order of their
// names. It leaves out Symbolon's tables, the database's own tables, and tables with a name
// that Users.Table does not allow.
func Tables(ctx context.Context, db *sql.DB, dialect Dialect) ([]Table, error) {
	query := readPostgresTables
	if dialect == SQLite {
		query = readSQLiteTables
	}
	names, err := readNames(ctx, db, query, nil)
	if err != nil {
		return nil, unavailable("list the tables", err)
	}
	var out []Table
	for _, name := range names {
		if len(Users{Table: name}.validate()) > 0 {
			continue
		}
		t, err := Describe(ctx, db, dialect, name)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// Describe describes one table. A table that does not exist has no columns.
func Describe(ctx context.Context, db *sql.DB, dialect Dialect, name string) (Table, error) {
	found, err := readTable(ctx, db, dialect, Users{Table: name}.parts())
	if err != nil {
		return Table{}, unavailable(fmt.Sprintf("read the shape of table %s", name), err)
	}
	out := Table{Name: name, Is: sortWords[found.sort]}
	if f, ok := errors.AsType[*Fault](Users{Table: name}.checkRelation(found)); ok {
		out.Instead = f.Fix
	}
	for _, column := range slices.Sorted(maps.Keys(found.columns)) {
		c := found.columns[column]
		described := Column{Name: c.name, Type: c.declared, Key: c.primary, Integer: c.kind.integer(),
			Text: c.kind == text, Holds: c.kind == text || c.kind == uuid, Unique: slices.Contains(found.unique, c.name),
			NotNull: c.notNull, Default: c.preset || c.generated || found.rowid == c.name,
			Time: c.kind == instant, Limit: c.limit, Triggered: found.mayFill(c.name) != ""}
		if described.Key { // the key comes first
			out.Columns = slices.Insert(out.Columns, 0, described)
		} else {
			out.Columns = append(out.Columns, described)
		}
	}
	return out, nil
}
