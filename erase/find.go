package erase

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// person is an identity and its user. Either may be empty.
type person struct {
	identity symbolon.IdentityID
	user     symbolon.UserID
	state    symbolon.LinkState // the state of the identity's entry; empty: there is none

	further []symbolon.IdentityID // the user's further identities, also those that have ended
}

// find returns the identity and the user that belong together. In doubt it returns an
// error, so that a row is never erased because of another person's identity. The ledger and
// the row are not read in one transaction, so find reads them up to three times before it
// reports a contradiction.
func (e *Erasures) find(ctx context.Context, id string) (p person, err error) {
	if !e.Linker.Ory.HasAdmin() {
		return person{}, symbolon.ErrNoAdmin
	}
	for range 3 {
		if p, err = e.look(ctx, id); !errors.Is(err, symbolon.ErrConflict) {
			break
		}
	}
	return p, err
}

func (e *Erasures) look(ctx context.Context, id string) (person, error) {
	rec, err := e.Linker.Record(ctx, id)
	if errors.Is(err, symbolon.ErrNotFound) {
		return e.unknownToLedger(ctx, id, err)
	}
	if err != nil {
		return person{}, err
	}
	if rec.Link != nil && rec.Link.State == symbolon.Also {
		return e.lookFurther(ctx, rec)
	}
	p := fromRecord(rec, id)
	if p.user == "" {
		return p, nil
	}
	p.further = furtherOf(rec, p.identity)
	c, err := e.Users.User(ctx, e.project(), p.user)
	if err != nil {
		return person{}, err
	}
	if p.identity == "" {
		return p, nil
	}
	if p.state != symbolon.Linked && !ownedOnlyBy(c, p.identity) {
		p.user, p.further = "", nil // its former user now belongs to another identity
		return p, nil
	}
	return p, e.checkAgreement(ctx, p, c)
}

// lookFurther is look for a further identity, because a person is erased with all identities. It
// goes on by the primary identity and not by the user's ID, which may be the ID of another
// person's identity.
func (e *Erasures) lookFurther(ctx context.Context, rec symbolon.Record) (person, error) {
	user := rec.Link.User
	c, err := e.Users.User(ctx, e.project(), user)
	if err != nil {
		return person{}, err
	}
	if c.Linked != "" {
		return e.look(ctx, string(c.Linked))
	}
	return person{user: user, further: furtherOf(rec, "")}, nil // the user has no primary identity any more
}

// unknownToLedger finds an identity that Ory has but the ledger does not know yet.
func (e *Erasures) unknownToLedger(ctx context.Context, id string, unknown error) (person, error) {
	identity, err := symbolon.ParseIdentityID(id)
	if err != nil {
		return person{}, unknown
	}
	if _, err := e.Linker.Ory.Identity(ctx, identity); err != nil {
		return person{}, fmt.Errorf("ask Ory for identity %s: %w", identity, err)
	}
	return person{identity: identity}, nil
}

func fromRecord(rec symbolon.Record, id string) person {
	l := rec.Link
	if l != nil && l.State != symbolon.OnHold {
		return person{identity: l.Identity, user: l.User, state: l.State}
	}
	if asked, err := symbolon.ParseIdentityID(id); err == nil && l != nil && asked == l.Identity {
		p := person{identity: l.Identity, state: l.State} // an entry on hold may name a user, but this is no link
		if rec.Row != nil && rec.Row.Identity == l.Identity {
			p.user = rec.Row.ID
		}
		return p
	}
	if rec.Row == nil {
		return person{user: symbolon.UserID(id)} // only the user's history is left
	}
	p := person{user: rec.Row.ID}
	if identity, err := symbolon.ParseIdentityID(string(rec.Row.Identity)); err == nil && l == nil {
		p.identity = identity
	}
	return p
}

// furtherOf returns the further identities of the record's user, without the given identity.
func furtherOf(rec symbolon.Record, identity symbolon.IdentityID) (ids []symbolon.IdentityID) {
	for _, l := range rec.Also {
		if l.Identity != identity {
			ids = append(ids, l.Identity)
		}
	}
	return ids
}

// identities returns the identity, if there is one, and the further ones.
func identities(identity symbolon.IdentityID, further []symbolon.IdentityID) []symbolon.IdentityID {
	if identity == "" {
		return further
	}
	return append([]symbolon.IdentityID{identity}, further...)
}

// further returns the further identities of an erasure's user. They stay in the ledger when
// their bonds have ended, so that each step finds them again.
func (e *Erasures) further(ctx context.Context, erasure *symbolon.Erasure) ([]symbolon.IdentityID, error) {
	if erasure.User == "" {
		return nil, nil
	}
	for _, id := range []string{string(erasure.Identity), string(erasure.User)} {
		if id == "" {
			continue
		}
		rec, err := e.Linker.Record(ctx, id)
		switch l := rec.Link; {
		case errors.Is(err, symbolon.ErrNotFound):
		case err != nil:
			return nil, err
		case l == nil, l.User == erasure.User && l.State != symbolon.OnHold: // otherwise the user's ID is another person's identity
			return furtherOf(rec, erasure.Identity), nil
		}
	}
	return nil, nil
}

// ownedOnlyBy reports whether a user belongs to no other identity.
func ownedOnlyBy(c symbolon.Claimed, identity symbolon.IdentityID) bool {
	if c.Linked != "" && c.Linked != identity {
		return false
	}
	owner := c.Owner()
	return owner == "" || owner == identity
}

// checkAgreement returns an error if ledger and row contradict each other.
func (e *Erasures) checkAgreement(ctx context.Context, p person, c symbolon.Claimed) error {
	doubt := func(why string) error {
		return &symbolon.ConflictError{Identity: p.identity, User: p.user, Reason: why + "; use bind to settle which identity and user belong together, and then erase either"}
	}
	if !ownedOnlyBy(c, p.identity) {
		return doubt("the user's row or the ledger names another identity")
	}
	if c.Row != nil && c.Row.Identity == "" && p.state == symbolon.Linked {
		return doubt("the identity column of the user's row is empty, although the ledger links the two")
	}
	rec, err := e.Linker.Record(ctx, string(p.identity))
	if errors.Is(err, symbolon.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if rec.Row != nil && rec.Row.ID != p.user && rec.Row.Identity == p.identity {
		return doubt(fmt.Sprintf("the row of user %s holds the identity", rec.Row.ID))
	}
	return nil
}

// left reports whether something of a person exists again after the erasure, for example
// because a backup of Ory was restored, or because an anonymised row is to be deleted now.
func (e *Erasures) left(ctx context.Context, p person, row symbolon.RowPolicy) (bool, error) {
	for _, id := range identities(p.identity, p.further) {
		_, err := e.Linker.Ory.Identity(ctx, id)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, symbolon.ErrNotFound) {
			return false, fmt.Errorf("erase: ask Ory for identity %s: %w", id, err)
		}
		behind, err := e.leftBehind(ctx, id, p.user, row)
		if err != nil || len(behind) > 0 {
			return len(behind) > 0, err
		}
	}
	if p.user == "" {
		return false, nil
	}
	exists, columns, err := e.Users.LeftInRow(ctx, p.user, p.identity)
	if err != nil {
		return false, fmt.Errorf("erase: %w", err)
	}
	return len(columns) > 0 || exists && row == symbolon.DeleteRow, nil
}

// newID makes a random UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
