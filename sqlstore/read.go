package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/pipeline"
)

// entry is one row of the ledger.
type entry struct {
	symbolon.Link
	digest string          // the digest of the last reading's projected paths; see columnsWritten
	also   symbolon.UserID // the user of whom the identity is or was a further one; see symbolon.Also
}

// none reports whether nothing is recorded yet: there is no entry, or the entry is only a
// lock.
func (e entry) none() bool { return e.State == "" || e.State == lockState }

const lockState symbolon.LinkState = "new"

// reader collects the evidence about one identity.
type reader struct {
	db    session
	shape *shape
	now   time.Time
	shows bool // what is read is only shown, or ends the bond, and lets nobody in; see denial

	held  symbolon.Evidence
	entry entry
	open  bool // the identity has open findings
}

// read fills r, in one round trip if possible. A second claim, a linked user whose row lost
// the identity, and the count of claims need more round trips.
func (r *reader) read(ctx context.Context, q symbolon.Query) error {
	return r.readAfter(ctx, q, r.first(q))
}

// readAfter does the same as the method read. The database may have executed the statement of
// first before.
func (r *reader) readAfter(ctx context.Context, q symbolon.Query, first *firstReading) error {
	claims := map[symbolon.UserID]symbolon.Claimed{}
	if err := r.readFirst(ctx, q, first, claims); err != nil {
		return err
	}
	r.held.Claims = make([]symbolon.Claimed, len(q.Claims))
	for i, claim := range q.Claims {
		c, err := r.claimed(ctx, q.Project, claim, claims)
		if err != nil {
			return err
		}
		r.held.Claims[i] = c
	}
	if err := r.readLinkedUser(ctx, q.Project, claims); err != nil {
		return err
	}
	if r.settled() {
		return nil
	}
	if err := r.readEnded(ctx, q, claims); err != nil {
		return err
	}
	if err := r.readMatches(ctx, q); err != nil || !r.namesSomebody() {
		return err
	}
	return r.count(ctx, q.Project)
}

// readBond fills r if the ledger and the application's row name the same user and the
// identity claims no other user. Otherwise it returns false and leaves r unchanged.
func (r *reader) readBond(ctx context.Context, q symbolon.Query) (stands bool, err error) {
	id := q.Reading.Identity.ID
	link := &symbolon.Link{Project: q.Project, Identity: id}
	var user, holder sql.NullString
	var at moment
	var denied denial
	err = r.db.queryRow(ctx, readBond, q.Project, string(id), string(id)).Scan(
		&user, &link.State, &link.Source, &at, &link.Ticket, &link.BackReference, &holder, &denied)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil, link.State != symbolon.Linked, holder != user:
		return false, err
	}
	link.User = symbolon.UserID(user.String)
	link.At = at.Time
	row := &symbolon.Row{ID: link.User, Identity: id, Linked: id, Denied: denied.code} // a user has only one link
	claims := make([]symbolon.Claimed, len(q.Claims))
	for i, claim := range q.Claims {
		switch user, _, ok := r.shape.key(claim); {
		case ok && user != link.User:
			return false, nil
		case ok:
			claims[i] = symbolon.Claimed{Row: row, Linked: id}
		}
	}
	r.held = symbolon.Evidence{Link: link, Row: row, User: row, Claims: claims}
	return true, nil
}

// firstReading is the statement that reads nearly all evidence, and its result.
type firstReading struct {
	statement *pipeline.Statement

	claim   symbolon.UserID // the one that it reads; empty: none
	entry   scannedEntry
	open    bool
	row     scannedRow
	claimed scannedRow
}

func (r *reader) first(q symbolon.Query) *firstReading {
	id := string(q.Reading.Identity.ID)
	claim, text, key := r.firstClaim(q.Claims)
	f := &firstReading{claim: claim, statement: r.db.store.statement(read, q.Project, id, text, id, key)}
	l, row, claimed := &f.entry, &f.row, &f.claimed
	row.denied.shown, claimed.denied.shown = r.shows, r.shows
	f.statement.Row = []any{&l.user, &l.state, &l.reason, &l.way, &l.at, &l.ticket, &l.digest, &l.backReference, &l.also, &f.open,
		&row.id, &row.identity, &row.denied, &row.linked, &claimed.id, &claimed.identity, &claimed.denied, &claimed.linked, &claimed.retired}
	return f
}

