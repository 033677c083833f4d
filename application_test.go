package symbolon

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// TestDecideByApplication: where the application makes its users itself, it is asked
// last, and what it answers is a claim like any other.
func TestDecideByApplication(t *testing.T) {
	minter := NewMinter("default", newKey)
	voucher, err := minter.Voucher("7")
	if err != nil {
		t.Fatal(err)
	}
	paper := `{"symbolon":{"user":"7","proof":"` + voucher.Proof + `"}}`
	answered := func(user UserID, c Claimed) (*made, Held) {
		return &made{user: user}, Held{Claims: []Claimed{{}, {}, {}, c}}
	}
	row := func(id UserID, identity IdentityID) *Row { return &Row{ID: id, Identity: identity, Linked: identity} }
	forgotten := &Link{Identity: alice, User: "a", State: Forgotten}
	no := &made{no: fmt.Errorf("it answered 422: %w", ErrCannotCreate)}

	tests := []struct {
		name     string
		metadata string
		admin    string
		recreate bool
		link     *Link
		answer   func() (*made, Held)

		action   Action
		user     UserID
		findings string
		err      error
		create   bool
		back     string
		retire   UserID
	}{
		{name: "nobody was asked yet", create: true},
		{name: "it answers", answer: func() (*made, Held) { return answered("7", Claimed{}) }, action: Create, user: "7"},
		{name: "it answers what Ory holds", metadata: `{"id":"7"}`, answer: func() (*made, Held) { return answered("7", Claimed{}) },
			action: Create, user: "7", back: "7"},
		{name: "it answers what Ory holds as a number", metadata: `{"id":7}`, answer: func() (*made, Held) { return answered("7", Claimed{}) },
			action: Create, user: "7", back: "7"},
		{name: "it answers something else than Ory holds", metadata: `{"id":"8"}`, answer: func() (*made, Held) { return answered("7", Claimed{}) },
			action: Create, user: "7", findings: "foreign_back_reference"},
		{name: "odd metadata", metadata: `{"id":[]}`, answer: func() (*made, Held) { return answered("7", Claimed{}) },
			action: Create, user: "7", findings: "foreign_back_reference"},
		{name: "it says no", answer: func() (*made, Held) { return no, Held{} },
			action: Hold, findings: "cannot_create", err: ErrCannotCreate},
		{name: "another's user", answer: func() (*made, Held) { return answered("7", Claimed{Row: row("7", bob), Linked: bob}) },
			action: Hold, user: "7", findings: "claimed_by_other", err: ErrCannotCreate},
		{name: "another's user, whose row is missing", answer: func() (*made, Held) { return answered("7", Claimed{Linked: bob}) },
			action: Hold, user: "7", findings: "claimed_by_other", err: ErrCannotCreate},
		{name: "a deleted user", answer: func() (*made, Held) { return answered("7", Claimed{Retired: true}) },
			action: Hold, user: "7", findings: "cannot_create", err: ErrCannotCreate},
		{name: "a user that was left", answer: func() (*made, Held) { return answered("7", Claimed{Row: row("7", "")}) },
			action: Hold, user: "7", findings: "cannot_create", err: ErrCannotCreate},
		{name: "a voucher comes first", admin: paper, action: Attach, user: "7"},
		{name: "a voucher for another's user does not", admin: paper, answer: func() (*made, Held) {
			return &made{user: "8"}, Held{Claims: []Claimed{{}, {}, {Linked: bob}, {}}}
		}, action: Create, user: "8", findings: "claimed_by_other"},
		{name: "forgotten", link: forgotten, action: Deny, user: "a", err: ErrUserGone},
		{name: "forgotten, recreate", link: forgotten, recreate: true, create: true},
		{name: "forgotten, recreated", link: forgotten, recreate: true, answer: func() (*made, Held) { return answered("b", Claimed{}) },
			action: Create, user: "b", retire: "a"},
		{name: "forgotten, and it knows the old user only", link: forgotten, recreate: true,
			answer: func() (*made, Held) { return answered("a", Claimed{}) }, action: Deny, user: "a", findings: "cannot_create", err: ErrCannotCreate},
		{name: "forgotten, and it answers with a user that was left", link: forgotten, recreate: true,
			answer: func() (*made, Held) { return answered("b", Claimed{Row: row("b", "")}) }, action: Deny, user: "a", findings: "cannot_create", err: ErrCannotCreate},
		{name: "forgotten, and it says no", link: forgotten, recreate: true, answer: func() (*made, Held) { return no, Held{} },
			action: Deny, user: "a", findings: "cannot_create", err: ErrCannotCreate},
		{name: "it said no before", link: &Link{Identity: alice, State: OnHold, Reason: CannotCreate}, create: true},
		{name: "it repeated itself before", link: &Link{Identity: alice, State: OnHold, Reason: ClaimedByOther}, create: true},
		{name: "moved away by the operator", link: &Link{Identity: alice, State: OnHold, Reason: Moved}, action: Hold, err: ErrOnHold},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := policy{minter: minter, key: "id", newID: ByApplication, recreate: tt.recreate, made: &made{}}
			var h Held
			if tt.answer != nil {
				p.made, h = tt.answer()
			}
			h.Link = tt.link
			got, asked := decide(Seen{Admin: true, Identity: Identity{ID: alice, MetadataPublic: []byte(tt.metadata), MetadataAdmin: []byte(tt.admin)}}, h, p)
			if got.Action != tt.action || got.User != tt.user || got.Retire != tt.retire || got.BackReference != tt.back {
				t.Errorf("got %s %q retiring %q, back-reference %q", got.Action, got.User, got.Retire, got.BackReference)
			}
			if kinds := findingKinds(got); kinds != tt.findings {
				t.Errorf("findings %q, want %q", kinds, tt.findings)
			}
			if !errors.Is(got.Err, tt.err) || (got.Err == nil) != (tt.err == nil) {
				t.Errorf("error %v, want %v", got.Err, tt.err)
			}
			if asked.create != tt.create {
				t.Errorf("asks %+v", asked)
			}
		})
	}
}

