package sqlstore

import (
	"context"
	"fmt"
	"strings"
)

// A column of text can hold the ID of an identity in another spelling than Ory's: in capital
// letters, without hyphens, in braces or with blanks. .NET and Django write UUIDs like that on
// SQLite. The store looks for the ID as Ory writes it, so it would not find such a row, and the
// person would get a second user. Therefore Check refuses such rows.

// spellingSample is how many rows Check looks at, so that a large table is not read whole. A
// program that spells IDs in its own way does so in every row.
const spellingSample = 10_000

// plainID is the ID in lower case, without blanks, braces and hyphens, and ourID is the ID as
// Ory writes it.
const (
	plainID = `lower(replace(trim({c}, ' {}'), '-', ''))`
	ourID   = `substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-' || substr(h, 13, 4) || '-' || substr(h, 17, 4) || '-' || substr(h, 21)`
)

// misspelt counts the rows of the sample ($1) whose ID is spelled in another way.
const misspelt = `
select count(*) from (
    select c, ` + plainID + ` as h from (select {identity} as c from {users} where {identity} is not null limit $1) as sample) as spelled
where length(h) = 32 and {hexadecimal} and c <> ` + ourID

// checkSpelling finds IDs of identities that are spelled in another way than Ory's.
func (s *Store) checkSpelling(ctx context.Context, t table) ([]error, error) {
	u := s.users()
	c := t.columns[u.identity()]
	if c.kind != text || c.declared == "citext" { // citext ignores case
		return nil, nil
	}
	hexadecimal := `h not glob '*[^0-9a-f]*'`
	if s.Dialect == Postgres {
		hexadecimal = `h ~ '^[0-9a-f]*$'`
	}
	var n int
	query := s.sql.fill(strings.NewReplacer("{c}", "c", "{hexadecimal}", hexadecimal).Replace(misspelt))
	if err := s.DB.QueryRowContext(ctx, query, spellingSample).Scan(&n); err != nil {
		return nil, unavailable("read how identities are spelled in table "+u.table(), err)
	}
	if n == 0 {
		return nil, nil
	}
	name := quote(c.name)
	plain := strings.ReplaceAll(plainID, "{c}", name)
	return []error{u.faultOf(Spelling, c.name, fmt.Sprintf("spells the ID in at least %d rows in another way than Ory, so that these people would get a second user", n),
		"update %s set %s = (select %s from (select %s as h) as plain) where length(%s) = 32; "+
			"then let your application write these IDs in lower case with hyphens, or make the column a uuid", u.parts(), name, ourID, plain, plain)}, nil
}
