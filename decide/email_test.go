package decide

import (
	"testing"

	"github.com/symbolon-id/symbolon"
)

func TestJudgeEmail(t *testing.T) {
	id := symbolon.Identity{ID: alice, Addresses: []symbolon.Address{{Value: "A@x", Via: "email", Verified: true}, {Value: "b@x", Via: "email"}, {Value: "c@x", Via: "sms", Verified: true},
		{Value: "d@x", Verified: true}}}
	row := func(user symbolon.UserID, email string, verified bool) symbolon.Match {
		return symbolon.Match{Row: symbolon.Row{ID: user}, Email: email, Verified: verified}
	}
	owned := func(identity, linked symbolon.IdentityID) symbolon.Match {
		return symbolon.Match{Row: symbolon.Row{ID: "1", Identity: identity, Linked: linked}, Email: "a@x", Verified: true}
	}
	for _, tt := range []struct {
		name    string
		matches []symbolon.Match
		user    symbolon.UserID
		want    EmailVerdict
	}{
		{"none", nil, "", EmailUnknown},
		{"both", []symbolon.Match{row("1", "a@x", true)}, "1", EmailProves},
		{"no kind is e-mail", []symbolon.Match{row("1", "d@x", true)}, "1", EmailProves},
		{"not here", []symbolon.Match{row("1", "a@x", false)}, "1", EmailUnverified},
		{"not at Ory", []symbolon.Match{row("1", "b@x", true)}, "1", EmailUnverified},
		{"a telephone", []symbolon.Match{row("1", "c@x", true)}, "", EmailUnknown},
		{"another's", []symbolon.Match{row("1", "z@x", true)}, "", EmailUnknown},
		{"two", []symbolon.Match{row("1", "a@x", true), row("2", "a@x", false)}, "", EmailAmbiguous},
		{"two users, by two addresses", []symbolon.Match{row("1", "a@x", true), row("2", "b@x", false)}, "", EmailAmbiguous},
		{"one user, by two addresses", []symbolon.Match{row("1", "b@x", true), row("1", "a@x", true)}, "1", EmailProves},
		{"owned by the row", []symbolon.Match{owned(bob, "")}, "1", EmailTaken},
		{"owned by the ledger", []symbolon.Match{owned("", bob)}, "1", EmailTaken},
		{"the row names us, the ledger another identity", []symbolon.Match{owned(alice, bob)}, "1", EmailTaken},
		{"retired", []symbolon.Match{{Row: symbolon.Row{ID: "1"}, Retired: true, Email: "a@x", Verified: true}}, "1", EmailTaken},
	} {
		if user, got := JudgeEmail(id, tt.matches); got != tt.want || user != tt.user {
			t.Errorf("%s: %q %s, want %q %s", tt.name, user, got, tt.user, tt.want)
		}
	}
}
