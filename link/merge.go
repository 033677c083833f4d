package link

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
)

// MergeOptions are the options of [Linker.Merge] and [Linker.Unmerge].
type MergeOptions struct {
	// Why is kept in the history, as in [symbolon.BindOptions].
	Why string

	// DryRun changes nothing, and returns what would be done.
	DryRun bool
}

// Merged is the result of a merge.
type Merged struct {
	From, Into symbolon.UserID
	Identity   symbolon.IdentityID   // it had From; now it signs in as Into
	Primary    symbolon.IdentityID   // the primary identity of Into
	Further    []symbolon.IdentityID // further identities of From, which go with it
	Done       bool                  // an earlier call did this already
}

// errChanged ends an attempt because the primary identity of a user has changed meanwhile.
var errChanged = errors.New("the user has another primary identity now")

// errApplication: the users of an application that makes them itself cannot be merged.
var errApplication = &symbolon.ConflictError{Reason: "the application makes its users itself (create_url), and Symbolon cannot move its data; " +
	"an identity that has no user yet can be bound with also"}

// bindAlso makes an identity a further one of a user.
func (l *Linker) bindAlso(ctx context.Context, id symbolon.IdentityID, user symbolon.UserID, o symbolon.BindOptions) (symbolon.Link, error) {
	if !l.Ory.HasAdmin() {
		return symbolon.Link{}, fmt.Errorf("bind: %w", symbolon.ErrNoAdmin)
	}
	for range maxRounds {
		r, err := l.read(ctx, id, symbolon.FromOperator)
		if err != nil {
			return symbolon.Link{}, l.unbindable(ctx, id, user, fmt.Errorf("bind: %w", err))
		}
		primary, err := l.primaryOf(ctx, user)
		if err != nil {
			return symbolon.Link{}, fmt.Errorf("bind: %w", err)
		}
		q := symbolon.Query{Project: l.project(), Reading: r, Claims: []symbolon.UserID{user}, Locks: present(primary)}
		out, err := l.apply(ctx, q, func(e symbolon.Evidence) (symbolon.Plan, error) {
			if e.Claims[0].Linked != primary {
				return symbolon.Plan{}, errChanged
			}
			return decide.BindAlso(r, e, user, o)
		})
		if !errors.Is(err, errChanged) {
			return l.finish(ctx, r, out, err)
		}
	}
	return symbolon.Link{}, fmt.Errorf("bind identity %s: the bonds keep changing: %w", id, symbolon.ErrUnavailable)
}

// present returns the identities that are not empty.
func present(ids ...symbolon.IdentityID) []symbolon.IdentityID {
	return slices.DeleteFunc(ids, func(id symbolon.IdentityID) bool { return id == "" })
}

// primaryOf returns the primary identity of a user, which must be active at Ory. It is empty if
// the ledger links no identity to the user; decide then says why that is a conflict.
func (l *Linker) primaryOf(ctx context.Context, user symbolon.UserID) (symbolon.IdentityID, error) {
	known, err := l.claimed(ctx, user)
	primary := known.Linked
	if err != nil || known.Row == nil || primary == "" {
		return "", err
	}
	switch identity, err := l.Ory.Identity(ctx, primary); {
	case errors.Is(err, symbolon.ErrNotFound):
		return "", &symbolon.ConflictError{User: user, Reason: fmt.Sprintf("Ory no longer has the primary identity of user %s", user)}
	case err != nil:
		return "", err
	case identity.State != symbolon.Active:
		return "", &symbolon.ConflictError{User: user, Reason: fmt.Sprintf("the primary identity of user %s is not active at Ory", user)}
	}
	return primary, nil
}

// Unlink takes a further identity from its user. The identity is on hold afterwards, until it
// is bound again. A primary identity cannot be unlinked.
//
// Errors: *ConflictError if it is not a further identity; ErrNotFound if it is unknown; ErrWhy;
// ErrUnavailable.
func (l *Linker) Unlink(ctx context.Context, id symbolon.IdentityID, why string) (symbolon.Link, error) {
	l.setup()
	if err := CheckWhy(why); err != nil {
		return symbolon.Link{}, fmt.Errorf("unlink: %w", err)
	}
	r := symbolon.Reading{Identity: symbolon.Identity{ID: id}, Source: symbolon.FromOperator}
	out, err := l.apply(ctx, symbolon.Query{Project: l.project(), Reading: r}, func(e symbolon.Evidence) (symbolon.Plan, error) {
		return decide.Unlink(r, e, why)
	})
	return l.finish(ctx, r, out, err)
}

