package sqlstore

import (
	"context"

	"github.com/symbolon-id/symbolon"
)

// What Symbolon notes in words may speak of a person, an operator's reason for example,
// and a digest tells whoever guesses the traits that he guessed right. The name of
// an adoption run is a digest as well. Kinds, times and IDs stay. An open finding of another identity keeps its words, which are about that.
const (
	scrubEvents = `
update symbolon.events set detail = '', run = '', adopted = '' where project = $1
and (identity_id = $2 or user_id = $3 or before_id = $3)`

	scrubFindings = `
update symbolon.findings set detail = '' where project = $1
and (identity_id = $2 or user_id = $3 and closed_at is not null)`

	scrubEntry = `
update symbolon.links set digest = '', back_reference = ''
where project = $1 and identity_id = $2`

	someLinked = `
select identity_id from symbolon.links where project = $1 and state = 'linked' order by identity_id limit $2`
)

// Scrub clears what Symbolon itself has noted of an erased person, and says how many
// notes are clear then, whenever they became so: it may be called again, and the answer
// is the same. Either half may be empty.
func (s *Store) Scrub(ctx context.Context, project string, identity symbolon.IdentityID, user symbolon.UserID) (counts map[string]int, err error) {
	err = s.inTx(ctx, "scrub the records", func(ctx context.Context, db session) error {
		counts = map[string]int{}
		for _, part := range []struct {
			name, text string
			args       []any
		}{
			{"links", scrubEntry, []any{project, null(identity)}}, // the entry first, as everybody does
			{"findings", scrubFindings, []any{project, null(identity), null(user)}},
			{"events", scrubEvents, []any{project, null(identity), null(user)}},
		} {
			n, err := db.exec(ctx, part.text, part.args...)
			if err != nil {
				return err
			}
			counts[part.name] = int(n)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return counts, nil
}

// SomeLinked returns identities that the ledger binds to users, n at most: to be looked
// for where it is in doubt whether Ory is the right one.
func (s *Store) SomeLinked(ctx context.Context, project string, n int) ([]symbolon.IdentityID, error) {
	return readAll(ctx, s, "read the ledger", someLinked, []any{project, n}, func(row scanner) (id symbolon.IdentityID, err error) {
		return id, row.Scan(&id)
	})
}
