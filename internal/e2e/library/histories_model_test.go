package library

import (
	"slices"

	"github.com/symbolon-id/symbolon"
)

// truth is the model of a history: which user each person has, and which rows exist. It knows
// the rules of the documentation, and nothing of the ledger.
type truth struct {
	people []*person
	users  []*appUser

	recreate bool // on_user_deleted
	gone     symbolon.RowPolicy
	when     bool // only people with a verified address get a user
}

// bond is what connects a person with a user.
type bond string

const (
	unread    bond = ""          // Symbolon has not read the identity yet
	linked    bond = "linked"    // the person has a user
	forgotten bond = "forgotten" // the application said that it deletes the user
	gone      bond = "gone"      // it was proved that Ory has no such identity
	erased    bond = "erased"
	moved     bond = "moved"     // the operator gave the user to somebody else
	recreated bond = "recreated" // claims the user of an identity that Ory no longer has
)

// person is an identity at Ory.
type person struct {
	name  string // unique, and never changes; the name in the traits is another one
	id    symbolon.IdentityID
	token string // of the person's session

	atOry, active, verified bool
	email                   string

	reserved symbolon.UserID // the ID in the person's metadata
	voucher  *appUser        // the user that a voucher in the person's metadata names
	claimed  *appUser        // the user because of whose identity the person is on hold

	bond   bond
	user   *appUser
	cached string // the answer that the verifier gave last; it may repeat this answer until a purge
	purged bool   // the answer that the verifier gave last was purged
}

// appUser is a user of the application, with its row.
type appUser struct {
	why   string          // why there is such a user
	id    symbolon.UserID // empty: not seen yet
	email string          // the address with which the application made the row itself

	row     bool
	owner   *person // the row or the ledger names this person's identity
	freed   bool    // the application has emptied the row's identity column
	last    *person // had the user last
	retired bool    // the ID is never given to anybody again
	emptied bool    // the row was anonymised

	suspended, deleted bool // the application's columns
}

// GoString is what a failure shows of a drawn person.
func (p *person) GoString() string { return p.name }

// GoString is what a failure shows of a drawn user.
func (u *appUser) GoString() string { return "user " + string(u.id) }

// denied is the code with which the row denies its user.
func (u *appUser) denied() string {
	switch {
	case u.deleted:
		return "user_gone" // the first one in the alphabet
	case u.suspended:
		return "user_suspended"
	}
	return ""
}

// hasRow reports whether ledger and row agree about the person's user.
func (p *person) hasRow() bool { return p.bond == linked && p.user.row && !p.user.freed }

// eligible reports whether the person may get a new user.
func (m *truth) eligible(p *person) bool { return p.verified || !m.when }

// read is the effect of a reading of the identity by a hook or a request.
func (m *truth) read(p *person) {
	switch {
	case !p.atOry:
	case p.bond == unread, p.bond == recreated:
		m.decide(p)
	case p.bond == linked && !p.user.row, p.bond == forgotten:
		if m.recreate && m.eligible(p) {
			p.user.retired, p.user.owner = true, nil
			m.give(p, m.newUser("a new user for a deleted one of "+p.name))
			p.purge()
		}
	case p.hasRow() && !p.active:
		p.purge()
	}
}

// claims are the users that the person's metadata names, the strongest first.
func (m *truth) claims(p *person) (all []*appUser) {
	if u := m.byID(p.reserved); u != nil && p.reserved != "" {
		all = append(all, u)
	}
	if p.voucher != nil {
		all = append(all, p.voucher)
	}
	return all
}

// filled is the user into whose row the application itself wrote the identity of somebody whom
// Symbolon has not read yet.
func (m *truth) filled(p *person) *appUser {
	for _, u := range m.users {
		if u.owner == p && p.user != u {
			return u
		}
	}
	return nil
}

// decide gives a user to somebody who has none.
func (m *truth) decide(p *person) {
	reserved, v := m.byID(p.reserved), p.voucher
	if u := m.filled(p); u != nil {
		m.give(p, u)
		return
	}
	switch free := reserved == nil || !reserved.row && reserved.owner == nil && !reserved.retired; {
	case p.reserved != "" && free:
		if !m.eligible(p) {
			return
		}
		if reserved == nil {
			reserved = m.newUser("the reserved ID of " + p.name)
		}
		reserved.id, reserved.row = p.reserved, true
		m.give(p, reserved)
		return
	case v != nil && v.row && v.owner == nil && !v.retired:
		m.give(p, v)
		return
	}
	if !m.eligible(p) {
		return
	}
	for _, u := range m.claims(p) {
		if u.owner != nil && u.owner != p && !u.owner.atOry {
			if p.bond != recreated {
				p.bond, p.user, p.claimed = recreated, nil, u
			}
			return
		}
	}
	m.give(p, m.newUser("the first sight of "+p.name))
}

func (m *truth) newUser(why string) *appUser {
	u := &appUser{why: why, row: true}
	m.users = append(m.users, u)
	return u
}

func (m *truth) byID(id symbolon.UserID) *appUser {
	for _, u := range m.users {
		if u.id == id {
			return u
		}
	}
	return nil
}

