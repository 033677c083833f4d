package main

import (
	"context"
	"database/sql"
	"fmt"
)

// multiply copies the identities in Kratos' own database until there are n. Each copy has
// its own ID, name and address.
func multiply(ctx context.Context, dsn string, n int) error {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	for round := 1; ; round++ {
		var have int
		if err := db.QueryRowContext(ctx, `select count(*) from identities`).Scan(&have); err != nil {
			return err
		}
		if have >= n {
			break
		}
		if _, err := db.ExecContext(ctx, copyPeople, n-have, fmt.Sprintf("copy-%d-", round)); err != nil {
			return err
		}
	}
	_, err = db.ExecContext(ctx, `vacuum analyze`)
	return err
}

// copyPeople doubles the identities, or copies $1 of them if fewer are missing. A copy
// has the values of the old row, except the columns in jsonb_build_object. Its addresses
// begin with $2.
const copyPeople = `
with copied as materialized (
	select id as old, gen_random_uuid() as new from identities limit $1
), people as (
	insert into identities
	select copy.* from copied join identities person on person.id = copied.old, jsonb_populate_record(person, jsonb_build_object(
		'id', copied.new, 'traits', jsonb_set(person.traits, '{email}', to_jsonb($2::text || (person.traits->>'email'))))) copy
), recovery as (
	insert into identity_recovery_addresses
	select copy.* from copied join identity_recovery_addresses address on address.identity_id = copied.old, jsonb_populate_record(address,
		jsonb_build_object('id', gen_random_uuid(), 'identity_id', copied.new, 'value', $2::text || address.value)) copy
)
insert into identity_verifiable_addresses
select copy.* from copied join identity_verifiable_addresses address on address.identity_id = copied.old, jsonb_populate_record(address,
	jsonb_build_object('id', gen_random_uuid(), 'identity_id', copied.new, 'value', $2::text || address.value)) copy`