type creatorFunc func(context.Context, Identity) (UserID, error)

func (f creatorFunc) Create(ctx context.Context, id Identity) (UserID, error) { return f(ctx, id) }

// TestCreatorAnswers: whatever a Creator returns, the caller is told one of the
// errors that it can tell apart, and nothing is half done.
func TestCreatorAnswers(t *testing.T) {
	tests := []struct {
		name string
		user UserID
		err  error
		want error
		held bool
	}{
		{name: "no", err: fmt.Errorf("no: %w", ErrCannotCreate), want: ErrCannotCreate, held: true},
		{name: "unavailable", err: ErrUnavailable, want: ErrUnavailable},
		{name: "any other error", err: errors.New("boom"), want: ErrUnavailable},
		{name: "given up", err: context.DeadlineExceeded, want: ErrUnavailable},
		{name: "no user and no error", want: ErrUnavailable},
		{name: "an ID that no database could hold", user: "a\x00", want: ErrUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id := Identity{ID: alice, State: Active, CreatedAt: time.Now()}
			store := newMemory(ByApplication)
			l := newTestLinker(&oryModel{identities: map[IdentityID]Identity{alice: id}}, store)
			l.Creator = creatorFunc(func(context.Context, Identity) (UserID, error) { return tt.user, tt.err })
			_, err := l.Link(t.Context(), Seen{Identity: id, Way: ByRequest})
			if !errors.Is(err, tt.want) || len(store.rows) != 0 || (len(store.links) == 1) != tt.held {
				t.Errorf("got %v, %d rows, %d entries", err, len(store.rows), len(store.links))
			}
		})
	}
}

// TestNoCreator: a wiring fault is said, and is nobody's "no".
func TestNoCreator(t *testing.T) {
	l := newTestLinker(&oryModel{}, newMemory(ByApplication))
	_, err := l.Link(t.Context(), Seen{Identity: Identity{ID: alice}, Way: ByRequest})
	if err == nil || errors.Is(err, ErrCannotCreate) {
		t.Errorf("got %v", err)
	}
}

// TestBackReferenceOfTheApplicationsUser: its ID reaches Ory by the one PATCH.
func TestBackReferenceOfTheApplicationsUser(t *testing.T) {
	id := Identity{ID: alice, State: Active, CreatedAt: time.Now()}
	ory := &oryModel{admin: true, identities: map[IdentityID]Identity{alice: id}}
	l := newTestLinker(ory, newMemory(ByApplication))
	l.Creator = creatorFunc(func(context.Context, Identity) (UserID, error) { return "42", nil })
	if _, err := l.Link(t.Context(), Seen{Identity: id, Way: ByRequest}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(ory.patches); got != "["+string(alice)+" id 42]" {
		t.Errorf("Ory was sent %s", got)
	}
}
