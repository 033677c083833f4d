package main

import (
	"context"
	"database/sql"
	"fmt"
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
	for round := 1; ; round++ {
		var have int
		if err := tx.QueryRowContext(ctx, `select count(*) from identities`).Scan(&have); err != nil {
			return err
		}
		if have >= n {
			break
		}
		if err := copyPeople(ctx, tx, n-have, fmt.Sprintf("copy-%d-", round)); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `vacuum analyze`)
	return err
}

// copyPeople doubles them, or makes as many as are missing. A copy's row is the old one
// but for the columns that jsonb_build_object names, and its addresses begin with mark.
func copyPeople(ctx context.Context, tx *sql.Tx, missing int, mark string) error {
	if _, err := tx.ExecContext(ctx, `create temp table copied (old uuid, new uuid, mark text) on commit drop`); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `insert into copied select id, gen_random_uuid(), $1 from identities limit $2`, mark, missing); err != nil {
		return err
	}
	for _, statement := range []string{
		`insert into identities select copy.* from copied join identities t on t.id = copied.old, jsonb_populate_record(t, jsonb_build_object(
			'id', copied.new, 'traits', jsonb_set(t.traits, '{email}', to_jsonb(copied.mark || (t.traits->>'email'))))) copy`,
		`insert into identity_verifiable_addresses select copy.* from copied join identity_verifiable_addresses t on t.identity_id = copied.old,
			jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(), 'identity_id', copied.new, 'value', copied.mark || t.value)) copy`,
		`insert into identity_recovery_addresses select copy.* from copied join identity_recovery_addresses t on t.identity_id = copied.old,
			jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(), 'identity_id', copied.new, 'value', copied.mark || t.value)) copy`,
		`drop table copied`,
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
