package link

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
)

// Write says what may be written at Ory.
type Write string

const (
	WriteNone    Write = "none"    // nothing at all
	WriteReserve Write = "reserve" // only inside the identity's own insert, by the reserve hook
	WriteCreate  Write = "create"  // and one PATCH right after a link is made for a new identity. The default
	WriteRepair  Write = "repair"  // and one at any later time, where nobody has touched the identity for ten minutes
)

// BackReference says whether and how the user's ID gets into the identity. The
// zero value is metadata_public.id, written as WriteCreate says.
//
// A PATCH at Ory rewrites the whole identity without a lock: together with an
// administrator's ban or a password change in the same moment it undoes them. So
// under WriteCreate one is only ever sent for an identity younger than a minute;
// under WriteRepair that risk is taken, and docs/back-reference.md says how large
// it is. Never over a value that is there already, and never to another path.
type BackReference struct {
	Key   string // one key below metadata_public; "id" by default
	Write Write  // WriteCreate by default

	// ExternalID also sets external_id in the reserve hook: Kratos v25.4 and newer.
	ExternalID bool
}

// WithDefaults returns b with its empty fields filled.
func (b BackReference) WithDefaults() BackReference {
	if b.Key == "" {
		b.Key = "id"
	}
	if b.Write == "" {
		b.Write = WriteCreate
	}
	return b
}

const (
	// youth is how long after its creation an identity may be patched: nobody bans a
	// person, changes its password or verifies its address in the first minute.
	createWindow = time.Minute

	// quiet is how long nobody may have touched an identity that is patched later.
	settleTime = 10 * time.Minute
)

// Wrote says what became of a back-reference.
type Wrote string

const (
	WroteNow  Wrote = "written"  // it was written, read back, and is in the ledger
	Stands    Wrote = "stands"   // it stood there already, and is in the ledger
	LeftAlone Wrote = "left"     // something else stands at its path: never written over
	TooLate   Wrote = "late"     // the identity's first minute is over
	TooSoon   Wrote = "soon"     // the identity was changed or signed in within ten minutes: ask again
	NoBond    Wrote = "unlinked" // the ledger binds nobody to the identity, or Ory has no such identity
)

// WantsBackReference reports whether the policy asks for [Linker.WriteBackReference]
// after a bond that was just made: of a new identity at which Ory was not seen to
// hold anything, and not of an adopted one, since that can be undone. It asks nobody, and may be called inside the transaction.
func (l *Linker) WantsBackReference(seen symbolon.Reading, link symbolon.Link) bool {
	b := l.BackReference.WithDefaults()
	return (b.Write == WriteCreate || b.Write == WriteRepair) && seen.Source != symbolon.FromAdopt && l.Ory.HasAdmin() && link.State == symbolon.Linked &&
		young(seen.Identity, l.now()) && !decide.MetadataClaim(seen.Identity.MetadataPublic, b.Key).Present()
}

func young(i symbolon.Identity, now time.Time) bool {
	age := now.Sub(i.CreatedAt)
	return age < createWindow && age > -createWindow
}

// WriteBackReference makes the one write of WriteCreate: the user's ID into the
// identity, in its first minute, where nothing stands. It reads the identity before
// and after, since the answer to a PATCH proves nothing, and may be repeated.
// An error says that it is not known to stand there: try again, until [TooLate].
func (l *Linker) WriteBackReference(ctx context.Context, id symbolon.IdentityID) (Wrote, error) {
	return l.writeBack(ctx, id, func(_ context.Context, i symbolon.Identity) (Wrote, error) {
		if !young(i, l.now()) {
			return TooLate, nil
		}
		return "", nil
	})
}

// RepairBackReference makes one write of WriteRepair: at any time after the
// identity's creation, where nothing stands, and not while somebody may be at work on
// it: [TooSoon] where Ory shows a change (Kratos v1.3.1 shows only those of the
// state and of addresses) or a sign-in of the past ten minutes. What is changed in
// the very moment of the write can be undone all the same. In everything else as
// [Linker.WriteBackReference]. It needs an Ory that can tell of sign-ins, as
// *ory.Client can.
func (l *Linker) RepairBackReference(ctx context.Context, id symbolon.IdentityID) (Wrote, error) {
	return l.writeBack(ctx, id, l.atRest)
}

// signIns is what RepairBackReference asks of Ory besides.
type signIns interface {
	// LastSignIn is when somebody last proved to be the identity; zero: never.
	LastSignIn(ctx context.Context, id symbolon.IdentityID) (time.Time, error)
}

