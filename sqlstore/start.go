package sqlstore

import (
	"cmp"
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

// unsettleStart takes back what an earlier start concluded from the table that it saw.
const unsettleStart = `
update symbolon.starts set settled_at = null, settled_by = '' where project = $1 and settled_by = '` + noRows + `'`

// noRows is the reason of a start that found no row without an identity.
const noRows = "no_rows"

const hasLinks = `select exists (select 1 from symbolon.links where project = $1)`

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
//
// Begin also records the users table of the project. If the project has links that belong to
// another table, it returns a *[Fault] of kind OtherTable.
//
// The table of an earlier start may have been another one, for example the default table of a
// first try. So a start that was settled because there were no such rows is judged again while
// the ledger knows no identity. Then it can become unsettled.
func (s *Store) Begin(ctx context.Context, project string) (symbolon.Start, error) {
	shape, err := s.table(ctx)
	if err != nil {
		return symbolon.Start{}, err
	}
	start, err := s.writeStart(ctx, project, func(ctx context.Context, db session, start symbolon.Start) (by string, err error) {
		if err := s.ownTable(ctx, db, project); err != nil {
			return "", err
		}
		if start.Settled() {
			if used, err := scanOne[bool](db.queryRow(ctx, hasLinks, project)); start.SettledBy != noRows || err != nil || used {
				return start.SettledBy, err
			}
		}
		unbound, err := shape.unbound(ctx, db)
		if err != nil || unbound {
			return "", err
		}
		return noRows, nil
	})
	return start, asOtherTable(err)
}

// word is a reason for which a start is settled.
var word = regexp.MustCompile(`^[a-z_]{1,32}$`)

// Settle settles the start of a project; see [symbolon.Store].
func (s *Store) Settle(ctx context.Context, project, by string) (symbolon.Start, error) {
	if !word.MatchString(by) {
		return symbolon.Start{}, fmt.Errorf("sqlstore: settle the start: %q is not one lower-case word", clip(by))
	}
	return s.writeStart(ctx, project, func(_ context.Context, _ session, start symbolon.Start) (string, error) {
		return cmp.Or(start.SettledBy, by), nil
	})
}

// writeStart records the start. The function settled returns the reason for which the start is
// settled, or "" if it is not.
func (s *Store) writeStart(ctx context.Context, project string, settled func(context.Context, session, symbolon.Start) (by string, err error)) (start symbolon.Start, err error) {
	if project == "" {
		return start, errNoProject
	}
	now, err := s.Clock(ctx)
	if err != nil {
		return start, err
	}
	write := func(ctx context.Context, db session) error {
		if start, err = db.begin(ctx, project, now); err != nil {
			return err
		}
		by, err := settled(ctx, db, start)
		switch {
		case err != nil || by == start.SettledBy:
			return err
		case by == "":
			start.SettledAt, start.SettledBy = time.Time{}, ""
			_, err = db.exec(ctx, unsettleStart, project)
			return err
		}
		start.SettledAt, start.SettledBy = now, by
		_, err = db.exec(ctx, settleStart, moment{now}, by, project)
		return err
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
