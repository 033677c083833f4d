package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

const (
	recordMerge = `
insert into symbolon.merges (project, from_id, into_id, identity_id, moved, merged_at) values ($1, $2, $3, $4, $5, $6)
on conflict (from_id, project) do update set into_id = excluded.into_id, identity_id = excluded.identity_id,
    moved = excluded.moved, merged_at = excluded.merged_at`

	readMerge = `select into_id, identity_id, moved from symbolon.merges where project = $1 and from_id = $2`

	deleteMerge = `delete from symbolon.merges where project = $1 and from_id = $2`

	deleteRetired = `delete from symbolon.retired where project = $1 and user_id = $2`

	// beingErased finds an erasure that is under way, of one of the users or of one of their
	// identities.
	beingErased = `
select count(*) from symbolon.erasures e where e.project = $1 and e.done_at is null
and (e.user_id in ($2, $3) or e.identity_id in (select l.identity_id from symbolon.links l where l.project = $1 and l.user_id in ($2, $3)))`

	// cameWith finds the further identities that the user $3 got when $2 was merged into it, and
	// that no order has bound since. The event of the merge has the moment of the merge. An order
	// of another moment gave the identity to $3 for its own sake, so an undo leaves it there.
	cameWith = `
select l.identity_id from symbolon.links l where l.project = $1 and l.also = $3 and l.user_id = $3
and exists (select 1 from symbolon.events e join symbolon.merges m on m.project = e.project and m.from_id = $2 and m.merged_at = e.at
    where e.project = $1 and e.identity_id = l.identity_id and e.kind = 'link.moved' and e.before_id = $2 and e.user_id = $3
    and not exists (select 1 from symbolon.events n where n.project = e.project and n.identity_id = e.identity_id and n.kind = 'link.moved'
        and n.id > e.id))
order by l.identity_id`
)

// merge ends the user Plan.Retire, and makes its identities further ones of Plan.User. The row
// of the ended user stays, deactivated and without an identity, for the tables that refer to it.
func (w *writer) merge(ctx context.Context) error {
	from, key, ok := w.shape.key(w.plan.Retire)
	into, _, okInto := w.shape.key(w.plan.User)
	if !ok || !okInto || w.before.State != symbolon.Linked || w.before.User != from {
		return plainError{fmt.Errorf("the plan merges user %q, whom the identity does not have, or into %q", w.plan.Retire, w.plan.User)}
	}
	if err := w.mayMerge(ctx, from, into); err != nil {
		return err
	}
	if err := w.moveFurther(ctx, from, into); err != nil { // entries are locked before rows
		return err
	}
	if err := w.deactivate(ctx, from, key); err != nil {
		return err
	}
	if _, err := w.db.exec(ctx, retire, w.q.Project, string(from), moment{w.now}); err != nil {
		return err
	}
	moved := 0
	if w.store.OnMerge != nil {
		moved = 1
	}
	id := w.q.Reading.Identity.ID
	if _, err := w.db.exec(ctx, recordMerge, w.q.Project, string(from), string(into), string(id), moved, moment{w.now}); err != nil {
		return err
	}
	w.becomeFurther(into)
	w.event(symbolon.Event{Kind: symbolon.LinkMoved, User: into, Before: from, Detail: w.plan.Why})
	return w.closeFindings(ctx)
}

// merges reports whether the plan merges users.
func (w *writer) merges() bool {
	return w.plan.Action == symbolon.Attach && w.plan.Also && w.plan.Retire != ""
}

// mayMerge refuses a merge of users who are being erased, and a merge in a table that cannot
// hold its result.
func (w *writer) mayMerge(ctx context.Context, from, into symbolon.UserID) error {
	conflict := func(why string) error {
		return plainError{&symbolon.ConflictError{User: into, Reason: why}}
	}
	if w.shape.users.one() {
		return conflict("the table's key is the identity's ID, so the row of user " + string(from) + " cannot lose its identity")
	}
	return w.noErasure(ctx, from, into)
}

