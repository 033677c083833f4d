package decide

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

// TestInvite checks who gets the user of an invite. The proof in metadata_public was made at
// testNow, for user 42. Everybody else gets a user of their own, and is never held.
func TestInvite(t *testing.T) {
	const other = symbolon.IdentityID("b2c0a4de-8f3e-4a8b-9d67-3f1b6a524f50")
	minter := mint.NewMinter("default", newKey)
	must := func(text string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	made := minter.Mint(testNow)
	proof := must(minter.Invited(mint.Invitation{User: "42", At: testNow}))
	refused := must(minter.Invited(mint.Invitation{User: "42"}))
	invite := must(minter.Invite("42", testNow.Add(time.Hour)))
	foreign := must(mint.NewMinter("other", newKey).Invited(mint.Invitation{User: "42", At: testNow}))
	ofMinted := must(minter.Invited(mint.Invitation{User: made, At: testNow}))
	reserved := must(minter.Reserve("42"))
	voucher, err := minter.Voucher("42")
	if err != nil {
		t.Fatal(err)
	}
	both := func(id, proof string) string { return fmt.Sprintf(`{"id":%q,"id_invited":%q}`, id, proof) }
	row := symbolon.Claimed{Row: &symbolon.Row{ID: "42"}}
	const fresh = "fresh"
	for _, tt := range []struct {
		name     string
		metadata string
		admin    string
		known    symbolon.Claimed
		age      time.Duration // of the identity's creation, after testNow
		newID    symbolon.NewID
		gone     bool // Ory no longer has the other identity
		want     string
		finding  string
		says     string
		conflict bool
	}{
		{name: "the proof", metadata: both("42", proof), known: row, want: "42"},
		{name: "the proof without the ID", metadata: `{"id_invited":"` + proof + `"}`, known: row, want: "42"},
		{name: "created two minutes later", metadata: both("42", proof), known: row, age: BirthTolerance, want: "42"},
		{name: "created two minutes before", metadata: both("42", proof), known: row, age: -BirthTolerance, want: "42"},
		{name: "of a user of the application", metadata: both("42", proof), newID: symbolon.ByApplication, want: "42"},
		{name: "copied to a later identity", metadata: both("42", proof), known: row, age: BirthTolerance + time.Second, want: fresh,
			finding: "foreign_back_reference invite_void", says: "copied", conflict: true},
		{name: "copied to an earlier identity", metadata: both("42", proof), known: row, age: -time.Hour, want: fresh, finding: "foreign_back_reference invite_void", conflict: true},
		{name: "Ory does not say when it was created", metadata: both("42", proof), known: row, age: -1, want: fresh, finding: "foreign_back_reference invite_void", conflict: true},
		{name: "the user has an identity now", metadata: both("42", proof), known: symbolon.Claimed{Row: &symbolon.Row{ID: "42", Identity: other, Linked: other}, Linked: other},
			want: fresh, finding: "invite_void", says: "belongs to identity " + string(other)},
		{name: "the same, and Ory lost that identity", metadata: both("42", proof), known: symbolon.Claimed{Row: &symbolon.Row{ID: "42", Identity: other}}, gone: true, want: fresh, finding: "invite_void"},
		{name: "the ledger links the user", metadata: both("42", proof), known: symbolon.Claimed{Row: &symbolon.Row{ID: "42"}, Linked: other}, want: fresh, finding: "invite_void"},
		{name: "the row is gone", metadata: both("42", proof), want: fresh, finding: "invite_void", says: "has no row"},
		{name: "the user was deleted", metadata: both("42", proof), known: symbolon.Claimed{Retired: true}, want: fresh, finding: "invite_void", says: "was deleted"},
		{name: "the user was erased, the row stays", metadata: both("42", proof), known: symbolon.Claimed{Row: &symbolon.Row{ID: "42"}, Retired: true}, want: fresh, finding: "invite_void"},
		{name: "the user is denied", metadata: both("42", proof), known: symbolon.Claimed{Row: &symbolon.Row{ID: "42", Denied: "user_suspended"}}, want: fresh, finding: "invite_void", says: "user_suspended"},
		{name: "the user cannot be judged", metadata: both("42", proof), known: symbolon.Claimed{Row: &symbolon.Row{ID: "42", Unjudged: "level"}}, want: fresh, finding: "invite_void", says: "level"},
		{name: "a minted ID whose row is gone is not made again", metadata: both(string(made), ofMinted), newID: symbolon.ByMint, want: fresh, finding: "invite_void"},
		{name: "a reserved ID whose row is gone is not made again", metadata: fmt.Sprintf(`{"id":"42","id_reserved":%q,"id_invited":%q}`, reserved, proof), want: fresh, finding: "invite_void"},
		{name: "the hook refused it", metadata: both(string(made), refused), newID: symbolon.ByMint, want: string(made), finding: "invite_void", says: "expired"},
		{name: "the hook refused it, and reserved nothing", metadata: `{"id_invited":"` + refused + `"}`, known: row, want: fresh, finding: "invite_void"},
		{name: "a refusal beside the ID", metadata: both("42", refused), known: row, want: fresh, finding: "foreign_back_reference invite_void", conflict: true},
		{name: "another ID", metadata: both("7", proof), known: symbolon.Claimed{}, want: fresh, finding: "foreign_back_reference invite_void", says: "names another user"},
		{name: "a voucher beside a void invite", metadata: both("7", proof), admin: `{"symbolon":{"user":"42","proof":"` + voucher.Proof + `"}}`, known: row, want: "42"},

		{name: "no proof", metadata: `{"id":"42"}`, known: row, want: fresh, finding: "foreign_back_reference", conflict: true},
		{name: "the invite itself", metadata: both("42", invite), known: row, want: fresh, finding: "foreign_back_reference", conflict: true},
		{name: "of another project", metadata: both("42", foreign), known: row, want: fresh, finding: "foreign_back_reference", conflict: true},
		{name: "a reserved proof", metadata: both("42", reserved), known: row, want: fresh, finding: "foreign_back_reference", conflict: true},
		{name: "a voucher's proof", metadata: both("42", voucher.Proof), known: row, want: fresh, finding: "foreign_back_reference", conflict: true},
		{name: "no text", metadata: `{"id":"42","id_invited":{"a":1}}`, known: row, want: fresh, finding: "foreign_back_reference", conflict: true},
		{name: "the proof as a reserved proof", metadata: fmt.Sprintf(`{"id":"42","id_reserved":%q}`, proof), want: fresh, finding: "foreign_back_reference"},
		{name: "the proof as a voucher", metadata: `{}`, admin: fmt.Sprintf(`{"symbolon":{"user":"42","proof":%q}}`, proof), known: row, want: fresh, finding: "voucher_void"},
		{name: "an invite as a voucher", metadata: `{}`, admin: fmt.Sprintf(`{"symbolon":{"user":"42","proof":%q}}`, invite), known: row, want: fresh, finding: "voucher_void"},
		{name: "an invite in metadata_admin", metadata: `{}`, admin: fmt.Sprintf(`{"symbolon":%q,"symbolon_invite":%q}`, invite, invite), known: row, want: fresh, finding: "voucher_void"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.newID == "" {
				tt.newID = symbolon.ByDatabase
			}
			id := symbolon.Identity{ID: alice, MetadataPublic: []byte(tt.metadata), MetadataAdmin: []byte(tt.admin), CreatedAt: testNow.Add(tt.age)}
			if tt.age == -1 {
				id.CreatedAt = time.Time{}
			}
			p := Policy{Minter: minter, Key: "id", NewID: tt.newID, Admin: true, Fresh: func() symbolon.UserID { return fresh },
				Gone: map[symbolon.IdentityID]bool{other: tt.gone}, Answer: &Answer{User: fresh}}
			c := claimsOf(id, "id").withInvite(id, p)
			e := symbolon.Evidence{Claims: make([]symbolon.Claimed, 4)}
			for at, user := range c.users() {
				if user == "42" || user == made && tt.finding == "invite_void" && at == atMetadata {
					e.Claims[at] = tt.known
				}
			}
			plan, q := Identity(symbolon.Reading{Identity: id, Admin: true}, e, p)
			got := string(plan.User)
			if got == "" {
				got = fresh
			}
			if made := plan.Action == symbolon.Create; !q.None() || made == (tt.want == "42") || plan.Action == symbolon.Hold {
				t.Fatalf("plan %+v, question %+v", plan, q)
			}
			if got != tt.want || findingKinds(plan) != tt.finding || plan.Conflict != tt.conflict {
				t.Errorf("user %s, findings %q, conflict %v; want %s, %q, %v", got, findingKinds(plan), plan.Conflict, tt.want, tt.finding, tt.conflict)
			}
			if tt.says != "" && !strings.Contains(plan.Findings[len(plan.Findings)-1].Detail, tt.says) {
				t.Errorf("the finding says %+v", plan.Findings)
			}
			// Every way in decides the same: whoami shows neither metadata_admin nor anything else
			// that an invite needs.
			if tt.admin != "" {
				return
			}
			p.Admin = false
			if again, q := Identity(symbolon.Reading{Identity: id}, e, p); !q.None() || again.Action != plan.Action || again.User != plan.User {
				t.Errorf("without the admin API: %+v, %+v", again, q)
			}
		})
	}
}

// TestInviteWithoutAge checks that an identity whose creation is not known is read first.
func TestInviteWithoutAge(t *testing.T) {
	minter := mint.NewMinter("default", newKey)
	proof, err := minter.Invited(mint.Invitation{User: "42", At: testNow})
	if err != nil {
		t.Fatal(err)
	}
	id := symbolon.Identity{ID: alice, MetadataPublic: fmt.Appendf(nil, `{"id":"42","id_invited":%q}`, proof)}
	e := symbolon.Evidence{Claims: []symbolon.Claimed{{Row: &symbolon.Row{ID: "42"}}, {}, {}}}
	_, q := Identity(symbolon.Reading{Identity: id}, e, Policy{Minter: minter, Key: "id", NewID: symbolon.ByDatabase, Admin: true})
	if q != (Question{Identity: true}) {
		t.Errorf("asked %+v", q)
	}
}
