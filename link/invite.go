package link

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
	"github.com/symbolon-id/symbolon/mint"
)

const (
	// DefaultInviteLife is how long an invite is valid by default: enough for a guest who signs up.
	DefaultInviteLife = time.Hour

	// MaxInviteLife is the longest life of an invite.
	MaxInviteLife = 30 * 24 * time.Hour
)

// ErrInviteLife: an invite cannot be valid for so long.
var ErrInviteLife = errors.New("an invite must be valid for 1 second to 30 days (720h)")

// Invite lets one person sign up as an existing user that has no identity. Anybody who
// has the text can do so, until the user has an identity or the invite expires.
type Invite struct {
	User    symbolon.UserID `json:"user_id"`
	Text    string          `json:"invite"` // for transient_payload.symbolon_invite of the sign-up form
	Expires time.Time       `json:"expires_at"`
}

// Invite makes an invite for an existing user. A life of 0 is DefaultInviteLife. Nothing is
// stored. The reserve hook accepts the invite, so Ory must have that hook.
//
// Errors: ErrNotFound if the user has no row; a *ConflictError says why the user cannot be
// invited: it has an identity, it was deleted, it is denied, or its former identity is on hold;
// ErrInviteLife; ErrUnavailable.
func (l *Linker) Invite(ctx context.Context, user symbolon.UserID, life time.Duration) (Invite, error) {
	l.setup()
	if life == 0 {
		life = DefaultInviteLife
	}
	if life < time.Second || life > MaxInviteLife {
		return Invite{}, fmt.Errorf("invite user %s: %w", user, ErrInviteLife)
	}
	known, err := l.claimed(ctx, user)
	if err != nil {
		return Invite{}, fmt.Errorf("invite user %s: %w", user, err)
	}
	if known.Row != nil {
		user = known.Row.ID // in the table's spelling
	} else if !known.Retired && known.Linked == "" && (l.Store.NewID() != symbolon.ByApplication || !decide.IsKey(string(user))) {
		return Invite{}, fmt.Errorf("invite user %s: it has no row in the users table: %w", user, symbolon.ErrNotFound)
	}
	why := decide.Uninvitable(known, l.Store.NewID())
	if why == "" {
		why, err = l.heldUser(ctx, user)
	}
	switch {
	case err != nil:
		return Invite{}, fmt.Errorf("invite user %s: %w", user, err)
	case why != "":
		return Invite{}, &UninvitableError{User: user, Reason: why}
	}
	expires := l.now().Add(life).UTC().Truncate(time.Second)
	text, err := l.minter.Invite(user, expires)
	return Invite{User: user, Text: text, Expires: expires}, err
}

// UninvitableError says why a user cannot be invited. It matches ErrConflict.
type UninvitableError struct {
	User   symbolon.UserID
	Reason string
}

func (e *UninvitableError) Error() string {
	return fmt.Sprintf("user %s cannot be invited: %s", e.User, e.Reason)
}

// Is makes the error match ErrConflict.
func (e *UninvitableError) Is(target error) bool { return target == symbolon.ErrConflict }

// claimed reads what the store knows of a user, as a decision about a new identity reads it.
func (l *Linker) claimed(ctx context.Context, user symbolon.UserID) (symbolon.Claimed, error) {
	nobody := symbolon.Identity{ID: symbolon.IdentityID(l.Mint())} // an identity that nobody has
	e, err := l.Store.Read(ctx, symbolon.Query{Project: l.project(), Reading: symbolon.Reading{Identity: nobody}, Claims: []symbolon.UserID{user}})
	if err != nil || len(e.Claims) == 0 {
		return symbolon.Claimed{}, err
	}
	return e.Claims[0], nil
}

// heldUser says which identity on hold had the user last. It returns "" if there is none.
func (l *Linker) heldUser(ctx context.Context, user symbolon.UserID) (string, error) {
	rec, err := l.Store.Record(ctx, l.project(), string(user))
	switch {
	case errors.Is(err, symbolon.ErrNotFound):
		return "", nil
	case err != nil:
		return "", err
	case rec.Link != nil && rec.Link.User == user && rec.Link.State == symbolon.OnHold:
		return fmt.Sprintf("identity %s had the user and is on hold; decide with symbolon bind", rec.Link.Identity), nil
	}
	return "", nil
}

// ReserveInvited is [Linker.Reserve] for a sign-up form with an invite. The text comes from a
// stranger's browser. If the invite is valid, the identity gets the ID of the invite's user, and
// the proof that the invite was used. An invite that is not valid gives what Reserve gives.
//
// The link uses the invite up, not this call, because Ory may still refuse the sign-up. If the
// store does not answer within a second, the proof goes without the ID, and the link decides.
func (l *Linker) ReserveInvited(ctx context.Context, id symbolon.Identity, invite string) (Reservation, error) {
	l.setup()
	i, ok := l.minter.ReadInvite(invite)
	if !ok || !decide.IsKey(string(i.User)) {
		return l.Reserve(ctx, id)
	}
	now := l.now()
	why, err := l.unusable(ctx, i, now)
	if err == nil && why != "" {
		return l.refuseInvite(ctx, id, i.User, why)
	}
	out := Reservation{User: i.User, Accepted: true}
	if err != nil {
		l.log().Warn("reserve: the user of an invite could not be read; the link decides", "error", err)
		out.User = ""
	}
	out.Invited, err = l.minter.Invited(mint.Invitation{User: i.User, At: now})
	return out, err
}

// unusable says why an invite of this project cannot be used now. It returns "" if it can.
func (l *Linker) unusable(ctx context.Context, i mint.Invitation, now time.Time) (string, error) {
	if !now.Before(i.At) {
		return "the invite has expired", nil
	}
	ctx, cancel := context.WithTimeout(ctx, drawTimeout)
	defer cancel()
	known, err := l.claimed(ctx, i.User)
	return decide.Uninvitable(known, l.Store.NewID()), err
}

// refuseInvite reserves an ID for a new user, and records beside it that an invite was refused.
func (l *Linker) refuseInvite(ctx context.Context, id symbolon.Identity, user symbolon.UserID, why string) (Reservation, error) {
	l.log().Info("reserve: an invite was refused; the person gets a user of their own", "user", user, "why", why)
	refused, err := l.minter.Invited(mint.Invitation{User: user})
	if err != nil {
		return Reservation{}, err
	}
	out, err := l.Reserve(ctx, id)
	if err != nil {
		l.log().Warn("reserve: no ID could be drawn from the database", "error", err)
		out = Reservation{}
	}
	out.Invited = refused
	return out, nil
}
