package adopt

import (
	"crypto/sha256"

	"github.com/symbolon-id/symbolon"
)

// index holds the users that an identity may belong to.
type index struct {
	rows       []person
	byUser     map[symbolon.UserID]int32
	byIdentity map[symbolon.IdentityID][]int32 // by the identity column
	byColumn   map[symbolon.IdentityID][]int32 // by the operator's column
	byEmail    map[address][]int32

	// contested has the rows whose user the ledger links to another identity than the one
	// in the identity column. The key is the identity in the column, the value is the user.
	contested map[symbolon.IdentityID]symbolon.UserID
}

// person is a row of the users table, kept as small as possible.
type person struct {
	id       symbolon.UserID
	bound    bool // the ledger links it to an identity, or its ID was retired
	holds    bool // its identity column is not empty
	verified bool // its e-mail address is verified

	named    uint8 // how many identities name it, counted up to 2
	mailed   uint8 // how many identities have its address, counted up to 2
	told     bool  // a line of the plan names it
	doubtful bool  // there is evidence that it belongs to an identity, but the identity's line does not name it
}

// address is the 16-byte digest of a normalised e-mail address.
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

// add adds a row. It returns the row's line if the line is certain already.
func (x *index) add(r symbolon.UserRow, o Options) (line Line, certain bool) {
	switch {
	case r.Linked != "" && r.Identity == r.Linked:
		line, certain = Line{Class: Linked, Identity: r.Linked, User: r.ID}, true
	case r.Linked != "":
		if r.Identity != "" {
			x.contested[r.Identity] = r.ID
		}
		line, certain = Line{Class: Ambiguous, Identity: r.Linked, User: r.ID,
			Why: "the ledger links the two, but the row's identity column holds something else; decide with symbolon bind"}, true
	case r.Retired:
		line, certain = Line{Class: Alone, User: r.ID, Why: "its ID was retired and is never linked again"}, true
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

// matches returns the users with one of an identity's addresses, as a store would.
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
