package sqlstore

import (
	"context"
	"fmt"
	"slices"
)

const (
	countRows    = `select count(*) from {t}`
	countUnbound = countRows + ` where {column} is null or cast({column} as text) = ''`

	// sampleColumn reads a few rows only, even if the column is null in most of them.
	sampleColumn = `select cast({c} as text) from (select {c} from {t} limit 1000) as rows_read where {c} is not null limit 10`
)

// CountUnbound returns the number of rows in the users table that name no identity. The
// identity column need not exist; then it counts all rows.
func (s *Store) CountUnbound(ctx context.Context) (n int, err error) {
	p, _, err := s.usersSpelling(ctx)
	if err != nil {
		return 0, err
	}
	text := countUnbound
	if p.column.name == "" {
		text = countRows
	}
	if err := s.DB.QueryRowContext(ctx, p.fill(text)).Scan(&n); err != nil {
		return 0, unavailable("count the rows of table "+s.Users.table(), err)
	}
	return n, nil
}

// Sample returns at most ten values of a column of the users table, from a few of its rows.
func (s *Store) Sample(ctx context.Context, column string) ([]string, error) {
	p, _, err := s.usersSpelling(ctx)
	if err != nil {
		return nil, err
	}
	values, err := collect(ctx, s.DB.QueryContext, p.fill(sampleColumn, "{c}", quote(column)), nil, func(row scanner) (v string, err error) {
		return v, row.Scan(&v)
	})
	if err != nil {
		return nil, unavailable(fmt.Sprintf("read column %s of table %s", column, s.Users.table()), err)
	}
	return values, nil
}

// usersSpelling reads the identity column of the users table, which need not exist, and
// whether it is unique.
func (s *Store) usersSpelling(ctx context.Context) (p spelling, unique bool, err error) {
	if err := s.setup(); err != nil {
		return p, false, err
	}
	t, err := readTable(ctx, s.DB, s.Dialect, s.Users.parts())
	if err != nil {
		return p, false, unavailable("read the shape of table "+s.Users.table(), err)
	}
	if len(t.columns) == 0 {
		return p, false, fmt.Errorf("sqlstore: there is no table %s", s.Users.table())
	}
	p = s.spelling(t)
	return p, slices.Contains(t.unique, p.column.name), nil
}
