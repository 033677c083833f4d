package decide

import (
	"errors"
	"fmt"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

// TestIdentityWithApplication checks that an application that makes its users itself is
// asked after all other evidence, and that its answer is a claim like any other.
func TestIdentityWithApplication(t *testing.T) {
	minter := mint.NewMinter("default", newKey)
	voucher, err := minter.Voucher("7")
	if err != nil {
		t.Fatal(err)
	}
	withVoucher := `{"symbolon":{"user":"7","proof":"` + voucher.Proof + `"}}`
	answered := func(user symbolon.UserID, c symbolon.Claimed) (*Answer, symbolon.Evidence) {
		return &Answer{User: user}, symbolon.Evidence{Claims: []symbolon.Claimed{{}, {}, {}, c}}
	}
	row := func(id symbolon.UserID, identity symbolon.IdentityID) *symbolon.Row {
		return &symbolon.Row{ID: id, Identity: identity, Linked: identity}
	}
	forgotten := &symbolon.Link{Identity: alice, User: "a", State: symbolon.Forgotten}
	denied := &Answer{Denial: fmt.Errorf("it answered 422: %w", symbolon.ErrCannotCreate)}

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
		{name: "the application was not asked yet", create: true},
		{name: "it answers", answer: func() (*Answer, symbolon.Evidence) { return answered("7", symbolon.Claimed{}) }, action: symbolon.Create, user: "7"},
		{name: "the application names the same user as Ory", metadata: `{"id":"7"}`, answer: func() (*Answer, symbolon.Evidence) { return answered("7", symbolon.Claimed{}) },
			action: symbolon.Create, user: "7", back: "7"},
		{name: "the application names the same user as Ory, as a number", metadata: `{"id":7}`, answer: func() (*Answer, symbolon.Evidence) { return answered("7", symbolon.Claimed{}) },
			action: symbolon.Create, user: "7", back: "7"},
		{name: "the application names another user than Ory", metadata: `{"id":"8"}`, answer: func() (*Answer, symbolon.Evidence) { return answered("7", symbolon.Claimed{}) },
			action: symbolon.Create, user: "7", findings: "foreign_back_reference"},
		{name: "odd metadata", metadata: `{"id":[]}`, answer: func() (*Answer, symbolon.Evidence) { return answered("7", symbolon.Claimed{}) },
			action: symbolon.Create, user: "7", findings: "foreign_back_reference"},
		{name: "it denies", answer: func() (*Answer, symbolon.Evidence) { return denied, symbolon.Evidence{} },
			action: symbolon.Hold, findings: "cannot_create", err: symbolon.ErrCannotCreate},
		{name: "another's user", answer: func() (*Answer, symbolon.Evidence) {
			return answered("7", symbolon.Claimed{Row: row("7", bob), Linked: bob})
		},
			action: symbolon.Hold, user: "7", findings: "claimed_by_other", err: symbolon.ErrCannotCreate},
		{name: "another's user, whose row is missing", answer: func() (*Answer, symbolon.Evidence) { return answered("7", symbolon.Claimed{Linked: bob}) },
			action: symbolon.Hold, user: "7", findings: "claimed_by_other", err: symbolon.ErrCannotCreate},
		{name: "a deleted user", answer: func() (*Answer, symbolon.Evidence) { return answered("7", symbolon.Claimed{Retired: true}) },
			action: symbolon.Hold, user: "7", findings: "cannot_create", err: symbolon.ErrCannotCreate},
		{name: "a user whose identity got another one", answer: func() (*Answer, symbolon.Evidence) { return answered("7", symbolon.Claimed{Row: row("7", "")}) },
			action: symbolon.Hold, user: "7", findings: "cannot_create", err: symbolon.ErrCannotCreate},
		{name: "a voucher comes first", admin: withVoucher, action: symbolon.Attach, user: "7"},
		{name: "a voucher for another's user does not count", admin: withVoucher, answer: func() (*Answer, symbolon.Evidence) {
			return &Answer{User: "8"}, symbolon.Evidence{Claims: []symbolon.Claimed{{}, {}, {Linked: bob}, {}}}
		}, action: symbolon.Create, user: "8", findings: "claimed_by_other"},
		{name: "forgotten", link: forgotten, action: symbolon.Deny, user: "a", err: symbolon.ErrUserGone},
		{name: "forgotten, recreate", link: forgotten, recreate: true, create: true},
		{name: "forgotten, recreated", link: forgotten, recreate: true, answer: func() (*Answer, symbolon.Evidence) { return answered("b", symbolon.Claimed{}) },
			action: symbolon.Create, user: "b", retire: "a"},
		{name: "forgotten, and the application names the deleted user", link: forgotten, recreate: true,
			answer: func() (*Answer, symbolon.Evidence) { return answered("a", symbolon.Claimed{}) }, action: symbolon.Deny, user: "a", findings: "cannot_create", err: symbolon.ErrCannotCreate},
		{name: "forgotten, and the application names a user whose identity got another one", link: forgotten, recreate: true,
			answer: func() (*Answer, symbolon.Evidence) { return answered("b", symbolon.Claimed{Row: row("b", "")}) }, action: symbolon.Deny, user: "a", findings: "cannot_create", err: symbolon.ErrCannotCreate},
		{name: "forgotten, and the application denies", link: forgotten, recreate: true, answer: func() (*Answer, symbolon.Evidence) { return denied, symbolon.Evidence{} },
			action: symbolon.Deny, user: "a", findings: "cannot_create", err: symbolon.ErrCannotCreate},
		{name: "it denied before", link: &symbolon.Link{Identity: alice, State: symbolon.OnHold, Reason: symbolon.CannotCreate}, create: true},
		{name: "the application named another's user before", link: &symbolon.Link{Identity: alice, State: symbolon.OnHold, Reason: symbolon.ClaimedByOther}, create: true},
		{name: "the operator moved its user away", link: &symbolon.Link{Identity: alice, State: symbolon.OnHold, Reason: symbolon.Moved}, action: symbolon.Hold, err: symbolon.ErrOnHold},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Policy{Minter: minter, Key: "id", NewID: symbolon.ByApplication, Recreate: tt.recreate, Answer: &Answer{}}
			var e symbolon.Evidence
			if tt.answer != nil {
				p.Answer, e = tt.answer()
			}
			e.Link = tt.link
			got, asked := Identity(symbolon.Reading{Admin: true, Identity: symbolon.Identity{ID: alice, MetadataPublic: []byte(tt.metadata), MetadataAdmin: []byte(tt.admin)}}, e, p)
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
