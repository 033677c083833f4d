package adopt

import (
	"crypto/sha256"

	"github.com/symbolon-id/symbolon"
)

// index remembers the users whom an identity may belong to.
type index struct {
	rows       []person
	byUser     map[symbolon.UserID]int32
	byIdentity map[symbolon.IdentityID][]int32 // by the identity column
	byColumn   map[symbolon.IdentityID][]int32 // by the operator's column
	byEmail    map[address][]int32
	contested  map[symbolon.IdentityID]symbolon.UserID // rows whose column and ledger differ: the column's word
}

// person is a row, as small as can be.
type person struct {
	id       symbolon.UserID
	bound    bool // has an identity, by the ledger, or its ID was retired
	holds    bool // its identity column says something
	verified bool // its e-mail address

	named    uint8 // how many identities name it, at most 2
	mailed   uint8 // how many have its address, at most 2
	told     bool  // a line has it
	doubtful bool  // an ambiguous line is about it without naming it
}

// address is the digest of a normalised one: sixteen bytes, however long it is.
type address [16]byte

func digestOf(email string) (a address) {
	sum := sha256.Sum256([]byte(email))
	copy(a[:], sum[:])
	return a
}

func newIndex() *index {
	return &index{byUser: map[symbolon.UserID]int32{}, byIdentity: map[symbolon.IdentityID][]int32{},
		byColumn: map[symbolon.IdentityID][]int32{}, byEmail: map[address][]int32{}, contested: map[symbolon.IdentityID]symbolon.UserID{}}
}

// add takes a row, and returns its line if that is certain already.
func (x *index) add(r symbolon.UserRow, o Options) (line Line, certain bool) {
	switch {
	case r.Linked != "" && r.Identity == r.Linked:
		line, certain = Line{Class: Linked, Identity: r.Linked, User: r.ID}, true
	case r.Linked != "":
		if r.Identity != "" {
			x.contested[r.Identity] = r.ID
		}
		line, certain = Line{Class: Ambiguous, Identity: r.Linked, User: r.ID,
			Why: "the ledger binds the two, and the row's identity column says something else; bind settles it"}, true
	case r.Retired:
		line, certain = Line{Class: Alone, User: r.ID, Why: "its ID was given up: it is never bound again"}, true
	}
	if certain && !o.Email {
		return line, true
	}
	at := int32(len(x.rows))
	x.rows = append(x.rows, person{id: r.ID, bound: certain, holds: r.Identity != "", told: certain, verified: r.Checked})
	if normal, ok := symbolon.NormalEmail(r.Email); ok && o.Email {
		x.byEmail[digestOf(normal)] = append(x.byEmail[digestOf(normal)], at)
	}
	if certain {
		return line, true
	}
	x.byUser[r.ID] = at
	if r.Identity != "" {
		x.byIdentity[r.Identity] = append(x.byIdentity[r.Identity], at)
	}
	if other, err := symbolon.ParseIdentityID(r.Column); err == nil {
		x.byColumn[other] = append(x.byColumn[other], at)
	}
	return Line{}, false
}

// matches answers for the addresses of an identity, as a store does.
func (x *index) matches(emails []string) (out []symbolon.Match, rows []int32) {
	for _, email := range emails {
		for _, at := range x.byEmail[digestOf(email)] {
			p := x.rows[at]
			m := symbolon.Match{Row: symbolon.Row{ID: p.id}, Email: email, Verified: p.verified, Retired: p.bound || p.holds}
			out, rows = append(out, m), append(rows, at)
		}
	}
	return out, rows
}

func more(n *uint8) {
	if *n < 2 {
		*n++
	}
}
