package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// ledgerPage reads a page of the ledger and the rows that hold its identities. {holder} is
// the entry's identity, with a cast if Postgres needs it to use the index of the row's
// column. {active} is the column that is filled from "active", if there is one.
const ledgerPage = `
select l.identity_id, l.user_id, l.state, l.reason, l.way, l.linked_at, l.ticket, l.digest, l.back_reference, l.also,
       case when l.address_ticket = l.ticket then l.address else '' end, cast(u.{id} as text), cast(u.{identity} as text), {active}
from symbolon.links l
left join {users} u on u.{identity} = {holder}
where l.project = $1 and l.identity_id > $2 and l.identity_id <= $3 and l.state <> 'new'
order by l.identity_id limit $4`

// lastIdentity is the greatest possible ID.
const lastIdentity symbolon.IdentityID = "ffffffff-ffff-ffff-ffff-ffffffffffff"

// Entries returns at most limit entries of the ledger, ordered by identity. The page holds
// the entries with IDs greater than the parameter after, up to and including upto. If after
// or upto is empty, the page has no such bound. Entries writes nothing. One page is one
// consistent read; different pages may show different states.
func (s *Store) Entries(ctx context.Context, project string, after, upto symbolon.IdentityID, limit int) ([]symbolon.Entry, error) {
	if project == "" || limit < 1 {
		return nil, errors.New("sqlstore: entries: the project is empty, or the limit is not positive")
	}
	var out []symbolon.Entry
	err := s.withShape(ctx, func(shape *shape) (err error) {
		out, err = retryRead(ctx, s, "read the ledger", func(waiting context.Context) ([]symbolon.Entry, error) {
			return s.entries(waiting, shape, project, after, cmp.Or(upto, lastIdentity), limit)
		})
		return err
	})
	return out, err
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
		// The row and the ledger disagree. Such entries are rare, and each is read in the
		// same way as for a decision.
		r := reader{db: session{store: s}, shape: shape, now: s.now()}
		q := symbolon.Query{Project: project, Reading: symbolon.Reading{Identity: symbolon.Identity{ID: e.Link.Identity}}}
		if err := r.read(ctx, q); err != nil {
			return nil, err
		}
		if r.held.Link != nil {
			*e = shape.asEntry(r.entry, r.held)
		}
	}
	return out, nil
}

func (s *Store) ledgerPage(ctx context.Context, shape *shape, project string, after, upto symbolon.IdentityID, limit int) ([]symbolon.Entry, error) {
	text := strings.NewReplacer("{holder}", shape.holder(), "{active}", shape.active()).Replace(ledgerPage)
	args := []any{project, string(after), string(upto), limit}
	return collect(ctx, session{store: s}.query, text, args, func(from scanner) (e symbolon.Entry, err error) {
		var id symbolon.IdentityID
		var l scannedEntry
		var row scannedRow
		var active sql.NullBool
		var address string
		err = from.Scan(&id, &l.user, &l.state, &l.reason, &l.way, &l.at, &l.ticket, &l.digest, &l.backReference, &l.also,
			&address, &row.id, &row.identity, &active)
		found := l.entry(project, id)
		held := symbolon.Evidence{Row: row.row()}
		if held.Row != nil && held.Row.ID == found.User && found.State == symbolon.Linked {
			held.Row.Linked = found.Identity
			held.User = held.Row
		}
		e = shape.asEntry(found, held)
		e.Address = address
		if active.Valid {
			e.Active = &active.Bool
		}
		return e, err
	})
}

// asEntry makes an Entry of what was read. It separates the digest from its marks. The mark
// waitingMark says that a column was left out for everybody when the row was written. As long
// as the table cannot take some column, asEntry removes the mark, because another write would
// leave the column out again. When the table can take all columns, asEntry leaves the mark in
// the digest. The digest then differs from the identity's, so the columns are written.
func (t *shape) asEntry(found entry, held symbolon.Evidence) symbolon.Entry {
	link := found.Link
	held.Link = &link
	e := symbolon.Entry{Evidence: held}
	e.Digest, e.LeftOut = strings.CutPrefix(found.digest, refusedMark)
	if t.incomplete() {
		e.Digest = strings.TrimPrefix(e.Digest, waitingMark)
	}
	return e
}

// holder is the entry's identity, in the type of the row's identity column.
func (t *shape) holder() string {
	switch {
	case t.dialect == SQLite: // SQLite compares by the type of the column
		return "l.identity_id"
	case t.identity.declared == "character":
		return "cast(l.identity_id as bpchar)"
	}
	return fmt.Sprintf("cast(l.identity_id as %s)", t.identity.declared)
}

// active is the boolean column of the row that says whether the identity is active, or null
// if there is none.
func (t *shape) active() string {
	for _, f := range t.columns {
		if f.Path == "active" && f.kind == boolean && f.unfit == "" {
			return "u." + quote(f.name)
		}
	}
	return "null"
}

// Digest returns the digest that the ledger would store for this reading of an identity. If
// it equals the digest of the [symbolon.Entry], no column needs to be written.
func (s *Store) Digest(ctx context.Context, id symbolon.Identity) (string, error) {
	shape, err := s.table(ctx)
	if err != nil {
		return "", err
	}
	return digest(shape.paths(id)), nil
}
