package link

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
)

// Write says when Symbolon may write a back-reference at Ory.
type Write string

const (
	WriteNone    Write = "none"    // never
	WriteReserve Write = "reserve" // only in the identity's own insert, by the reserve hook. The default
	WriteCreate  Write = "create"  // also by one PATCH right after a new identity is linked
	WriteRepair  Write = "repair"  // also by one PATCH later, if nobody has touched the identity for ten minutes
)

// BackReference says whether and how the user's ID gets into the identity. The zero
// value is metadata_public.id, written under WriteReserve. A value that is there already
// is never overwritten, and no other path is written.
//
// Danger: Ory carries a PATCH out by rewriting the whole identity without a lock. A ban or
// a new password that is written at the same moment is lost, although Ory answers it with
// 200. WriteReserve sends no PATCH. WriteCreate patches an identity in its first minute
// only; in a test it still undid 2 of 40 bans and 2 of 20 verifications of that minute.
// WriteRepair takes the risk later, too. docs/back-reference.md has the measurements.
type BackReference struct {
	Key   string // one key below metadata_public; "id" by default
	Write Write  // WriteReserve by default

	// ExternalID also sets external_id in the reserve hook: Kratos v25.4 and newer.
	ExternalID bool
}

// WithDefaults returns b with its empty fields filled.
func (b BackReference) WithDefaults() BackReference {
	b.Key, b.Write = cmp.Or(b.Key, "id"), cmp.Or(b.Write, WriteReserve)
	return b
}

// Patches reports whether IDs are written into identities that exist already.
func (b BackReference) Patches() bool {
	write := b.WithDefaults().Write
	return write == WriteCreate || write == WriteRepair
}

const (
	// createWindow is how long after its creation an identity may be patched. Most bans,
	// password changes and verifications come later, but not all of them.
	createWindow = time.Minute

	// settleTime is how long an identity must be untouched before a later PATCH.
	settleTime = 10 * time.Minute
)

// Wrote is the result of writing a back-reference.
type Wrote string

const (
	WroteNow  Wrote = "written"  // it was written, read back, and is in the ledger
	Stands    Wrote = "stands"   // it was there already, and is in the ledger
	LeftAlone Wrote = "left"     // another value is there, which is never overwritten
	TooLate   Wrote = "late"     // the identity's first minute is over
	TooSoon   Wrote = "soon"     // somebody changed the identity, or signed in with it, in the last ten minutes: try later
	NoBond    Wrote = "unlinked" // the identity has no user in the ledger, or Ory has no such identity
)

// WantsBackReference reports whether a bond that was just made needs a call of
// [Linker.WriteBackReference]: the policy writes, the identity is new, and the reading
// shows no value. An adopted bond never needs one, because it can be undone.
// WantsBackReference makes no request, so it may be called inside a transaction.
func (l *Linker) WantsBackReference(r symbolon.Reading, link symbolon.Link) bool {
	b := l.BackReference.WithDefaults()
	return b.Patches() && r.Source != symbolon.FromAdopt && l.Ory.HasAdmin() && link.State == symbolon.Linked &&
		inCreateWindow(r.Identity, l.now()) && !decide.MetadataClaim(r.Identity.MetadataPublic, b.Key).Present()
}

func inCreateWindow(i symbolon.Identity, now time.Time) bool {
	age := now.Sub(i.CreatedAt)
	return age < createWindow && age > -createWindow
}

// WriteBackReference writes the user's ID into the identity, if the identity is in its
// first minute and has no value yet. This is the PATCH of WriteCreate. It reads the
// identity before and after, because the answer to a PATCH proves nothing. The call may be
// repeated.
//
// After an error it is not known whether the value is there. Try again until the result is
// [TooLate].
func (l *Linker) WriteBackReference(ctx context.Context, id symbolon.IdentityID) (Wrote, error) {
	return l.writeBack(ctx, id, func(_ context.Context, i symbolon.Identity) (Wrote, error) {
		if !inCreateWindow(i, l.now()) {
			return TooLate, nil
		}
		return "", nil
	})
}

// RepairBackReference writes the user's ID into the identity after its first minute. This
// is the PATCH of WriteRepair. It returns [TooSoon] if Ory shows a change or a sign-in of
// the past ten minutes; Kratos v1.3.1 shows only changes of the state and of addresses.
// Everything else is as in [Linker.WriteBackReference]. The value in Linker.Ory must have a
// method LastSignIn, as *ory.Client has.
//
// Danger: a change of the identity at the moment of the write can be lost.
func (l *Linker) RepairBackReference(ctx context.Context, id symbolon.IdentityID) (Wrote, error) {
	return l.writeBack(ctx, id, l.settled)
}