func (m *truth) give(p *person, u *appUser) {
	p.bond, p.user = linked, u
	u.owner, u.last, u.freed = p, p, false
}

// answer is the answer to a request of the person, after the identity was read.
func (m *truth) answer(p *person) string {
	switch {
	case !p.atOry, !p.active:
		return signedOut
	case p.hasRow() && p.user.denied() != "":
		return p.user.denied()
	case p.hasRow():
		return "user " + string(p.user.id)
	case p.bond == linked && !p.user.row, p.bond == forgotten:
		return "user_gone"
	case p.bond == unread:
		return "not_eligible"
	}
	return "link_on_hold"
}

// signedOut is the answer to somebody who has no session at Ory.
const signedOut = "unauthenticated"

// purge says that no cache may repeat an earlier answer. Purges are about identities, so they
// do not concern a session that belongs to none.
func (p *person) purge() {
	if p.cached != signedOut && p.cached != "" {
		p.cached, p.purged = "", true
	}
}

// forget is the application's deletion of a user. told says that Symbolon was told.
func (m *truth) forget(u *appUser, told bool) {
	u.row = false
	if !told {
		if u.owner != nil && u.owner.user != u {
			u.owner = nil // only the row named the person
		}
		return
	}
	if p := u.owner; p != nil && p.bond == linked {
		p.bond = forgotten
		p.purge()
	}
	u.retired, u.owner = true, nil
}

// bind is the operator's order. It returns the expected refusal, or "".
func (m *truth) bind(p *person, u *appUser, move bool) string {
	filled := m.filled(p)
	current := p.bond == linked && p.user.row && p.user != u || filled != nil && filled != u
	switch {
	case p.bond == erased:
		return "conflict"
	case !p.atOry:
		return "not_found"
	case u.retired:
		return "conflict"
	case !u.row:
		return "not_found"
	case !move && (current || u.owner != nil && u.owner != p && u.owner.atOry):
		return "conflict"
	}
	if p.hasRow() && p.user == u {
		return ""
	}
	if other := u.owner; other != nil && other != p {
		other.bond, other.user = moved, nil
		other.purge()
	}
	for _, before := range []*appUser{p.user, filled} {
		if before != nil && before.owner == p {
			before.owner, before.freed = nil, false
		}
	}
	m.give(p, u)
	p.purge()
	return ""
}

// bindNew is the operator's order of a new user.
func (m *truth) bindNew(p *person) string {
	switch {
	case p.bond == erased:
		return "conflict"
	case !p.atOry:
		return "not_found"
	case p.bond == linked && p.user.row, m.filled(p) != nil:
		return "conflict"
	}
	if p.user != nil && !p.user.row {
		p.user.retired, p.user.owner = true, nil
	}
	m.give(p, m.newUser("the operator's order for "+p.name))
	p.purge()
	return ""
}

// end ends a row as a policy says.
func (u *appUser) end(policy symbolon.RowPolicy) {
	switch {
	case !u.row:
		u.retired, u.owner = u.retired || policy.Ends(), nil
	case policy == symbolon.AnonymiseRow:
		u.emptied, u.retired, u.owner = true, true, nil
	case policy == symbolon.DeleteRow:
		u.row, u.retired, u.owner = false, true, nil
	}
}

// erase ends a person, and the users that nobody else had later.
func (m *truth) erase(p *person, policy symbolon.RowPolicy) {
	for _, u := range m.users {
		if u.owner == p || u.owner == nil && u.last == p {
			u.end(policy)
		}
	}
	p.atOry, p.bond = false, erased
	p.purge()
}

// pass compares all identities and repairs. An identity that claims a user keeps the user's
// former identity from being ended, until the operator has the user moved (rebind). It reads the people in the
// parameter first before all others.
func (m *truth) pass(rebind bool, first []*person) {
	var claimed []*person
	for _, p := range m.people {
		if p.atOry && (p.bond == unread || p.bond == recreated) {
			for _, u := range m.claims(p) {
				claimed = append(claimed, u.owner)
			}
		}
	}
	for _, p := range slices.Concat(first, m.people) {
		switch {
		case p.atOry && p.bond == unread && m.eligible(p):
			m.read(p)
		case p.atOry && p.hasRow() && !p.active:
			p.purge()
		}
	}
	for _, p := range m.people {
		if rebind && p.atOry && p.bond == recreated {
			m.rebind(p)
		}
	}
	for _, p := range m.people {
		if p.atOry || slices.Contains(claimed, p) {
			continue
		}
		switch p.bond {
		case linked:
			if p.user.freed {
				p.user.owner, p.user.freed = nil, false // whose row it is, is in doubt
			} else {
				p.user.end(m.gone)
			}
			p.bond = gone
			p.purge()
		case moved, recreated:
			p.bond, p.user = gone, nil
		}
	}
}

func (m *truth) rebind(p *person) {
	from := p.claimed.owner
	switch {
	case from == nil || from.atOry:
		m.read(p)
	case p.claimed.row && !p.claimed.freed:
		m.give(p, p.claimed)
		from.bond, from.user = gone, nil
		from.purge()
	}
}
