package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/symbolon-id/symbolon"
)

const readStart = `select created_at, settled_at, settled_by from symbolon.starts where project = $1`

// insertStart records a project's start, or locks the one that is recorded. The first project is as old as the ledger. $2 is the
// time of the database.
const insertStart = `
insert into symbolon.starts (project, created_at)
select $1, case when exists (select 1 from symbolon.starts where project <> '') then $2
                else (select created_at from symbolon.starts where project = '') end
where true on conflict (project) do update set project = excluded.project`

const settleStart = `
update symbolon.starts set settled_at = $1, settled_by = $2 where project = $3 and settled_at is null`

// Rows of the users table without an identity. Each condition has a statement of its own,
// because then both use the index of the identity column.
const (
	nullIdentity  = `select exists (select 1 from {users} where {identity} is null)`
	emptyIdentity = `select exists (select 1 from {users} where {identity} = '')`
)

var errNoProject = errors.New("sqlstore: the start of a project: the project is empty")

// Start returns the start of a project, and records it if there is none; see
// [symbolon.Store].
func (s *Store) Start(ctx context.Context, project string) (symbolon.Start, error) {
	start, err := s.FindStart(ctx, project)
	if !errors.Is(err, symbolon.ErrNotFound) {
		return start, err
	}
	return s.Begin(ctx, project)
}

// FindStart is Start without recording: it returns ErrNotFound if no program of the project
// has started yet.
func (s *Store) FindStart(ctx context.Context, project string) (symbolon.Start, error) {
	if project == "" {
		return symbolon.Start{}, errNoProject
	}
	return readOne(ctx, s, "read the project's start", "the project has not started yet", readStart, []any{project}, scanStart)
}

func scanStart(row scanner) (start symbolon.Start, err error) {
	var created, settled moment
	err = row.Scan(&created, &settled, &start.SettledBy)
	start.CreatedAt, start.SettledAt = created.Time, settled.Time
	return start, err
}

// Begin records the start of a project if there is none. It settles the start if every row
// of the users table has an identity. Programs call it when they start; it reads an index
// only.
func (s *Store) Begin(ctx context.Context, project string) (symbolon.Start, error) {
	shape, err := s.table(ctx)
	if err != nil {
		return symbolon.Start{}, err
	}
	return s.writeStart(ctx, project, func(ctx context.Context, db session) (by string, err error) {
		unbound, err := shape.unbound(ctx, db)
		if err != nil || unbound {
			return "", err
		}
		return "no_rows", nil
	})
}

// word is a reason for which a start is settled.
var word = regexp.MustCompile(`^[a-z_]{1,32}$`)

// Settle settles the start of a project; see [symbolon.Store].
func (s *Store) Settle(ctx context.Context, project, by string) (symbolon.Start, error) {
	if !word.MatchString(by) {
		return symbolon.Start{}, fmt.Errorf("sqlstore: settle the start: %q is not one lower-case word", clip(by))
	}
	return s.writeStart(ctx, project, func(context.Context, session) (string, error) { return by, nil })
}

// writeStart records the start, and settles it if the function settled returns a reason.
func (s *Store) writeStart(ctx context.Context, project string, settled func(context.Context, session) (by string, err error)) (start symbolon.Start, err error) {
	if project == "" {
		return start, errNoProject
	}
	now, err := s.Clock(ctx)
	if err != nil {
		return start, err
	}
	write := func(ctx context.Context, db session) error {
		if start, err = db.begin(ctx, project, now); err != nil || start.Settled() {
			return err
		}
		by, err := settled(ctx, db)
		if err != nil || by == "" {
			return err
		}
		if _, err := db.exec(ctx, settleStart, moment{now}, by, project); err != nil {
			return err
		}
		start.SettledAt, start.SettledBy = now, by
		return nil
	}
	for until := time.Now().Add(lockTimeout); ; {
		err = s.inTx(ctx, "record the project's start", write)
		if !errors.Is(err, errCommitUnknown) || time.Now().After(until) {
			return start, err
		}
		if found, err := s.FindStart(ctx, project); err == nil && found.Settled() == start.Settled() { // it was committed
			return found, nil
		}
	}
}

// begin records the start unless there is one, and reads it.
func (c session) begin(ctx context.Context, project string, now time.Time) (symbolon.Start, error) {
	if _, err := c.exec(ctx, insertStart, project, moment{now}); err != nil {
		return symbolon.Start{}, err
	}
	return scanStart(c.queryRow(ctx, readStart, project))
}

// unbound reports whether a row of the users table has no identity. A row that may be hidden
// counts as one.
func (t *shape) unbound(ctx context.Context, db session) (bool, error) {
	r := reader{db: db, shape: t}
	if err := r.mayBeHidden(ctx); err != nil {
		if _, hidden := errors.AsType[hiddenError](err); hidden {
			return true, nil
		}
		return false, err
	}
	texts := []string{nullIdentity}
	if t.identity.kind == text {
		texts = append(texts, emptyIdentity)
	}
	for _, query := range texts {
		if found, err := scanOne[bool](db.queryRow(ctx, query)); err != nil || found {
			return found, err
		}
	}
	return false, nil
}