// signIns is what RepairBackReference needs of Ory in addition.
type signIns interface {
	// LastSignIn returns when somebody last signed in as the identity, or the zero time.
	LastSignIn(ctx context.Context, id symbolon.IdentityID) (time.Time, error)
}

// settled returns TooSoon if somebody has touched the identity within settleTime.
func (l *Linker) settled(ctx context.Context, i symbolon.Identity) (Wrote, error) {
	since := l.now().Add(-settleTime)
	if i.CreatedAt.After(since) || i.ChangedAt.After(since) {
		return TooSoon, nil
	}
	ory, ok := l.Ory.(signIns)
	if !ok {
		return "", errors.New("the value in Linker.Ory has no method LastSignIn, which a repair needs")
	}
	last, err := ory.LastSignIn(ctx, i.ID)
	if err != nil {
		return "", fmt.Errorf("ask for the last sign-in: %w", err)
	}
	if last.After(since) {
		return TooSoon, nil
	}
	return "", nil
}

// writeBack reads the identity, patches it, and reads it back. It does not patch if the
// identity has a value, or if the function allowed returns a reason against it.
func (l *Linker) writeBack(ctx context.Context, id symbolon.IdentityID, allowed func(context.Context, symbolon.Identity) (Wrote, error)) (Wrote, error) {
	l.setup()
	user, err := l.linkedUser(ctx, id)
	if err != nil || user == "" {
		return NoBond, err
	}
	found, before, err := l.readValue(ctx, id, user)
	if err != nil {
		return "", fmt.Errorf("read before writing: %w", err)
	}
	if found == "" {
		found, err = allowed(ctx, before)
	}
	if found != "" || err != nil {
		return found, err
	}
	_, failure := l.Ory.AddPublicMetadata(ctx, id, l.BackReference.WithDefaults().Key, string(user))
	found, _, err = l.readValue(ctx, id, user)
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

// linkedUser returns the user whom the ledger links to the identity, or "".
func (l *Linker) linkedUser(ctx context.Context, id symbolon.IdentityID) (symbolon.UserID, error) {
	e, err := l.Store.Read(ctx, symbolon.Query{Project: l.project(), Reading: symbolon.Reading{Identity: symbolon.Identity{ID: id}}})
	if err != nil {
		return "", fmt.Errorf("read the ledger: %w", err)
	}
	if e.Link == nil || e.Link.State != symbolon.Linked {
		return "", nil
	}
	return e.Link.User, nil
}

// readValue reads the identity's back-reference at Ory. If the value is the user's ID,
// readValue records this in the ledger and returns Stands. It returns LeftAlone for any
// other value, and "" if there is none.
func (l *Linker) readValue(ctx context.Context, id symbolon.IdentityID, user symbolon.UserID) (Wrote, symbolon.Identity, error) {
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
	return Stands, i, l.applyIfLinked(ctx, id, user, symbolon.Plan{Action: symbolon.Confirm, User: user, BackReference: string(user)})
}

// MissBackReference records the finding [symbolon.MissingBackReference], because the
// write was given up. It records nothing if the bond has ended meanwhile or the value
// was seen at Ory.
func (l *Linker) MissBackReference(ctx context.Context, id symbolon.IdentityID) error {
	l.setup()
	user, err := l.linkedUser(ctx, id)
	if err != nil || user == "" {
		return err
	}
	return l.applyIfLinked(ctx, id, user, symbolon.Plan{Action: symbolon.Keep, Findings: []symbolon.Finding{{Kind: symbolon.MissingBackReference, Identity: id, User: user,
		Detail: "the user's ID could not be written to the identity; a repair writes it; only programs that read it from the identity depend on it"}}})
}

// applyIfLinked applies the plan if the identity is still linked to user.
func (l *Linker) applyIfLinked(ctx context.Context, id symbolon.IdentityID, user symbolon.UserID, plan symbolon.Plan) error {
	r := symbolon.Reading{Identity: symbolon.Identity{ID: id}}
	out, err := l.apply(ctx, symbolon.Query{Project: l.project(), Reading: r}, func(e symbolon.Evidence) (symbolon.Plan, error) {
		if e.Link == nil || e.Link.State != symbolon.Linked || e.Link.User != user || plan.Action == symbolon.Keep && e.Link.BackReference == string(user) {
			return symbolon.Plan{Action: symbolon.Keep}, nil
		}
		return plan, nil
	})
	if err != nil {
		return fmt.Errorf("record the back-reference: %w", err)
	}
	l.logOutcome(r, out)
	return nil
}