// noErasure refuses an order that gives an identity to a user, or takes it from a user, while
// one of the two is being erased. The erasure has listed the identities that it ends, and would
// miss what the order changes.
func (w *writer) noErasure(ctx context.Context, one, other symbolon.UserID) error {
	var n int
	if err := w.db.queryRow(ctx, beingErased, w.q.Project, string(one), string(other)).Scan(&n); err != nil || n == 0 {
		return err
	}
	who := "user " + string(one)
	if other != one {
		who += " or user " + string(other)
	}
	return plainError{&symbolon.ConflictError{User: one, Reason: who + " is being erased; repeat the order when the erasure is done"}}
}

// deactivate applies the policy deactivate to the row and empties its identity column. The
// table must allow all of it.
func (w *writer) deactivate(ctx context.Context, user symbolon.UserID, key any) error {
	cells := w.shape.anonymised(symbolon.DeactivateRow, user)
	if len(cells) > 0 {
		cells = append(cells, w.shape.touches(w.now)...)
	}
	left, taken, err := w.setEach(ctx, user, cells)
	if err != nil {
		return err
	}
	if left = append(left, w.judge(taken)...); len(left) > 0 {
		return plainError{fmt.Errorf("column %s of user %s could not be written: %s", left[0].column, user, left[0].why)}
	}
	id := w.q.Reading.Identity.ID
	w.wrote = true
	refusal, err := w.try(ctx, func() error {
		return w.changeRow(ctx, key, []symbolon.IdentityID{id}, clearIdentity, key, string(id))
	})
	if err == nil && refusal != nil {
		err = plainError{fmt.Errorf("the row of user %s cannot lose its identity: %s", user, w.store.Dialect.describe(refusal))}
	}
	return err
}

// revive undoes the merge of a user, as far as the ledger is concerned. attach then gives the
// user its identity again.
func (w *writer) revive(ctx context.Context, user symbolon.UserID) error {
	into, id, moved, err := w.read.mergeOf(ctx, w.q.Project, user)
	if err != nil {
		return err
	}
	conflict := func(why string) error {
		return plainError{&symbolon.ConflictError{User: user, Reason: why}}
	}
	switch {
	case id != w.q.Reading.Identity.ID || w.before.State != symbolon.Also || w.before.User != into:
		return conflict("the identity is no longer a further one of the user into which it was merged")
	case moved && w.store.OnUnmerge == nil:
		return conflict("the application moved its own data in the merge, and this program has no OnUnmerge that moves it back")
	}
	if err := w.noErasure(ctx, user, into); err != nil {
		return err
	}
	came, err := collect(ctx, w.db.query, cameWith, []any{w.q.Project, string(user), string(into)}, scanOne[symbolon.IdentityID])
	if err != nil {
		return err
	}
	for _, other := range came {
		if _, err := w.db.exec(ctx, moveFurther, string(user), w.q.Project, string(other)); err != nil {
			return err
		}
		w.event(symbolon.Event{Kind: symbolon.LinkMoved, Identity: other, User: user, Before: into, Detail: w.plan.Why})
	}
	for _, text := range []string{deleteRetired, deleteMerge} {
		if _, err := w.db.exec(ctx, text, w.q.Project, string(user)); err != nil {
			return err
		}
	}
	w.movedBack = moved
	return nil
}

// mergeOf reads into which user a user was merged. An empty ID: it was not.
func (r *reader) mergeOf(ctx context.Context, project string, user symbolon.UserID) (into symbolon.UserID, id symbolon.IdentityID, moved bool, err error) {
	var n int
	err = r.db.queryRow(ctx, readMerge, project, string(user)).Scan(&into, &id, &n)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return into, id, n > 0, err
}

// callMerge calls the application's function for a merge, or for a merge that is undone.
func (w *writer) callMerge(ctx context.Context, tx *Tx) error {
	call, name, from, into := w.store.OnMerge, "on merge", w.plan.Retire, w.plan.User
	if w.movedBack {
		call, name, from, into = w.store.OnUnmerge, "on unmerge", w.plan.User, w.before.User
	} else if !w.merges() {
		return nil
	}
	if call == nil {
		return nil
	}
	if err := call(ctx, tx, from, into); err != nil {
		return plainError{fmt.Errorf("%s: %w", name, err)}
	}
	return nil
}
