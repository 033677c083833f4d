package erase

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// person is whom an ID names: one half may be empty.
type person struct {
	identity symbolon.IdentityID
	user     symbolon.UserID
	state    symbolon.LinkState // of the identity's entry; empty: none
}

// find says which halves belong together, and refuses where that is in doubt: nobody's
// row is erased because of another's identity. Ledger and row are not read in one
// moment, and somebody may be at work on the same person: a doubt has to last.
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
		return e.unheard(ctx, id, err)
	}
	if err != nil {
		return person{}, err
	}
	p := halves(rec, id)
	if p.user == "" {
		return p, nil
	}
	c, err := e.Users.User(ctx, e.project(), p.user)
	if err != nil {
		return person{}, err
	}
	if p.identity == "" {
		return p, nil
	}
	if p.state != symbolon.Linked && !mine(c, p.identity) {
		p.user = "" // its former user is another's by now
		return p, nil
	}
	return p, e.agree(ctx, p, c)
}

// unheard is an identity that nobody here knows yet and Ory has.
func (e *Erasures) unheard(ctx context.Context, id string, unknown error) (person, error) {
	identity, err := symbolon.ParseIdentityID(id)
	if err != nil {
		return person{}, unknown
	}
	if _, err := e.Linker.Ory.Identity(ctx, identity); err != nil {
		return person{}, fmt.Errorf("ask Ory for identity %s: %w", identity, err)
	}
	return person{identity: identity}, nil
}

func halves(rec symbolon.Record, id string) person {
	if rec.Link == nil {
		p := person{user: symbolon.UserID(id)} // only its history is left
		if rec.Row != nil {
			p.user = rec.Row.ID
			if identity, err := symbolon.ParseIdentityID(string(rec.Row.Identity)); err == nil {
				p.identity = identity
			}
		}
		return p
	}
	l := rec.Link
	if l.State != symbolon.OnHold {
		return person{identity: l.Identity, user: l.User, state: l.State}
	}
	// What an entry on hold remembers of a user is no bond.
	if asked, err := symbolon.ParseIdentityID(id); err != nil || asked != l.Identity {
		p := person{user: symbolon.UserID(id)}
		if rec.Row != nil {
			p.user = rec.Row.ID
		}
		return p
	}
	p := person{identity: l.Identity, state: l.State}
	if rec.Row != nil && rec.Row.Identity == l.Identity {
		p.user = rec.Row.ID
	}
	return p
}

// mine reports whether a user is nobody's but this identity's.
func mine(c symbolon.Claimed, identity symbolon.IdentityID) bool {
	if c.Linked != "" && c.Linked != identity {
		return false
	}
	owner := c.Owner()
	return owner == "" || owner == identity
}

// agree refuses where ledger and row contradict each other.
func (e *Erasures) agree(ctx context.Context, p person, c symbolon.Claimed) error {
	doubt := func(why string) error {
		return &symbolon.ConflictError{Identity: p.identity, User: p.user, Reason: why + "; bind settles which halves belong together, and then either can be erased"}
	}
	if !mine(c, p.identity) {
		return doubt("the user's row or the ledger names another identity")
	}
	if c.Row != nil && c.Row.Identity == "" && p.state == symbolon.Linked {
		return doubt("the identity column of the user's row is empty, though the ledger binds it")
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

// left reports whether something of a person is there again, or still, after its
// erasure: a backup of Ory was restored; or the row that was anonymised is to be deleted.
func (e *Erasures) left(ctx context.Context, p person, row symbolon.RowPolicy) (bool, error) {
	if p.identity != "" {
		_, err := e.Linker.Ory.Identity(ctx, p.identity)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, symbolon.ErrNotFound) {
			return false, fmt.Errorf("erase: ask Ory for identity %s: %w", p.identity, err)
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