// Merge ends the user from, because it is the same person as the user into. The identity of
// from signs in as into from now on, and so do its further identities. The row of from stays,
// deactivated and without an identity. The store's OnMerge runs in the same transaction, so
// that the application moves its data. Nothing is written at Ory. Merge is idempotent.
//
// Errors: *ConflictError if one of the users is denied, on hold, not active at Ory, being
// erased or merged already; ErrNotFound if a user does not exist; ErrNoAdmin; ErrWhy;
// ErrUnavailable.
func (l *Linker) Merge(ctx context.Context, from, into symbolon.UserID, o MergeOptions) (Merged, error) {
	l.setup()
	if err := l.checkMerge(o); err != nil {
		return Merged{}, err
	}
	if l.Store.NewID() == symbolon.ByApplication {
		return Merged{}, fmt.Errorf("merge: %w", errApplication)
	}
	for range maxRounds {
		m, err := l.merge(ctx, from, into, o)
		if !errors.Is(err, errChanged) {
			if err != nil {
				err = fmt.Errorf("merge user %s into user %s: %w", from, into, err)
			}
			return m, err
		}
	}
	return Merged{}, fmt.Errorf("merge user %s into user %s: the bonds keep changing: %w", from, into, symbolon.ErrUnavailable)
}

func (l *Linker) checkMerge(o MergeOptions) error {
	if err := CheckWhy(o.Why); err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	if !l.Ory.HasAdmin() {
		return fmt.Errorf("merge: %w", symbolon.ErrNoAdmin)
	}
	return nil
}

func (l *Linker) merge(ctx context.Context, from, into symbolon.UserID, o MergeOptions) (Merged, error) {
	m := Merged{From: from, Into: into}
	rec, err := l.Store.Record(ctx, l.project(), string(from))
	if err != nil {
		return m, err
	}
	if rec.MergedInto != "" {
		return l.mergedBefore(ctx, m, rec)
	}
	known, err := l.claimed(ctx, from)
	if err != nil {
		return m, err
	}
	if m.Identity = known.Linked; known.Row == nil || m.Identity == "" {
		return m, &symbolon.ConflictError{User: from, Reason: fmt.Sprintf("user %s has no primary identity", from)}
	}
	if m.Further, err = l.furtherOf(ctx, m.Identity); err != nil {
		return m, err
	}
	if m.Primary, err = l.primaryOf(ctx, into); err != nil {
		return m, err
	}
	r, err := l.read(ctx, m.Identity, symbolon.FromOperator)
	if err != nil {
		return m, err
	}
	q := symbolon.Query{Project: l.project(), Reading: r, Claims: []symbolon.UserID{from, into}, Locks: present(m.Primary)}
	decision := func(e symbolon.Evidence) (symbolon.Plan, error) {
		if e.Claims[1].Linked != m.Primary {
			return symbolon.Plan{}, errChanged
		}
		return decide.Merge(r, e, from, into, o.Why)
	}
	if o.DryRun {
		e, err := l.Store.Read(ctx, q)
		if err == nil {
			_, err = decision(e)
		}
		return m, err
	}
	out, err := l.apply(ctx, q, decision)
	for _, other := range m.Further {
		l.watchers.notify(other)
	}
	_, err = l.finish(ctx, r, out, err)
	return m, err
}

// mergedBefore answers a repeated merge.
func (l *Linker) mergedBefore(ctx context.Context, m Merged, rec symbolon.Record) (Merged, error) {
	m.Identity, m.Done = rec.MergedBy, true
	if rec.MergedInto != m.Into {
		return m, &symbolon.ConflictError{User: m.Into, Reason: fmt.Sprintf("user %s was merged into user %s", m.From, rec.MergedInto)}
	}
	var err error
	m.Primary, err = l.primaryOf(ctx, m.Into)
	l.watchers.notify(m.Identity)
	return m, err
}

