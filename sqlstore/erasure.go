package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

const readErasures = "read erasures" // for errors

const (
	insertErasure = `
insert into symbolon.erasures (id, project, identity_id, user_id, row_policy, why, step, requested_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $8) on conflict do nothing`

	erasureColumns = `
select id, project, identity_id, user_id, row_policy, why, step, evidence, attempts, last_error, requested_at, updated_at, done_at
from symbolon.erasures where project = $1 `

	erasureByID = erasureColumns + `and id = $2`

	erasureOf = erasureColumns + `and (identity_id = $2 or user_id = $3)
order by case when done_at is null then 0 else 1 end, requested_at desc limit 1`

	erasuresUnfinished = erasureColumns + `and done_at is null order by requested_at, id`

	// saveErasure changes nothing if another worker has already recorded a later step.
	saveErasure = `
update symbolon.erasures set identity_id = $1, user_id = $2, step = $3, evidence = $4, attempts = $5, last_error = $6, updated_at = $7, done_at = $8
where project = $9 and id = $10 and step = $11 and done_at is null`
)

// OpenErasure records the intent to erase a person. If an erasure of the identity or of the
// user is under way, nothing is recorded, and that erasure is returned.
func (s *Store) OpenErasure(ctx context.Context, e symbolon.Erasure) (symbolon.Erasure, error) {
	err := s.inTx(ctx, "record the erasure", func(ctx context.Context, db session) error {
		_, err := db.exec(ctx, insertErasure, e.ID, e.Project, null(e.Identity), null(e.User), string(e.Row), e.Why, string(e.Step), moment{e.RequestedAt})
		return err
	})
	if err != nil {
		return symbolon.Erasure{}, err
	}
	return s.ErasureOf(ctx, e.Project, e.Identity, e.User)
}

// Erasure returns the erasure with an ID, or ErrNotFound.
func (s *Store) Erasure(ctx context.Context, project, id string) (symbolon.Erasure, error) {
	return readOne(ctx, s, readErasures, "erasure "+clip(id), erasureByID, []any{project, id}, scanErasure)
}

// ErasureOf returns the erasure of an identity or a user, or ErrNotFound. It prefers an
// erasure that is under way to the latest that is done.
func (s *Store) ErasureOf(ctx context.Context, project string, identity symbolon.IdentityID, user symbolon.UserID) (symbolon.Erasure, error) {
	return readOne(ctx, s, readErasures, "an erasure", erasureOf, []any{project, null(identity), null(user)}, scanErasure)
}

// UnfinishedErasures returns the erasures that are not done, the oldest first.
func (s *Store) UnfinishedErasures(ctx context.Context, project string) ([]symbolon.Erasure, error) {
	return readAll(ctx, s, readErasures, erasuresUnfinished, []any{project}, scanErasure)
}

// SaveErasure writes the progress of an erasure, its identity and its user, if the stored
// erasure is still at the step in the parameter from. If another worker has already recorded
// a later step, SaveErasure writes nothing and returns false. It does the same if another
// erasure of the identity or of the user is under way.
func (s *Store) SaveErasure(ctx context.Context, e symbolon.Erasure, from symbolon.ErasureStep) (saved bool, err error) {
	evidence, err := json.Marshal(e.Evidence)
	if err != nil {
		return false, fmt.Errorf("sqlstore: write the evidence: %w", err)
	}
	err = s.inTx(ctx, "save erasure "+e.ID, func(ctx context.Context, db session) error {
		n, err := db.exec(ctx, saveErasure, null(e.Identity), null(e.User), string(e.Step), string(evidence), e.Attempts, e.LastError,
			moment{e.UpdatedAt}, moment{e.DoneAt}, e.Project, e.ID, string(from))
		if err != nil && s.Dialect.duplicate(err) {
			return errRefused
		}
		saved = n == 1
		return err
	})
	if errors.Is(err, errRefused) {
		return false, nil
	}
	return saved && err == nil, err
}

func scanErasure(row scanner) (e symbolon.Erasure, err error) {
	var identity, user sql.NullString
	var evidence string
	var requested, updated, done moment
	err = row.Scan(&e.ID, &e.Project, &identity, &user, &e.Row, &e.Why, &e.Step, &evidence, &e.Attempts, &e.LastError, &requested, &updated, &done)
	if err != nil {
		return e, err
	}
	e.Identity, e.User = symbolon.IdentityID(identity.String), symbolon.UserID(user.String)
	e.RequestedAt, e.UpdatedAt, e.DoneAt = requested.Time, updated.Time, done.Time
	return e, json.Unmarshal([]byte(evidence), &e.Evidence)
}
