package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon/internal/wait"
)

// DoubledError says that some identities are in more than one row, so the identity column
// cannot be unique yet.
type DoubledError struct {
	Table, Column string
	Values        []string // the first of these identities, with the number of rows: "… (2 rows)"
}

func (e *DoubledError) Error() string {
	return fmt.Sprintf("column %s.%s cannot be unique, because some identities are in several rows: %s", e.Table, e.Column, strings.Join(e.Values, ", "))
}

const (
	addColumnPostgres = `alter table %s add column if not exists %s uuid`
	dropIndexPostgres = `drop index concurrently if exists %s`

	addColumnSQLite = `alter table {t} add column {column} text check ({ours})`

	readInvalidIndex = `select count(*) from pg_index where indexrelid = to_regclass(cast($1 as text)) and not indisvalid`

	readDoubles = `
select min(cast({column} as text)), count(*) from {t} where {column} is not null
group by case when {isID} then {plain} else cast({column} as text) end having count(*) > 1 order by 1 limit 10`
)

// IdentityColumn returns the SQL that adds the identity column and its unique index to the
// users table. If the column exists as text, the SQL also makes the database refuse IDs in
// another spelling than Ory's, and rewrites those that exist. Run the statements one by one
// and outside of a transaction. The result is empty if nothing is missing. The table itself
// must exist. Adding the column does not rewrite the rows. On Postgres the index is built
// concurrently, so that other transactions can read and write the rows meanwhile.
//
// The error is a [*DoubledError] if some identities are in several rows, so that the index
// cannot be made. It is a [*Fault] if the column holds something else than IDs of identities.
func (s *Store) IdentityColumn(ctx context.Context) ([]string, error) {
	p, unique, err := s.usersSpelling(ctx)
	if err != nil {
		return nil, err
	}
	if p.column.name == "" {
		p.column.name = s.Users.identity()
		return s.addIndex(ctx, p, s.addColumn(p))
	}
	return s.completeColumn(ctx, p, unique)
}

func (s *Store) addColumn(p spelling) []string {
	if s.Dialect == SQLite {
		return []string{p.fill(addColumnSQLite)}
	}
	return []string{fmt.Sprintf(addColumnPostgres, p.table, quote(p.column.name))}
}

// completeColumn returns what a column that exists lacks.
func (s *Store) completeColumn(ctx context.Context, p spelling, unique bool) (out []string, err error) {
	have, err := s.proves(ctx, &p)
	if err != nil {
		return nil, unavailable("read the constraints of table "+p.users.table(), err)
	}
	if unique && have == proven {
		return nil, nil
	}
	if err := s.doubled(ctx, p); err != nil {
		return nil, err
	}
	if have != proven {
		n, err := s.countSpellings(ctx, p)
		if err != nil {
			return nil, unavailable("read how identities are spelled in table "+p.users.table(), err)
		}
		if n.strange > 0 {
			return nil, p.fault(have, n)
		}
		out = p.sql(have, n.misspelt > 0)
	}
	if unique {
		return out, nil
	}
	return s.addIndex(ctx, p, out)
}

func (s *Store) addIndex(ctx context.Context, p spelling, out []string) ([]string, error) {
	t := table{relation: p.relation}
	if t.undividable(p.column.name) {
		return nil, s.Users.notUnique(s.Dialect, t, p.column.name, "can have no unique index")
	}
	add, index := s.Users.uniqueIndex(s.Dialect, t, p.column.name), s.Users.indexName(p.column.name)
	if s.Dialect == SQLite {
		return append(out, add), nil
	}
	var invalid int
	if err := s.DB.QueryRowContext(ctx, readInvalidIndex, index.String()).Scan(&invalid); err != nil {
		return nil, unavailable("look for an index that was left half built", err)
	}
	if invalid > 0 { // the invalid index has the name of the new index
		out = append(out, fmt.Sprintf(dropIndexPostgres, index))
	}
	return append(out, add), nil
}

