package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// ledgerPage reads a stretch of the ledger and the rows that hold its identities.
// {holder} is the entry's identity as the row's column compares it: with a cast where
// Postgres would not use the column's index otherwise. {active} is the column that is
// filled from "active", if there is one.
const ledgerPage = `
select l.identity_id, l.user_id, l.state, l.reason, l.way, l.linked_at, l.ticket, l.digest, l.back_reference,
       cast(u.{id} as text), cast(u.{identity} as text), {active}
from symbolon.links l
left join {users} u on u.{identity} = {holder}
where l.project = $1 and l.identity_id > $2 and l.identity_id <= $3 and l.state <> 'new'
order by l.identity_id limit $4`

// lastIdentity is the greatest ID there can be.
const lastIdentity symbolon.IdentityID = "ffffffff-ffff-ffff-ffff-ffffffffffff"

// Entries returns the ledger's entries behind after (empty: from the first one) up to
// and including upto (empty: to the last one), ordered by identity, limit of them at
// most. It writes nothing. A page is read at one moment; two pages are not.
func (s *Store) Entries(ctx context.Context, project string, after, upto symbolon.IdentityID, limit int) ([]symbolon.Entry, error) {
	if err := s.setup(); err != nil {
		return nil, err
	}
	if project == "" || limit < 1 {
		return nil, errors.New("sqlstore: entries: the project is empty, or the limit is not positive")
	}
	shape, err := s.table(ctx)
	if err != nil {
		return nil, err
	}
	if upto == "" {
		upto = lastIdentity
	}
	var out []symbolon.Entry
	err = s.retry(ctx, func(waiting context.Context) error {
		out, err = s.entries(waiting, shape, project, after, upto, limit)
		return err
	})
	if err != nil {
		return nil, unavailable("read the ledger", err)
	}
	return out, nil
}

func (s *Store) entries(ctx context.Context, shape *shape, project string, after, upto symbolon.IdentityID, limit int) ([]symbolon.Entry, error) {
	out, err := s.ledgerPage(ctx, shape, project, after, upto, limit)
	if err != nil {
		return nil, err
	}
	for i := range out {
		e := &out[i]
		if e.Link.State != symbolon.Linked || e.User != nil {
			continue
		}
		// Row and ledger disagree: few do, and they are read as a decision reads them.
		r := reader{db: session{store: s}, shape: shape, now: s.now()}
		q := symbolon.Query{Project: project, Reading: symbolon.Reading{Identity: symbolon.Identity{ID: e.Link.Identity}}}
		if err := r.read(ctx, q); err != nil {
			return nil, err
		}
		if r.held.Link != nil {
			*e = asEntry(r.entry, r.held)
		}
	}
	return out, nil
}

func (s *Store) ledgerPage(ctx context.Context, shape *shape, project string, after, upto symbolon.IdentityID, limit int) (out []symbolon.Entry, err error) {
	text := strings.NewReplacer("{holder}", shape.holder(), "{active}", shape.active()).Replace(ledgerPage)
	rows, err := session{store: s}.query(ctx, text, project, string(after), string(upto), limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var l scannedEntry
		var row scannedRow
		var active sql.NullBool
		if err := rows.Scan(&id, &l.user, &l.state, &l.reason, &l.way, &l.at, &l.ticket, &l.digest, &l.backReference,
			&row.id, &row.identity, &active); err != nil {
			return nil, err
		}
		found := l.entry(project, symbolon.IdentityID(id))
		held := symbolon.Evidence{Row: row.row()}
		if held.Row != nil && held.Row.ID == found.User && found.State == symbolon.Linked {
			held.Row.Linked = found.Identity
			held.User = held.Row
		}
		e := asEntry(found, held)
		if active.Valid {
			e.Active = &active.Bool
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

// asEntry parts the digest from its mark; see columnsWritten.
func asEntry(found entry, held symbolon.Evidence) symbolon.Entry {
	link := found.Link
	held.Link = &link
	e := symbolon.Entry{Evidence: held}
	e.Digest, e.LeftOut = strings.CutPrefix(found.digest, "!")
	return e
}

// holder is the entry's identity as the type of the row's column.
func (t *shape) holder() string {
	switch {
	case t.dialect == SQLite: // compares as the column does
		return "l.identity_id"
	case t.identity.declared == "character":
		return "cast(l.identity_id as bpchar)"
	}
	return fmt.Sprintf("cast(l.identity_id as %s)", t.identity.declared)
}

// active is the column of the row that says whether the identity is; null where no
// boolean column does.
func (t *shape) active() string {
	for _, f := range t.columns {
		if f.Path == "active" && f.kind == boolean {
			return "u." + quote(f.name)
		}
	}
	return "null"
}

// Digest is what the ledger would note of an identity that is read like this, to be
// compared with [symbolon.Entry]: where they are equal, no column needs to be written.
func (s *Store) Digest(ctx context.Context, id symbolon.Identity) (string, error) {
	if err := s.setup(); err != nil {
		return "", err
	}
	shape, err := s.table(ctx)
	if err != nil {
		return "", err
	}
	return digest(shape.paths(id)), nil
}
