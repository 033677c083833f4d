package decide

import (
	"errors"
	"fmt"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

// TestDecideByApplication: where the application makes its users itself, it is asked
// last, and what it answers is a claim like any other.
func TestDecideByApplication(t *testing.T) {
	minter := mint.NewMinter("default", newKey)
	voucher, err := minter.Voucher("7")
	if err != nil {
		t.Fatal(err)
	}
	paper := `{"symbolon":{"user":"7","proof":"` + voucher.Proof + `"}}`
	answered := func(user symbolon.UserID, c symbolon.Claimed) (*Answer, symbolon.Evidence) {
		return &Answer{User: user}, symbolon.Evidence{Claims: []symbolon.Claimed{{}, {}, {}, c}}
	}
	row := func(id symbolon.UserID, identity symbolon.IdentityID) *symbolon.Row {
		return &symbolon.Row{ID: id, Identity: identity, Linked: identity}
	}
	forgotten := &symbolon.Link{Identity: alice, User: "a", State: symbolon.Forgotten}
	no := &Answer{Denial: fmt.Errorf("it answered 422: %w", symbolon.ErrCannotCreate)}

	tests := []struct {
		name     string
		metadata string
		admin    string
		recreate bool
		link     *symbolon.Link
		answer   func() (*Answer, symbolon.Evidence)

		action   symbolon.Action
		user     symbolon.UserID
		findings string
		err      error
		create   bool
		back     string
		retire   symbolon.UserID
	}{
		{name: "nobody was asked yet", create: true},
		{name: "it answers", answer: func() (*Answer, symbolon.Evidence) { return answered("7", symbolon.Claimed{}) }, action: symbolon.Create, user: "7"},
		{name: "it answers what Ory holds", metadata: `{"id":"7"}`, answer: func() (*Answer, symbolon.Evidence) { return answered("7", symbolon.Claimed{}) },
			action: symbolon.Create, user: "7", back: "7"},
		{name: "it answers what Ory holds as a number", metadata: `{"id":7}`, answer: func() (*Answer, symbolon.Evidence) { return answered("7", symbolon.Claimed{}) },
			action: symbolon.Create, user: "7", back: "7"},
		{name: "it answers something else than Ory holds", metadata: `{"id":"8"}`, answer: func() (*Answer, symbolon.Evidence) { return answered("7", symbolon.Claimed{}) },
			action: symbolon.Create, user: "7", findings: "foreign_back_reference"},
		{name: "odd metadata", metadata: `{"id":[]}`, answer: func() (*Answer, symbolon.Evidence) { return answered("7", symbolon.Claimed{}) },
			action: symbolon.Create, user: "7", findings: "foreign_back_reference"},
		{name: "it says no", answer: func() (*Answer, symbolon.Evidence) { return no, symbolon.Evidence{} },
			action: symbolon.Hold, findings: "cannot_create", err: symbolon.ErrCannotCreate},
		{name: "another's user", answer: func() (*Answer, symbolon.Evidence) {
			return answered("7", symbolon.Claimed{Row: row("7", bob), Linked: bob})
		},
			action: symbolon.Hold, user: "7", findings: "claimed_by_other", err: symbolon.ErrCannotCreate},
		{name: "another's user, whose row is missing", answer: func() (*Answer, symbolon.Evidence) { return answered("7", symbolon.Claimed{Linked: bob}) },
			action: symbolon.Hold, user: "7", findings: "claimed_by_other", err: symbolon.ErrCannotCreate},
		{name: "a deleted user", answer: func() (*Answer, symbolon.Evidence) { return answered("7", symbolon.Claimed{Retired: true}) },
			action: symbolon.Hold, user: "7", findings: "cannot_create", err: symbolon.ErrCannotCreate},
		{name: "a user that was left", answer: func() (*Answer, symbolon.Evidence) { return answered("7", symbolon.Claimed{Row: row("7", "")}) },
			action: symbolon.Hold, user: "7", findings: "cannot_create", err: symbolon.ErrCannotCreate},
		{name: "a voucher comes first", admin: paper, action: symbolon.Attach, user: "7"},
		{name: "a voucher for another's user does not", admin: paper, answer: func() (*Answer, symbolon.Evidence) {
			return &Answer{User: "8"}, symbolon.Evidence{Claims: []symbolon.Claimed{{}, {}, {Linked: bob}, {}}}
		}, action: symbolon.Create, user: "8", findings: "claimed_by_other"},
		{name: "forgotten", link: forgotten, action: symbolon.Deny, user: "a", err: symbolon.ErrUserGone},
		{name: "forgotten, recreate", link: forgotten, recreate: true, create: true},
		{name: "forgotten, recreated", link: forgotten, recreate: true, answer: func() (*Answer, symbolon.Evidence) { return answered("b", symbolon.Claimed{}) },
			action: symbolon.Create, user: "b", retire: "a"},
		{name: "forgotten, and it knows the old user only", link: forgotten, recreate: true,
			answer: func() (*Answer, symbolon.Evidence) { return answered("a", symbolon.Claimed{}) }, action: symbolon.Deny, user: "a", findings: "cannot_create", err: symbolon.ErrCannotCreate},
		{name: "forgotten, and it answers with a user that was left", link: forgotten, recreate: true,
			answer: func() (*Answer, symbolon.Evidence) { return answered("b", symbolon.Claimed{Row: row("b", "")}) }, action: symbolon.Deny, user: "a", findings: "cannot_create", err: symbolon.ErrCannotCreate},
		{name: "forgotten, and it says no", link: forgotten, recreate: true, answer: func() (*Answer, symbolon.Evidence) { return no, symbolon.Evidence{} },
			action: symbolon.Deny, user: "a", findings: "cannot_create", err: symbolon.ErrCannotCreate},
		{name: "it said no before", link: &symbolon.Link{Identity: alice, State: symbolon.OnHold, Reason: symbolon.CannotCreate}, create: true},
		{name: "it repeated itself before", link: &symbolon.Link{Identity: alice, State: symbolon.OnHold, Reason: symbolon.ClaimedByOther}, create: true},
		{name: "moved away by the operator", link: &symbolon.Link{Identity: alice, State: symbolon.OnHold, Reason: symbolon.Moved}, action: symbolon.Hold, err: symbolon.ErrOnHold},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Policy{Minter: minter, Key: "id", NewID: symbolon.ByApplication, Recreate: tt.recreate, Answer: &Answer{}}
			var h symbolon.Evidence
			if tt.answer != nil {
				p.Answer, h = tt.answer()
			}
			h.Link = tt.link
			got, asked := Identity(symbolon.Reading{Admin: true, Identity: symbolon.Identity{ID: alice, MetadataPublic: []byte(tt.metadata), MetadataAdmin: []byte(tt.admin)}}, h, p)
			if got.Action != tt.action || got.User != tt.user || got.Retire != tt.retire || got.BackReference != tt.back {
				t.Errorf("got %s %q retiring %q, back-reference %q", got.Action, got.User, got.Retire, got.BackReference)
			}
			if kinds := findingKinds(got); kinds != tt.findings {
				t.Errorf("findings %q, want %q", kinds, tt.findings)
			}
			if !errors.Is(got.Err, tt.err) || (got.Err == nil) != (tt.err == nil) {
				t.Errorf("error %v, want %v", got.Err, tt.err)
			}
			if asked.Create != tt.create {
				t.Errorf("asks %+v", asked)
			}
		})
	}
}