func (l *Linker) atRest(ctx context.Context, i symbolon.Identity) (Wrote, error) {
	since := l.now().Add(-settleTime)
	if i.CreatedAt.After(since) || i.ChangedAt.After(since) {
		return TooSoon, nil
	}
	teller, ok := l.Ory.(signIns)
	if !ok {
		return "", errors.New("this Ory cannot tell of sign-ins, without which nothing is repaired")
	}
	last, err := teller.LastSignIn(ctx, i.ID)
	if err != nil {
		return "", fmt.Errorf("ask for the last sign-in: %w", err)
	}
	if last.After(since) {
		return TooSoon, nil
	}
	return "", nil
}

// writeBack reads the identity once more, patches it if nothing stands there yet
// and may agrees, and reads it back.
func (l *Linker) writeBack(ctx context.Context, id symbolon.IdentityID, may func(context.Context, symbolon.Identity) (Wrote, error)) (Wrote, error) {
	l.setup()
	user, err := l.bound(ctx, id)
	if err != nil || user == "" {
		return NoBond, err
	}
	found, before, err := l.standing(ctx, id, user)
	if err != nil {
		return "", fmt.Errorf("read before writing: %w", err)
	}
	if found == "" {
		found, err = may(ctx, before)
	}
	if found != "" || err != nil {
		return found, err
	}
	_, failure := l.Ory.AddPublicMetadata(ctx, id, l.BackReference.WithDefaults().Key, string(user))
	found, _, err = l.standing(ctx, id, user)
	switch {
	case err != nil:
		return "", fmt.Errorf("read back: %w", err)
	case found == Stands:
		return WroteNow, nil // whatever the answer to the PATCH was
	case found != "":
		return found, nil
	case failure != nil:
		return "", fmt.Errorf("write: %w", failure)
	}
	return "", errors.New("the value is not there after the write: somebody wrote the identity at the same moment")
}

// bound is the user of the ledger's living bond, or empty.
func (l *Linker) bound(ctx context.Context, id symbolon.IdentityID) (symbolon.UserID, error) {
	held, err := l.Store.Read(ctx, symbolon.Query{Project: l.project(), Reading: symbolon.Reading{Identity: symbolon.Identity{ID: id}}})
	if err != nil {
		return "", fmt.Errorf("look for the bond: %w", err)
	}
	if held.Link == nil || held.Link.State != symbolon.Linked {
		return "", nil
	}
	return held.Link.User, nil
}

// standing reads what stands at the identity: nothing (""), ours (and the ledger
// is told), or something else.
func (l *Linker) standing(ctx context.Context, id symbolon.IdentityID, user symbolon.UserID) (Wrote, symbolon.Identity, error) {
	i, err := l.Ory.Identity(ctx, id)
	if errors.Is(err, symbolon.ErrNotFound) {
		return NoBond, i, nil
	}
	if err != nil {
		return "", i, err
	}
	switch c := decide.MetadataClaim(i.MetadataPublic, l.BackReference.WithDefaults().Key); {
	case !c.Present():
		return "", i, nil
	case c.User != user:
		return LeftAlone, i, nil
	}
	return Stands, i, l.confirm(ctx, id, user)
}

// confirm remembers in the ledger that Ory holds our value.
func (l *Linker) confirm(ctx context.Context, id symbolon.IdentityID, user symbolon.UserID) error {
	return l.note(ctx, id, user, symbolon.Plan{Action: symbolon.Confirm, User: user, BackReference: string(user)})
}

// MissBackReference records the finding [symbolon.MissingBackReference]: the write was given
// up. Where the bond has ended meanwhile, or the value was seen, nothing is recorded.
func (l *Linker) MissBackReference(ctx context.Context, id symbolon.IdentityID) error {
	l.setup()
	user, err := l.bound(ctx, id)
	if err != nil || user == "" {
		return err
	}
	return l.note(ctx, id, user, symbolon.Plan{Action: symbolon.Keep, Findings: []symbolon.Finding{{Kind: symbolon.MissingBackReference, Identity: id, User: user,
		Detail: "the user's ID could not be written to the identity; a repair writes it, and nothing but readers of the identity depends on it"}}})
}

// note carries plan out where user is still the identity's.
func (l *Linker) note(ctx context.Context, id symbolon.IdentityID, user symbolon.UserID, plan symbolon.Plan) error {
	seen := symbolon.Reading{Identity: symbolon.Identity{ID: id}}
	out, err := l.carryOut(ctx, symbolon.Query{Project: l.project(), Reading: seen}, func(h symbolon.Evidence) (symbolon.Plan, error) {
		if h.Link == nil || h.Link.State != symbolon.Linked || h.Link.User != user || plan.Action == symbolon.Keep && h.Link.BackReference == string(user) {
			return symbolon.Plan{Action: symbolon.Keep}, nil
		}
		return plan, nil
	})
	if err != nil {
		return fmt.Errorf("remember the back-reference: %w", err)
	}
	l.report(seen, out)
	return nil
}