// indexName returns the name that Postgres gives the index of a unique column.
func (u Users) indexName(column string) tableName {
	parts := u.parts()
	table := parts.table
	if len(table)+len(column) > 58 { // a name has 63 bytes at most
		table, column = strings.ToValidUTF8(table[:min(len(table), 28)], ""), strings.ToValidUTF8(column[:min(len(column), 28)], "")
	}
	return tableName{parts.schema, table + "_" + column + "_key"}
}

// doubled finds identities that are in several rows, also in different spellings.
func (s *Store) doubled(ctx context.Context, p spelling) error {
	if p.column.kind == uuid && s.Dialect == Postgres {
		p.column.declared = "character" // so that it is read as text
	}
	values, err := collect(ctx, s.DB.QueryContext, p.fill(readDoubles), nil, func(row scanner) (string, error) {
		var value string
		var n int
		err := row.Scan(&value, &n)
		return fmt.Sprintf("%.64q (%d rows)", value, n), err
	})
	if err != nil {
		return unavailable("look for identities that are in several rows", err)
	}
	if len(values) > 0 {
		return &DoubledError{Table: p.users.table(), Column: p.column.name, Values: values}
	}
	return nil
}

// cleanupTimeout limits a statement that cleans up, because the caller's context may have
// ended.
const cleanupTimeout = 5 * time.Second

// tableTimeout is how long to wait for the table's lock. It is a variable for tests.
var tableTimeout = 5 * time.Second

// ErrTableBusy says that another transaction held the table for too long. The change was
// given up, because other transactions would have to wait for it.
var ErrTableBusy = errors.New("another transaction holds the table: nothing was changed")

// AddIdentityColumn runs the SQL of IdentityColumn and returns the statements that it ran.
// It returns them also with an error, because their effect stays. It is an error if something
// is missing afterwards. A repeated call continues after an interruption. On Postgres it waits up to five seconds for the table's lock,
// while other transactions queue behind it, and then returns [ErrTableBusy]. The index is
// built without such a lock and has no timeout.
func (s *Store) AddIdentityColumn(ctx context.Context) (ran []string, err error) {
	todo, err := s.IdentityColumn(ctx)
	if err != nil || len(todo) == 0 {
		return nil, err
	}
	conn, err := s.DB.Conn(ctx)
	if err != nil {
		return nil, unavailable("add the identity column", err)
	}
	defer conn.Close()
	if s.Dialect == Postgres {
		defer func() {
			ctx, cancel := wait.Detached(ctx, cleanupTimeout)
			defer cancel()
			if s.settings(ctx, conn, "reset lock_timeout", "reset statement_timeout") != nil {
				_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // the pool must not keep the settings
			}
		}()
	}
	for _, text := range todo {
		if s.Dialect == Postgres {
			var timeout time.Duration // nobody queues behind an index that is built concurrently
			if strings.HasPrefix(text, "alter table") {
				timeout = tableTimeout
			}
			if err := s.settings(ctx, conn, fmt.Sprintf("set lock_timeout = %d", timeout.Milliseconds()), "set statement_timeout = 0"); err != nil {
				return ran, err
			}
		}
		if _, err := conn.ExecContext(ctx, text); err != nil {
			return ran, s.notAdded(text, err)
		}
		ran = append(ran, text)
	}
	left, err := s.IdentityColumn(ctx)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("sqlstore: the SQL had no effect, perhaps because of a trigger of table %s, and this is still missing: %s", s.Users.table(), strings.Join(left, "; "))
	}
	return ran, err
}

func (s *Store) settings(ctx context.Context, conn *sql.Conn, texts ...string) error {
	for _, text := range texts {
		if _, err := conn.ExecContext(ctx, text); err != nil {
			return unavailable(text, err)
		}
	}
	return nil
}

func (s *Store) notAdded(text string, err error) error {
	const lockNotAvailable, notOwner = "55P03", "42501"
	switch state := sqlState(err); {
	case state == lockNotAvailable:
		return fmt.Errorf("sqlstore: %s: %w", text, ErrTableBusy)
	case state == notOwner:
		return fmt.Errorf("sqlstore: %s: only the table's owner may do this: %w", text, err)
	case s.Dialect.temporary(err) || gone(err):
		return unavailable(text, err)
	}
	return fmt.Errorf("sqlstore: %s: %w", text, err)
}
