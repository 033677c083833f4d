package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// openFindings follow the index that keeps them one of a kind.
const openFindings = `
select id, identity_id, kind, user_id, detail, opened_at from symbolon.findings
where project = $1 and closed_at is null and (identity_id, kind) > ($2, $3) and identity_id <= $4
and (cast($5 as text) = '' or kind = $6) order by identity_id, kind limit $7`

const openFindingByID = `
select id, identity_id, kind, user_id, detail, opened_at from symbolon.findings
where project = $1 and id = $2 and closed_at is null`

const countFindings = `
select kind, count(*) from symbolon.findings where project = $1 and closed_at is null group by kind`

// behindKinds comes behind every kind, in every collation: with it everything of the
// identity is passed over.
const behindKinds = "zzzz"

// Findings returns open findings in the order of identity and kind.
func (s *Store) Findings(ctx context.Context, q symbolon.FindingsQuery) ([]symbolon.Finding, error) {
	if q.Project == "" || q.Limit < 1 {
		return nil, errors.New("sqlstore: findings: the project is empty, or the limit is not positive")
	}
	if q.AfterKind == "" {
		q.AfterKind = behindKinds
	}
	if q.Upto == "" {
		q.Upto = lastIdentity
	}
	args := []any{q.Project, string(q.After), string(q.AfterKind), string(q.Upto), string(q.Kind), string(q.Kind), q.Limit}
	return readAll(ctx, s, "read the findings", openFindings, args, scanFinding)
}

// Finding returns an open finding. ErrNotFound: there is none with this ID.
func (s *Store) Finding(ctx context.Context, project string, id int64) (out symbolon.Finding, err error) {
	if err := s.setup(); err != nil {
		return out, err
	}
	err = s.retry(ctx, func(waiting context.Context) (err error) {
		out, err = scanFinding(session{store: s}.queryRow(waiting, openFindingByID, project, id))
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return out, fmt.Errorf("sqlstore: there is no open finding %d: %w", id, symbolon.ErrNotFound)
	}
	if err != nil {
		return out, unavailable("read a finding", err)
	}
	return out, nil
}

// CountFindings counts the open findings by kind.
func (s *Store) CountFindings(ctx context.Context, project string) (map[symbolon.FindingKind]int, error) {
	out := map[symbolon.FindingKind]int{}
	_, err := readAll(ctx, s, "count the findings", countFindings, []any{project}, func(row scanner) (kind symbolon.FindingKind, err error) {
		var n int
		err = row.Scan(&kind, &n)
		out[kind] = n
		return kind, err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func scanFinding(row scanner) (f symbolon.Finding, err error) {
	var at moment
	var user sql.NullString
	err = row.Scan(&f.ID, &f.Identity, &f.Kind, &user, &f.Detail, &at)
	f.User, f.At = symbolon.UserID(user.String), at.Time
	return f, err
}

// RecordFindings opens findings and closes others, with an event each, in one
// transaction. What is so already is passed over, and nothing is written for it.
func (s *Store) RecordFindings(ctx context.Context, project string, way symbolon.Source, open, closed []symbolon.Finding) error {
	if len(open)+len(closed) == 0 {
		return nil
	}
	return s.inTx(ctx, "record findings", func(ctx context.Context, db session) error {
		return db.recordFindings(ctx, project, way, open, closed)
	})
}

func (c session) recordFindings(ctx context.Context, project string, way symbolon.Source, open, closed []symbolon.Finding) error {
	now := moment{c.store.now()}
	note := func(kind symbolon.EventKind, f symbolon.Finding) error {
		return c.recordEvent(ctx, project, now, symbolon.Event{Kind: kind, Identity: f.Identity, User: f.User, Source: way, Finding: f.Kind, Detail: f.Detail})
	}
	for _, f := range open {
		n, err := c.exec(ctx, openFinding, project, string(f.Identity), string(f.Kind), null(f.User), f.Detail, now)
		if err == nil && n > 0 {
			err = note(symbolon.FindingOpened, f)
		}
		if err != nil {
			return err
		}
	}
	for _, f := range closed {
		n, err := c.exec(ctx, closeFinding, now, project, string(f.Identity), string(f.Kind))
		if err == nil && n > 0 {
			f.Detail = ""
			err = note(symbolon.FindingClosed, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
