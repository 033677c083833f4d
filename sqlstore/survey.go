package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
)

// Table is a table as the database describes it: for tools that propose or examine a
// setup.
type Table struct {
	Name    string // as Users.Table takes it: without the schema where the default one is meant
	Columns []Column
}

// Column is a column of a [Table].
type Column struct {
	Name    string
	Type    string // as it was declared
	Key     bool   // the primary key, alone
	Integer bool
	Text    bool // any text
	Holds   bool // can hold an identity's ID: uuid or text
	Unique  bool // alone and without a condition
	NotNull bool
	Default bool // fills itself
}

// Column returns the column of a name.
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
where c.relkind in ('r', 'p') and not c.relispartition and n.nspname <> 'symbolon' and n.nspname <> 'information_schema' and n.nspname not like 'pg\_%'
  and has_table_privilege(c.oid, 'select')
order by 1`

const readSQLiteTables = `
select name from sqlite_schema
where type = 'table' and name not like 'sqlite\_%' escape '\' and (name not like 'symbolon\_%' escape '\' or name = 'symbolon_users')
order by 1`

// Tables lists the tables that could hold an application's users: all but Symbolon's
// own and the database's, by name. Names that Users.Table cannot take are left out.
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

// Describe describes one table. One that does not exist has no columns.
func Describe(ctx context.Context, db *sql.DB, dialect Dialect, name string) (Table, error) {
	found, err := readTable(ctx, db, dialect, Users{Table: name}.parts())
	if err != nil {
		return Table{}, unavailable(fmt.Sprintf("read the shape of table %s", name), err)
	}
	out := Table{Name: name}
	for _, column := range slices.Sorted(maps.Keys(found.columns)) {
		c := found.columns[column]
		out.Columns = append(out.Columns, Column{Name: c.name, Type: c.declared, Key: c.primary, Integer: c.kind.integer(),
			Text: c.kind == text, Holds: c.kind == text || c.kind == uuid, Unique: slices.Contains(found.unique, c.name),
			NotNull: c.notNull, Default: c.preset || c.generated || found.rowid == c.name})
	}
	slices.SortStableFunc(out.Columns, func(a, b Column) int { return cmp.Compare(rank(a), rank(b)) })
	return out, nil
}

// rank puts the key first.
func rank(c Column) int {
	if c.Key {
		return 0
	}
	return 1
}
