package sqlstore

import (
	"context"
	"errors"
	"time"
)

// compactBatch is the number of rows that one statement of Compact looks at.
const compactBatch = 1000

const (
	// eventsBatch looks at the next $2 rows. It returns the greatest ID of a row that is
	// old enough, or 0 if all of them are too new.
	eventsBatch = `
select coalesce(max(id), 0) from (select id, at from symbolon.events where id > $1 order by id limit $2) as batch where at < $3`

	// compactEvents deletes updates, refused claims and findings. The other events are kept
	// if something needs them. The ledger is rebuilt from the newest link of an identity and
	// what came after it. An erasure reads the newest link to each user that the identity
	// had before, and events that name a former user (before_id). The undo of an adoption
	// reads all events of its run.
	compactEvents = `
delete from symbolon.events as e
where e.id > $1 and e.id <= $2 and e.project = $3 and e.at < $4 and e.run = '' and e.before_id is null
and (e.kind in ('user.updated', 'claim.refused', 'finding.opened', 'finding.closed') or exists (
    select 1 from symbolon.events as newer
    where newer.project = e.project and newer.identity_id = e.identity_id and newer.id > e.id
    and newer.kind in ('user.linked', 'user.recreated')
    and (newer.user_id = e.user_id or e.kind not in ('user.linked', 'user.recreated'))))`

	findingsBatch = `
select coalesce(max(id), 0) from (select id, opened_at from symbolon.findings where id > $1 order by id limit $2) as batch where opened_at < $3`

	compactFindings = `
delete from symbolon.findings where id > $1 and id <= $2 and project = $3 and closed_at < $4`

	// compactRuns keeps the newest run of each kind, because people look at it.
	compactRuns = `
delete from symbolon.runs where id in (
    select id from symbolon.runs as old where old.project = $1 and old.state <> 'running' and old.ended_at < $2
    and exists (select 1 from symbolon.runs as newer
        where newer.project = old.project and newer.kind = old.kind and newer.started_at > old.started_at)
    limit $3)`
)

// Compacted is the number of rows that Compact has deleted.
type Compacted struct {
	Events, Findings, Runs int64
}

// Compact deletes the project's old history, which is events, closed findings and ended
// runs that are older than the parameter before. It keeps the events that are needed to
// rebuild the ledger, to undo an adoption, or to know which user an identity had before. It
// never touches links, retired IDs or the evidence of erasures.
//
// Compact deletes in small transactions, so that requests do not wait for it. After an
// error or a cancellation, the earlier batches stay deleted, and another call continues.
// Calls may run at the same time.
func (s *Store) Compact(ctx context.Context, project string, before time.Time) (Compacted, error) {
	var done Compacted
	if project == "" {
		return done, errors.New("sqlstore: compact: the project is empty")
	}
	for _, part := range []struct {
		doing         string
		batch, delete string
		deleted       *int64
	}{
		{"compact the events", eventsBatch, compactEvents, &done.Events},
		{"compact the findings", findingsBatch, compactFindings, &done.Findings},
	} {
		for after := int64(0); ; {
			upto, err := readOne(ctx, s, part.doing, "no batch", part.batch, []any{after, compactBatch, moment{before}}, scanOne[int64])
			if err != nil {
				return done, err
			}
			if upto == 0 {
				break
			}
			if _, err := s.remove(ctx, part.doing, part.deleted, part.delete, after, upto, project, moment{before}); err != nil {
				return done, err
			}
			after = upto
		}
	}
	for {
		n, err := s.remove(ctx, "compact the runs", &done.Runs, compactRuns, project, moment{before}, compactBatch)
		if err != nil || n < compactBatch {
			return done, err
		}
	}
}

// errNoRows rolls back a transaction that has deleted nothing.
var errNoRows = errors.New("nothing was deleted")

// remove runs one statement in a transaction, and adds the number of deleted rows to the
// parameter sum. It commits only if rows were deleted.
func (s *Store) remove(ctx context.Context, doing string, sum *int64, text string, args ...any) (n int64, err error) {
	err = s.inTx(ctx, doing, func(ctx context.Context, db session) (err error) {
		if n, err = db.exec(ctx, text, args...); err == nil && n == 0 {
			return plainError{errNoRows}
		}
		return err
	})
	if errors.Is(err, errNoRows) {
		return 0, nil
	}
	if err == nil {
		*sum += n
	}
	return n, err
}