// furtherOf returns the identities that sign in as the user of a primary identity. It goes by
// the identity, because the ID of a user may be that of another person's identity, too.
func (l *Linker) furtherOf(ctx context.Context, primary symbolon.IdentityID) (ids []symbolon.IdentityID, err error) {
	rec, err := l.Store.Record(ctx, l.project(), string(primary))
	for _, f := range rec.Also {
		if f.State == symbolon.Also {
			ids = append(ids, f.Identity)
		}
	}
	return ids, err
}

// Unmerge undoes a merge: the user from exists again, and its identity signs in as from. The
// columns that are filled from the identity are filled again; other columns that the merge
// emptied stay empty. If OnMerge ran, the store's OnUnmerge runs in the same transaction.
//
// Errors: *ConflictError if the user was not merged, if its identity no longer signs in as the
// user into which it was merged, or if OnMerge ran and the store has no OnUnmerge; ErrNotFound,
// ErrNoAdmin, ErrWhy, ErrUnavailable.
func (l *Linker) Unmerge(ctx context.Context, from symbolon.UserID, o MergeOptions) (Merged, error) {
	l.setup()
	if err := l.checkMerge(o); err != nil {
		return Merged{}, err
	}
	m, err := l.unmerge(ctx, from, o)
	if err != nil {
		err = fmt.Errorf("undo the merge of user %s: %w", from, err)
	}
	return m, err
}

func (l *Linker) unmerge(ctx context.Context, from symbolon.UserID, o MergeOptions) (Merged, error) {
	rec, err := l.Store.Record(ctx, l.project(), string(from))
	m := Merged{From: from, Into: rec.MergedInto, Identity: rec.MergedBy}
	switch {
	case err != nil:
		return m, err
	case rec.MergedInto == "":
		return m, &symbolon.ConflictError{User: from, Reason: "the user was not merged, or the merge was undone"}
	}
	r, err := l.read(ctx, m.Identity, symbolon.FromOperator)
	if err != nil {
		return m, err
	}
	q := symbolon.Query{Project: l.project(), Reading: r, Claims: []symbolon.UserID{from}}
	decision := func(e symbolon.Evidence) (symbolon.Plan, error) {
		return decide.Unmerge(r, e, from, m.Into, o.Why)
	}
	if o.DryRun {
		e, err := l.Store.Read(ctx, q)
		if err == nil {
			_, err = decision(e)
		}
		return m, err
	}
	into, err := l.claimed(ctx, m.Into)
	if err != nil {
		return m, err
	}
	further, err := l.furtherOf(ctx, into.Linked)
	if err != nil && !errors.Is(err, symbolon.ErrNotFound) { // nobody may have the user any more
		return m, err
	}
	out, err := l.apply(ctx, q, decision)
	for _, other := range further {
		l.watchers.notify(other)
	}
	out.New = false // the bond is an old one: nothing is to be done at Ory or by the application
	_, err = l.finish(ctx, r, out, err)
	return m, err
}

// Identities returns the identities of a person: the primary one first, and then the further
// ones. The id is an identity's ID or a user's. A program that revokes or purges the sessions
// of a person does so for each of them. ErrNotFound: the ID is unknown.
func (l *Linker) Identities(ctx context.Context, id string) ([]symbolon.IdentityID, error) {
	l.setup()
	rec, err := l.Store.Record(ctx, l.project(), id)
	if err != nil {
		return nil, err
	}
	return IdentitiesOf(rec), nil
}

// IdentitiesOf returns the identities of a person, the primary one first.
func IdentitiesOf(rec symbolon.Record) (ids []symbolon.IdentityID) {
	if rec.Row != nil {
		if owner, err := symbolon.ParseIdentityID(string(rec.Row.Owner())); err == nil {
			ids = append(ids, owner)
		}
	}
	if rec.Link != nil && !slices.Contains(ids, rec.Link.Identity) {
		ids = append(ids, rec.Link.Identity)
	}
	for _, f := range rec.Also {
		if !slices.Contains(ids, f.Identity) {
			ids = append(ids, f.Identity)
		}
	}
	return ids
}
