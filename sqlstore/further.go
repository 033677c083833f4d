package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/symbolon-id/symbolon"
)

// A user has one primary identity, and may have further identities. The primary identity's
// entry is the linked one. The entry of a further identity is stored as held with the reason
// moved, and its column also names the user. So a program of an older version denies the
// identity, and no index of the linked entries has to know it. Only scannedEntry and saveArgs
// translate this form.

const (
	// alsoEntry is saveEntry for a further identity. It changes nothing unless the user's
	// primary identity has the user now, by the ledger and by the row ($12 is its key).
	alsoEntry = saveEntry + `
and not exists (select 1 from symbolon.retired r where r.project = $10 and r.user_id = $1)
and exists (select 1 from symbolon.links o join {users} u on lower(cast(u.{identity} as text)) = o.identity_id
    where o.project = $10 and o.user_id = $1 and o.state = 'linked' and u.{id} = $12)`

	// furtherEntries reads the entries of a user's further identities, also of those that have ended.
	furtherEntries = `
select identity_id, user_id, state, reason, way, linked_at, ticket, digest, back_reference, also from symbolon.links
where project = $1 and also = $2 and (user_id = $2 or state in ('gone', 'erased')) order by identity_id`

	moveFurther = `
update symbolon.links set user_id = $1, also = $1 where project = $2 and identity_id = $3 and also = user_id and state = 'held'`

	// moveEnded is moveFurther for an identity that signs in no more. An erasure of the user
	// still has to find it.
	moveEnded = `
update symbolon.links set also = $1 where project = $2 and identity_id = $3 and state in ('gone', 'erased')`
)

// saveArgs are the parameters of saveEntry.
func saveArgs(e entry) []any {
	state, reason := e.State, e.Reason
	switch state {
	case symbolon.Also:
		state, reason = symbolon.OnHold, symbolon.Moved
	case symbolon.Linked:
		e.also = ""
	}
	return []any{null(e.User), string(state), string(reason), string(e.Source), moment{e.At}, int64(e.Ticket),
		e.digest, e.BackReference, null(e.also), e.Project, string(e.Identity)}
}

// lockAlso locks the entries of the identity and of Query.Locks, in the order of the identities.
func (w *writer) lockAlso(waiting context.Context) error {
	own := w.q.Reading.Identity.ID
	ids := append(slices.Clone(w.q.Locks), own)
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if id == own {
			if err := w.db.do(waiting, w.lock); err != nil {
				return err
			}
			continue
		}
		if _, err := w.db.exec(waiting, lockKnown, w.q.Project, string(id)); err != nil {
			return err
		}
	}
	return nil
}

// linkAlso makes the identity a further one of the plan's user.
func (w *writer) linkAlso(ctx context.Context) error {
	user, _, ok := w.shape.key(w.plan.User)
	if !ok {
		return plainError{fmt.Errorf("user ID %q: %w %s", w.plan.User, errNoKey, w.shape.users.table())}
	}
	e := symbolon.Event{Kind: symbolon.LinkMoved, User: user, Detail: w.plan.Why}
	if w.before.User != user {
		e.Before = w.before.User
	}
	if err := w.noErasure(ctx, user, cmp.Or(e.Before, user)); err != nil {
		return err
	}
	w.becomeFurther(user)
	w.event(e)
	return w.closeFindings(ctx)
}

// becomeFurther notes in the entry that the identity is a further one of the user.
func (w *writer) becomeFurther(user symbolon.UserID) {
	w.entry.User, w.entry.also, w.entry.State, w.entry.Reason = user, user, symbolon.Also, ""
	w.entry.Source, w.entry.At = w.q.Reading.Source, w.now
	w.entry.Ticket, w.entry.digest = 0, "" // it fills no column
}

// saveAlso writes the entry of a further identity.
func (w *writer) saveAlso(ctx context.Context) error {
	args := saveArgs(w.entry)
	if w.before.State == symbolon.Also && w.before.User == w.entry.User {
		return w.saved(ctx, w.db.change(ctx, saveEntry, args...))
	}
	_, key, _ := w.shape.key(w.entry.User)
	return w.saved(ctx, w.db.change(ctx, alsoEntry, append(args, key)...))
}

// moveFurther gives the further identities of a user to another user.
func (w *writer) moveFurther(ctx context.Context, from, to symbolon.UserID) error {
	further, err := w.read.further(ctx, w.q.Project, from)
	if err != nil {
		return err
	}
	for _, l := range further {
		text := moveFurther
		if l.State != symbolon.Also {
			text = moveEnded
		}
		n, err := w.db.exec(ctx, text, string(to), w.q.Project, string(l.Identity))
		if err != nil {
			return err
		}
		if n > 0 && l.State == symbolon.Also {
			w.event(symbolon.Event{Kind: symbolon.LinkMoved, Identity: l.Identity, User: to, Before: from, Detail: w.plan.Why})
		}
	}
	return nil
}

// further reads the entries of a user's further identities.
func (r *reader) further(ctx context.Context, project string, user symbolon.UserID) ([]symbolon.Link, error) {
	return collect(ctx, r.db.query, furtherEntries, []any{project, string(user)}, func(from scanner) (symbolon.Link, error) {
		var id symbolon.IdentityID
		var l scannedEntry
		err := from.Scan(&id, &l.user, &l.state, &l.reason, &l.way, &l.at, &l.ticket, &l.digest, &l.backReference, &l.also)
		return l.entry(project, id).Link, err
	})
}
