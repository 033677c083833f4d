package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// multiply copies the people in Kratos' own database, rows as Kratos wrote them, until
// there are n. Each copy has an ID, a name and an address of its own.
func multiply(ctx context.Context, dsn string, n int) (err error) {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit there is nothing to undo
	c := copier{tx: tx}
	for have := 0; ; {
		if err := tx.QueryRowContext(ctx, `select count(*) from identities`).Scan(&have); err != nil {
			return err
		}
		if have >= n {
			break
		}
		c.round++
		if err := c.copyPeople(ctx, n-have); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `vacuum analyze`)
	return err
}

type copier struct {
	tx    *sql.Tx
	round int
}

// copyPeople doubles them, or makes as many as are missing.
func (c copier) copyPeople(ctx context.Context, most int) error {
	_, err := c.tx.ExecContext(ctx, fmt.Sprintf( //nolint:gosec // numbers
		`create temp table copied on commit drop as select id as old, gen_random_uuid() as new from identities limit %d`, most))
	if err != nil {
		return err
	}
	address := fmt.Sprintf(`'copy-%d-' || t.value`, c.round)
	err = errors.Join(
		c.copyTable(ctx, "identities", "id", map[string]string{"id": "copied.new",
			"traits": fmt.Sprintf(`jsonb_set(t.traits, '{email}', to_jsonb('copy-%d-' || (t.traits->>'email')))`, c.round)}),
		c.copyTable(ctx, "identity_verifiable_addresses", "identity_id", map[string]string{"id": "gen_random_uuid()", "identity_id": "copied.new", "value": address}),
		c.copyTable(ctx, "identity_recovery_addresses", "identity_id", map[string]string{"id": "gen_random_uuid()", "identity_id": "copied.new", "value": address}),
	)
	if err != nil {
		return err
	}
	_, err = c.tx.ExecContext(ctx, `drop table copied`)
	return err
}

// copyTable copies the rows that belong to the copied people, but for some columns.
func (c copier) copyTable(ctx context.Context, table, of string, instead map[string]string) error {
	rows, err := c.tx.QueryContext(ctx, `select column_name from information_schema.columns where table_schema = 'public' and table_name = $1`, table)
	if err != nil {
		return err
	}
	defer rows.Close()
	values := maps.Clone(instead)
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		if values[name] == "" {
			values[name] = "t." + name
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(values))
	var from []string
	for _, name := range names {
		from = append(from, values[name])
	}
	_, err = c.tx.ExecContext(ctx, fmt.Sprintf(`insert into %s (%s) select %s from %s t join copied on copied.old = t.%s`, //nolint:gosec // names of tables
		table, strings.Join(names, ", "), strings.Join(from, ", "), table, of))
	return err
}
