package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/pipeline"
)

// Forget records in the application's own transaction that it deletes a user. Forget only
// executes statements, changes only Symbolon's tables, and may be called again. Call it before
// the row is deleted, because Symbolon also locks its own entries before the users' rows.
func (s *Store) Forget(ctx context.Context, tx symbolon.Execer, project string, user symbolon.UserID) error {
	if err := s.setup(); err != nil {
		return err
	}
	if project == "" || user == "" || len(user) > 255 || strings.ContainsRune(string(user), 0) {
		return fmt.Errorf("sqlstore: forget: project %q, user %q: both are required, and the user has at most 255 bytes and no zero byte", project, user)
	}
	now, ids := moment{s.now()}, spellings(user)
	if _, err := execute(ctx, tx, s.sql.fill(lockLinked), project, ids[0], ids[1]); err != nil {
		return unavailable("forget user "+string(user), err)
	}
	fresh := int64(0)
	for _, id := range ids {
		n, err := execute(ctx, tx, s.sql.fill(retire), project, id, now)
		if err != nil {
			return unavailable("retire user "+id, err)
		}
		fresh += n
	}
	var bonds int64
	for tries := 0; tries < 3 && bonds == 0; tries++ { // a concurrent move may have given the user to another identity
		n, err := execute(ctx, tx, s.sql.fill(forgetEntry), project, ids[0], ids[1])
		if err != nil {
			return unavailable("forget user "+string(user), err)
		}
		bonds += n
	}
	if fresh == 0 && bonds == 0 {
		return nil // forgotten before
	}
	if err := s.part(ctx, tx, ids); err != nil {
		return unavailable("forget user "+string(user), err)
	}
	if _, err := execute(ctx, tx, s.sql.fill(forgottenEvent), project, now, ids[0], ids[1], string(user)); err != nil {
		return unavailable("record that user "+string(user)+" is forgotten", err)
	}
	return nil
}

// ForgetUser is Forget in a transaction of its own, for a user whose row another program
// deletes.
func (s *Store) ForgetUser(ctx context.Context, project string, user symbolon.UserID) error {
	return s.inRowsTx(ctx, "forget user "+string(user), func(ctx context.Context, db session) error {
		return s.Forget(ctx, db.tx, project, user)
	})
}

func execute(ctx context.Context, tx symbolon.Execer, text string, args ...any) (int64, error) {
	res, err := tx.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// spellings are the two forms under which the ledger may know a user. A key of type UUID is
// stored in lower case, and Forget cannot read the type.
func spellings(user symbolon.UserID) [2]string {
	if id, err := symbolon.ParseIdentityID(string(user)); err == nil {
		return [2]string{string(id), string(user)}
	}
	return [2]string{string(user), string(user)}
}

// Record returns everything known about the person with an identity ID or user ID.
func (s *Store) Record(ctx context.Context, project, id string) (symbolon.Record, error) {
	shape, err := s.table(ctx)
	if err != nil {
		return symbolon.Record{}, err
	}
	h := historian{reader: reader{db: session{store: s}, shape: shape, now: s.now(), shows: true}, project: project}
	out, err := retryRead(ctx, s, "read the record", func(waiting context.Context) (symbolon.Record, error) { return h.find(waiting, id) })
	if err == nil && empty(out) {
		return out, notFound(fmt.Sprintf("no identity and no user has the ID %q", clip(id)))
	}
	return out, err
}

func empty(r symbolon.Record) bool { return r.Link == nil && r.Row == nil && len(r.Events) == 0 }

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// historian finds everything known about one person.
type historian struct {
	reader
	project string
}

// find tries id first as an identity ID, and then as a user ID.
func (h *historian) find(ctx context.Context, id string) (symbolon.Record, error) {
	if identity, err := symbolon.ParseIdentityID(id); err == nil {
		out, err := h.ofIdentity(ctx, identity)
		if err == nil && h.db.store.NewID() == ByIdentity { // it is a user's ID as well
			out.MergedInto, out.MergedBy, _, err = h.mergeOf(ctx, h.project, symbolon.UserID(identity))
		}
		if err != nil || !empty(out) {
			return out, err
		}
	}
	user, _, ok := h.shape.key(symbolon.UserID(id))
	if !ok {
		return symbolon.Record{}, nil
	}
	return h.ofUser(ctx, user)
}

func (h *historian) ofIdentity(ctx context.Context, id symbolon.IdentityID) (out symbolon.Record, err error) {
	q := symbolon.Query{Project: h.project, Reading: symbolon.Reading{Identity: symbolon.Identity{ID: id}}}
	if err := h.read(ctx, q); err != nil {
		return out, err
	}
	out.Link, out.Row = h.held.Link, h.held.Row
	if out.Row == nil {
		out.Row = h.held.User
	}
	if out.Findings, err = findings(ctx, h.db, h.project, id); err != nil {
		return out, err
	}
	var user symbolon.UserID
	if out.Link != nil {
		user = out.Link.User
	}
	if user != "" && out.Link.State != symbolon.OnHold { // an entry on hold may name a former user
		if out.Also, err = h.further(ctx, h.project, user); err != nil {
			return out, err
		}
	}
	out.Events, err = h.events(ctx, id, user)
	return out, err
}

// ofUser finds the record by the identity that has the user or had it last.
func (h *historian) ofUser(ctx context.Context, user symbolon.UserID) (out symbolon.Record, err error) {
	c, err := h.claimed(ctx, h.project, user, map[symbolon.UserID]symbolon.Claimed{})
	if err != nil {
		return out, err
	}
	owner := c.Linked
	if owner == "" {
		err := h.db.queryRow(ctx, findOwner, h.project, string(user)).Scan(&owner)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return out, err
		}
	}
	if owner == "" && c.Row != nil {
		owner = c.Row.Identity
	}
	if owner != "" {
		if out, err = h.ofIdentity(ctx, owner); err != nil {
			return out, err
		}
	}
	out.Row = c.Row
	if out.Also, err = h.further(ctx, h.project, user); err != nil {
		return out, err
	}
	if c.Retired {
		if out.MergedInto, out.MergedBy, _, err = h.mergeOf(ctx, h.project, user); err != nil {
			return out, err
		}
	}
	out.Events, err = h.events(ctx, owner, user)
	return out, err
}

