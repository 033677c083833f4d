package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

const (
	deleteThrowAway = `delete from {users} where {id} = $1 and lower(cast({identity} as text)) = $2`

	deleteEntry = `delete from symbolon.links where project = $1 and identity_id = $2`

	deleteFindings = `delete from symbolon.findings where project = $1 and identity_id = $2`
)

// Unmake removes the link of an identity that was made only for a test: the row, the ledger
// entry and the findings, in one transaction. Ory must have deleted the identity already,
// because otherwise the next hook makes the link and the user again. The user's ID is never
// used again, and the events remain.
//
// Danger: it deletes the row regardless of users.on_identity_deleted. It deletes only the row
// that holds this identity. If a row of the application references it, nothing is deleted
// and Unmake returns an error.
func (s *Store) Unmake(ctx context.Context, project string, id symbolon.IdentityID) error {
	held, err := s.Read(ctx, symbolon.Query{Project: project, Reading: symbolon.Reading{Identity: symbolon.Identity{ID: id}}})
	if err != nil {
		return err
	}
	shape, err := s.table(ctx)
	if err != nil {
		return err
	}
	return s.inRowsTx(ctx, "take a bond back", func(ctx context.Context, db session) error { return s.unmake(ctx, db, shape, project, id, held) })
}

func (s *Store) unmake(ctx context.Context, db session, shape *shape, project string, id symbolon.IdentityID, held symbolon.Evidence) error {
	if row := held.Row; row != nil {
		if err := s.Forget(ctx, db.tx, project, row.ID); err != nil {
			return err
		}
		_, key, ok := shape.key(row.ID)
		if !ok {
			return plainError{errors.New("sqlstore: take a bond back: the row's key cannot be read")}
		}
		if _, err := db.exec(ctx, deleteThrowAway, key, string(id)); err != nil {
			if s.Dialect.refusedBy(err) {
				return plainError{fmt.Errorf("sqlstore: the row of user %s cannot be deleted: %s", row.ID, s.Dialect.describe(err))}
			}
			return err
		}
	}
	for _, text := range []string{deleteEntry, deleteFindings} {
		if _, err := db.exec(ctx, text, project, string(id)); err != nil {
			return err
		}
	}
	return nil
}