func (r *reader) readFirst(ctx context.Context, q symbolon.Query, f *firstReading, claims map[symbolon.UserID]symbolon.Claimed) error {
	if err := r.db.do(ctx, f.statement); err != nil {
		return err
	}
	r.open = f.open
	r.held = symbolon.Evidence{Row: f.row.row()}
	r.entry = f.entry.entry(q.Project, q.Reading.Identity.ID)
	if !r.entry.none() {
		link := r.entry.Link
		r.held.Link = &link
	}
	if f.claim != "" {
		claims[f.claim] = f.claimed.claimed()
	}
	return nil
}

func (r *reader) firstClaim(claims []symbolon.UserID) (id symbolon.UserID, text, key any) {
	for _, c := range claims {
		if id, key, ok := r.shape.key(c); ok {
			return id, string(id), key
		}
	}
	return "", nil, nil
}

// claimed returns everything known about a user ID. An ID that the table cannot hold has no
// user.
func (r *reader) claimed(ctx context.Context, project string, user symbolon.UserID, known map[symbolon.UserID]symbolon.Claimed) (symbolon.Claimed, error) {
	id, key, ok := r.shape.key(user)
	if !ok {
		return symbolon.Claimed{}, nil
	}
	if c, ok := known[id]; ok {
		return c, nil
	}
	s := scannedRow{denied: denial{shown: r.shows}}
	err := r.db.queryRow(ctx, readUser, project, string(id), key).Scan(&s.id, &s.identity, &s.denied, &s.linked, &s.retired)
	if err != nil {
		return symbolon.Claimed{}, err
	}
	known[id] = s.claimed()
	return known[id], nil
}

// readLinkedUser finds the row of the entry's user. Normally it is the row that holds the
// identity.
func (r *reader) readLinkedUser(ctx context.Context, project string, known map[symbolon.UserID]symbolon.Claimed) error {
	if r.held.Link == nil || r.held.Link.User == "" {
		return nil
	}
	if r.held.Row != nil && r.held.Row.ID == r.held.Link.User {
		r.held.User = r.held.Row
		return nil
	}
	c, err := r.claimed(ctx, project, r.held.Link.User, known)
	if r.held.User = c.Row; err == nil && r.linkedRowMissing() {
		err = r.mayBeHidden(ctx)
	}
	return err
}

// settled reports whether claims do not matter, because the row or the ledger has decided
// about the identity before.
func (r *reader) settled() bool {
	return r.held.Row != nil || r.held.Link != nil && r.held.Link.State != symbolon.OnHold
}

func (r *reader) namesSomebody() bool {
	for _, c := range r.held.Claims {
		if c.Row != nil || c.Linked != "" {
			return true
		}
	}
	return false
}

func (r *reader) count(ctx context.Context, project string) error {
	since := moment{r.now.Add(-time.Hour)}
	return r.db.queryRow(ctx, countClaims, project, since).Scan(&r.held.Conflicts, &r.held.Users)
}

// scannedRow is a row of the users table. All fields are null if there is no row.
type scannedRow struct {
	id, identity, linked, retired sql.NullString
	denied                        denial
}

func (s scannedRow) row() *symbolon.Row {
	if !s.id.Valid {
		return nil
	}
	return &symbolon.Row{ID: symbolon.UserID(s.id.String), Identity: asIdentity(s.identity.String), Linked: symbolon.IdentityID(s.linked.String), Denied: s.denied.code, Unjudged: s.denied.odd}
}

func (s scannedRow) claimed() symbolon.Claimed {
	return symbolon.Claimed{Row: s.row(), Linked: symbolon.IdentityID(s.linked.String), Retired: s.retired.Valid}
}

// asIdentity reads the value of the identity column. A text that is not an identity's ID
// stays unchanged and is treated as another identity.
func asIdentity(s string) symbolon.IdentityID {
	if id, err := symbolon.ParseIdentityID(s); err == nil {
		return id
	}
	return symbolon.IdentityID(s)
}

type scannedEntry struct {
	user, state, reason, way, digest, backReference, also sql.NullString

	at     moment
	ticket sql.NullInt64
}

func (s scannedEntry) entry(project string, id symbolon.IdentityID) entry {
	e := entry{digest: s.digest.String, also: symbolon.UserID(s.also.String), Link: symbolon.Link{Project: project, Identity: id,
		User: symbolon.UserID(s.user.String), State: symbolon.LinkState(s.state.String),
		Reason: symbolon.FindingKind(s.reason.String), Source: symbolon.Source(s.way.String), At: s.at.Time,
		Ticket: symbolon.Ticket(s.ticket.Int64), BackReference: s.backReference.String}}
	if e.State == symbolon.OnHold && e.Reason == symbolon.Moved && e.also != "" && e.also == e.User {
		e.State, e.Reason = symbolon.Also, ""
	}
	return e
}