// events merges the histories of an identity and of its user; one of them may be empty. It
// returns the latest hundred events, the oldest first.
func (h *historian) events(ctx context.Context, identity symbolon.IdentityID, user symbolon.UserID) ([]symbolon.Event, error) {
	out := []symbolon.Event{}
	for _, history := range []struct{ text, id string }{
		{eventsOfIdentity, string(identity)}, {eventsOfUser, string(user)}, {eventsOfFormerUser, string(user)},
	} {
		if history.id == "" {
			continue
		}
		events, err := collect(ctx, h.db.query, history.text, []any{h.project, history.id}, scanEvent)
		if err != nil {
			return nil, err
		}
		out = append(out, events...)
	}
	slices.SortFunc(out, func(a, b symbolon.Event) int { return cmp.Compare(a.ID, b.ID) })
	out = slices.CompactFunc(out, func(a, b symbolon.Event) bool { return a.ID == b.ID })
	return out[max(0, len(out)-100):], nil
}

func scanEvent(row scanner) (e symbolon.Event, err error) {
	var at moment
	var identity, user, before sql.NullString
	var adopted []byte
	err = row.Scan(&e.ID, &at, &e.Kind, &identity, &user, &before, &e.Source, &e.Finding, &e.Detail, &e.Run, &adopted)
	e.At, e.Identity = at.Time, symbolon.IdentityID(identity.String)
	e.User, e.Before = symbolon.UserID(user.String), symbolon.UserID(before.String)
	if err != nil || len(adopted) == 0 {
		return e, err
	}
	if err := json.Unmarshal(adopted, &e.Adopted); err != nil {
		return e, fmt.Errorf("read the bond of event %d: %w", e.ID, err)
	}
	return e, nil
}

// recordEvent inserts an event.
func (c session) recordEvent(ctx context.Context, project string, at moment, e symbolon.Event) error {
	statement, err := c.store.eventStatement(project, at, e)
	if err != nil {
		return err
	}
	return c.do(ctx, statement)
}

func (s *Store) eventStatement(project string, at moment, e symbolon.Event) (*pipeline.Statement, error) {
	adopted := ""
	if e.Adopted != nil {
		text, err := json.Marshal(e.Adopted)
		if err != nil {
			return nil, err
		}
		adopted = string(text)
	}
	return s.statement(insertEvent, project, at, string(e.Kind), null(e.Identity), null(e.User), null(e.Before),
		string(e.Source), string(e.Finding), e.Detail, e.Run, adopted), nil
}

// findings returns the identity's open findings, the oldest first.
func findings(ctx context.Context, db session, project string, id symbolon.IdentityID) ([]symbolon.Finding, error) {
	return collect(ctx, db.query, readFindings, []any{project, string(id)}, func(row scanner) (f symbolon.Finding, err error) {
		var at moment
		var user sql.NullString
		err = row.Scan(&f.Kind, &user, &f.Detail, &at)
		f.Identity, f.User, f.At = id, symbolon.UserID(user.String), at.Time
		return f, err
	})
}
