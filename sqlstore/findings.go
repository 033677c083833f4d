package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// openFindings reads in the order of the unique index on open findings.
const openFindings = `
select id, identity_id, kind, user_id, detail, opened_at from symbolon.findings
where project = $1 and closed_at is null and (identity_id, kind) > ($2, $3) and identity_id <= $4
and (cast($5 as text) = '' or kind = $6) order by identity_id, kind limit $7`

const openFindingByID = `
select id, identity_id, kind, user_id, detail, opened_at from symbolon.findings
where project = $1 and id = $2 and closed_at is null`

const countFindings = `
select kind, count(*) from symbolon.findings where project = $1 and closed_at is null group by kind`

// afterKinds sorts after every kind, in every collation. A page begins after an identity and a
// kind (openFindings). With afterKinds it begins after the identity's last finding.
const afterKinds symbolon.FindingKind = "zzzz"

// Findings returns open findings in the order of identity and kind.
func (s *Store) Findings(ctx context.Context, q symbolon.FindingsQuery) ([]symbolon.Finding, error) {
	if q.Project == "" || q.Limit < 1 {
		return nil, errors.New("sqlstore: findings: the project is empty, or the limit is not positive")
	}
	afterKind, upto := cmp.Or(q.AfterKind, afterKinds), cmp.Or(q.Upto, lastIdentity)
	args := []any{q.Project, string(q.After), string(afterKind), string(upto), string(q.Kind), string(q.Kind), q.Limit}
	return readAll(ctx, s, "read the findings", openFindings, args, scanFinding)
}

// Finding returns the open finding with an ID, or ErrNotFound.
func (s *Store) Finding(ctx context.Context, project string, id int64) (symbolon.Finding, error) {
	missing := fmt.Sprintf("there is no open finding %d", id)
	return readOne(ctx, s, "read a finding", missing, openFindingByID, []any{project, id}, scanFinding)
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

// RecordFindings opens findings and closes others, with an event for each, in one
// transaction. Nothing is written for a finding that is open or closed already. Nothing is
// opened for a person who was erased since the caller read the entry.
func (s *Store) RecordFindings(ctx context.Context, project string, source symbolon.Source, open, closed []symbolon.Finding) error {
	if len(open)+len(closed) == 0 {
		return nil
	}
	return s.inTx(ctx, "record findings", func(ctx context.Context, db session) error {
		return db.recordFindings(ctx, project, source, open, closed)
	})
}

func (c session) recordFindings(ctx context.Context, project string, source symbolon.Source, open, closed []symbolon.Finding) error {
	now := moment{c.store.now()}
	note := func(kind symbolon.EventKind, f symbolon.Finding) error {
		return c.recordEvent(ctx, project, now, symbolon.Event{Kind: kind, Identity: f.Identity, User: f.User, Source: source, Finding: f.Kind, Detail: f.Detail})
	}
	for _, f := range open {
		n, err := c.exec(ctx, openFindingOf, project, string(f.Identity), string(f.Kind), null(f.User), f.Detail, now)
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
