package sqlstore

import (
	"context"
	"fmt"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// Texts that Symbolon records may name a person, for example an operator's reason. The
// digest in the ledger shows whether a guess of a person's traits is right. The name of an
// adoption run is a digest as well, of the links that the run made. Scrub clears all of them.
// Kinds, times and IDs stay. An open finding of another identity keeps its text, which is
// about that identity.
const (
	scrubEvents = `
update symbolon.events set detail = '', run = '', adopted = '' where project = $1
and (identity_id = $2 or user_id in ({people}) or before_id in ({people}))`

	scrubFindings = `
update symbolon.findings set detail = '' where project = $1
and (identity_id = $2 or user_id in ({people}) and closed_at is not null)`

	scrubEntry = `
update symbolon.links set digest = '', back_reference = '', address = ''
where project = $1 and identity_id = $2`

	someLinked = `
select identity_id from symbolon.links where project = $1 and state = 'linked' order by identity_id limit $2`
)

// Scrub clears Symbolon's own records about an erased person, who may have had several
// users. The result says how many records of each table are clear afterwards, also those
// that an earlier call cleared. So a repeated call returns the same counts. The identity and
// each user may be empty.
func (s *Store) Scrub(ctx context.Context, project string, identity symbolon.IdentityID, users ...symbolon.UserID) (counts map[string]int, err error) {
	counts = map[string]int{}
	args, people := []any{project, null(identity)}, []string{"null"}
	for i, user := range users {
		args = append(args, null(user))
		people = append(people, fmt.Sprintf("$%d", i+3))
	}
	err = s.inTx(ctx, "scrub the records", func(ctx context.Context, db session) error {
		for _, part := range []struct {
			name, text string
			args       []any
		}{
			{"links", scrubEntry, args[:2]}, // the entry first, because every transaction locks in this order
			{"findings", scrubFindings, args},
			{"events", scrubEvents, args},
		} {
			n, err := db.exec(ctx, strings.ReplaceAll(part.text, "{people}", strings.Join(people, ", ")), part.args...)
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

// SomeLinked returns at most n identities that the ledger links to users. A caller looks
// for them at Ory, to check that it asks the right Ory.
func (s *Store) SomeLinked(ctx context.Context, project string, n int) ([]symbolon.IdentityID, error) {
	return readAll(ctx, s, "read the ledger", someLinked, []any{project, n}, scanOne[symbolon.IdentityID])
}
