package link

import (
	"context"
	"time"

	"github.com/symbolon-id/symbolon"
)

// Reservation is the ID of a user that does not exist yet, or of an invited user. The identity carries it in
// metadata_public, below BackReference.Key.
type Reservation struct {
	User symbolon.UserID // empty: no ID is to be reserved

	// Proof proves that the ID was reserved, if the ID cannot prove this by itself. The
	// identity carries it beside the ID, below mint.ReservedKey(BackReference.Key).
	Proof string

	// Invited is the proof that an invite was used, or refused. The identity carries it below
	// mint.InvitedKey(BackReference.Key). With Accepted the invite is valid: User, if it is not
	// empty, is an existing user, and external_id must not be set, because two identities that
	// sign up with one invite at once would collide there.
	Invited  string
	Accepted bool
}

// drawTimeout is how long drawing an ID may take, because a sign-up waits for it.
const drawTimeout = time.Second

// drawer is what Reserve needs of a store whose database makes the IDs.
type drawer interface {
	// Draw takes the ID of a future user from the database. It returns "" if the IDs
	// cannot be drawn before their rows exist.
	Draw(ctx context.Context) (symbolon.UserID, error)
}

// Reserve reserves the ID of a future user for an identity that Ory is about to store. The
// identity needs only what Linker.When looks at. An identity whose schema gets no users gets no
// ID, and none is drawn for an identity that is not eligible yet. A minted ID costs nothing. An ID that the
// database makes is drawn from it if the store has a method Draw, as *sqlstore.Store has; a
// drawn ID that is never used leaves a gap. Drawing takes a second at most.
func (l *Linker) Reserve(ctx context.Context, id symbolon.Identity) (Reservation, error) {
	l.setup()
	if !l.When.AdmitsSchema(id) {
		return Reservation{}, nil
	}
	switch newID := l.Store.NewID(); {
	case newID == symbolon.ByMint:
		return Reservation{User: l.Mint()}, nil
	case newID == symbolon.ByDatabase:
		if l.When.Admits(id) {
			return l.draw(ctx)
		}
	case newID.Proved() && !l.lacksMaker():
		return l.proved(l.maker()())
	}
	return Reservation{}, nil
}

// proved adds the proof to an ID that cannot prove anything by itself.
func (l *Linker) proved(user symbolon.UserID) (Reservation, error) {
	if user == "" {
		return Reservation{}, nil
	}
	proof, err := l.minter.Reserve(user)
	if err != nil {
		return Reservation{}, err
	}
	return Reservation{User: user, Proof: proof}, nil
}

func (l *Linker) draw(ctx context.Context) (Reservation, error) {
	store, ok := l.Store.(drawer)
	if !ok {
		return Reservation{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, drawTimeout)
	defer cancel()
	user, err := store.Draw(ctx)
	if err != nil {
		return Reservation{}, err
	}
	return l.proved(user)
}
