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
	if err := s.setup(); err != nil {
		return nil, err
	}
	if q.Project == "" || q.Limit < 1 {
		return nil, errors.New("sqlstore: findings: the project is empty, or the limit is not positive")
	}
	if q.AfterKind == "" {
		q.AfterKind = behindKinds
	}
	if q.Upto == "" {
		q.Upto = lastIdentity
	}
	var out []symbolon.Finding
	err := s.patiently(ctx, func(waiting context.Context) error {
		rows, err := session{store: s}.query(waiting, openFindings, q.Project, string(q.After), string(q.AfterKind), string(q.Upto),
			string(q.Kind), string(q.Kind), q.Limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		out = nil
		for rows.Next() {
			f, err := scanFinding(rows)
			if err != nil {
				return err
			}
			out = append(out, f)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, unavailable("read the findings", err)
	}
	return out, nil
}

// Finding returns an open finding. ErrNotFound: there is none with this ID.
func (s *Store) Finding(ctx context.Context, project string, id int64) (out symbolon.Finding, err error) {
	if err := s.setup(); err != nil {
		return out, err
	}
	err = s.patiently(ctx, func(waiting context.Context) (err error) {
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
	if err := s.setup(); err != nil {
		return nil, err
	}
	var out map[symbolon.FindingKind]int
	err := s.patiently(ctx, func(waiting context.Context) error {
		rows, err := session{store: s}.query(waiting, countFindings, project)
		if err != nil {
			return err
		}
		defer rows.Close()
		out = map[symbolon.FindingKind]int{}
		for rows.Next() {
			var kind symbolon.FindingKind
			var n int
			if err := rows.Scan(&kind, &n); err != nil {
				return err
			}
			out[kind] = n
		}
		return rows.Err()
	})
	if err != nil {
		return nil, unavailable("count the findings", err)
	}
	return out, nil
}

func scanFinding(row interface{ Scan(...any) error }) (f symbolon.Finding, err error) {
	var at moment
	var user sql.NullString
	err = row.Scan(&f.ID, &f.Identity, &f.Kind, &user, &f.Detail, &at)
	f.User, f.At = symbolon.UserID(user.String), at.Time
	return f, err
}

// RecordFindings opens findings and closes others, with an event each, in one
// transaction. What is so already is passed over, and nothing is written for it.
func (s *Store) RecordFindings(ctx context.Context, project string, way symbolon.Way, open, closed []symbolon.Finding) error {
	if err := s.setup(); err != nil {
		return err
	}
	if len(open)+len(closed) == 0 {
		return nil
	}
	err := s.patiently(ctx, func(waiting context.Context) error {
		return s.inWrite(ctx, waiting, func(db session) error {
			return db.recordFindings(ctx, project, way, open, closed)
		})
	})
	if err != nil {
		return unavailable("record findings", err)
	}
	return nil
}

func (c session) recordFindings(ctx context.Context, project string, way symbolon.Way, open, closed []symbolon.Finding) error {
	now := moment{c.store.now()}
	note := func(kind symbolon.EventKind, f symbolon.Finding) error {
		_, err := c.exec(ctx, insertEvent, project, now, string(kind), string(f.Identity), null(f.User), nil, string(way), string(f.Kind), f.Detail)
		return err
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

// inWrite runs f in a transaction of its own, in its turn. The first statement of f
// is a write.
func (s *Store) inWrite(ctx, waiting context.Context, f func(session) error) error {
	s.prepared.fulfil(waiting, s.DB)
	release, _, err := s.turn(waiting)
	if err != nil {
		return err
	}
	defer release()
	var options *sql.TxOptions
	if s.Dialect == Postgres {
		options = &sql.TxOptions{Isolation: sql.LevelReadCommitted} // whatever the server's default is
	}
	tx, err := s.DB.BeginTx(ctx, options)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing, after the commit
	if err := f(session{store: s, tx: tx}); err != nil {
		return err
	}
	return tx.Commit()
}
