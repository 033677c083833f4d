package decide

import (
	"fmt"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

// TestReservedID checks that a reserved proof makes a user with its ID, once, and that it
// never gives an identity a user that exists or existed.
func TestReservedID(t *testing.T) {
	secret, before := symbolon.Secret("c41e9b07d5f2836a0e7d4c1b9f385a62"), symbolon.Secret("8f2d1c7ab94e60537d1fe2c4b6a89035")
	const me, other = symbolon.IdentityID("3f1b6a52-8f3e-4a8b-9d67-5b1c2d3e4f50"), symbolon.IdentityID("5b1c2d3e-8f3e-4a8b-9d67-3f1b6a524f50")
	minter := mint.NewMinter("default", secret, before)
	proof := func(m *mint.Minter, user symbolon.UserID) string {
		p, err := m.Reserve(user)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	good := proof(minter, "42")
	voucher, err := minter.Voucher("42")
	if err != nil {
		t.Fatal(err)
	}
	const reserved, fresh = "42 reserved", "by the database"
	for _, tt := range []struct {
		name     string
		metadata string // proof in it is replaced by the good proof
		newID    symbolon.NewID
		known    symbolon.Claimed
		unusable string
		want     string
		finding  symbolon.FindingKind
		conflict bool
	}{
		{name: "the proof", metadata: `{"id":"42","id_reserved":"PROOF"}`, want: reserved},
		{name: "the ID as a number", metadata: `{"id":42,"id_reserved":"PROOF"}`, want: reserved},
		{name: "of the previous secret", metadata: `{"id":"42","id_reserved":"` + proof(mint.NewMinter("default", before), "42") + `"}`, want: reserved},
		{name: "no proof", metadata: `{"id":"42"}`, want: fresh, finding: symbolon.ForeignBackReference},
		{name: "of another ID", metadata: `{"id":"1","id_reserved":"PROOF"}`, want: fresh, finding: symbolon.ForeignBackReference},
		{name: "of another project", metadata: `{"id":"42","id_reserved":"` + proof(mint.NewMinter("other", secret), "42") + `"}`, want: fresh, finding: symbolon.ForeignBackReference},
		{name: "a voucher's proof", metadata: `{"id":"42","id_reserved":"` + voucher.Proof + `"}`, want: fresh, finding: symbolon.ForeignBackReference},
		{name: "a proof that is no text", metadata: `{"id":"42","id_reserved":{"a":1}}`, want: fresh, finding: symbolon.ForeignBackReference},
		{name: "a proof without an ID", metadata: `{"id_reserved":"PROOF"}`, want: fresh},
		{name: "an ID that Symbolon would mint", metadata: `{"id":"42","id_reserved":"PROOF"}`, newID: symbolon.ByMint, want: "minted", finding: symbolon.ForeignBackReference},
		{name: "an ID of the application", metadata: `{"id":"42","id_reserved":"PROOF"}`, newID: symbolon.ByApplication, want: fresh, finding: symbolon.ForeignBackReference},
		{name: "a row without an identity", metadata: `{"id":"42","id_reserved":"PROOF"}`, known: symbolon.Claimed{Row: &symbolon.Row{ID: "42"}},
			want: fresh, finding: symbolon.ForeignBackReference, conflict: true},
		{name: "another identity's row", metadata: `{"id":"42","id_reserved":"PROOF"}`, known: symbolon.Claimed{Row: &symbolon.Row{ID: "42", Identity: other}},
			want: fresh, finding: symbolon.ClaimedByOther, conflict: true},
		{name: "a link without a row", metadata: `{"id":"42","id_reserved":"PROOF"}`, known: symbolon.Claimed{Linked: other},
			want: fresh, finding: symbolon.ClaimedByOther, conflict: true},
		{name: "a retired ID", metadata: `{"id":"42","id_reserved":"PROOF"}`, known: symbolon.Claimed{Retired: true}, want: fresh, finding: symbolon.ForeignBackReference},
		{name: "the store could not use it", metadata: `{"id":"42","id_reserved":"PROOF"}`, unusable: "the table gave it the ID 43",
			want: fresh, finding: symbolon.ForeignBackReference},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.newID == "" {
				tt.newID = symbolon.ByDatabase
			}
			r := symbolon.Reading{Identity: symbolon.Identity{ID: me, MetadataPublic: []byte(strings.ReplaceAll(tt.metadata, "PROOF", good))}}
			e := symbolon.Evidence{Claims: []symbolon.Claimed{tt.known, {}, {}, {}}, Unusable: tt.unusable}
			p := Policy{Minter: minter, Key: "id", NewID: tt.newID, Fresh: func() symbolon.UserID { return "minted" }, Answer: &Answer{User: "by the database"}}
			if tt.newID != symbolon.ByApplication {
				p.Answer = nil
			}
			plan, q := Identity(r, e, p)
			if !q.None() || plan.Action != symbolon.Create {
				t.Fatalf("plan %+v, question %+v", plan, q)
			}
			got := string(plan.User)
			if plan.Reserved {
				got = fmt.Sprint(plan.User, " reserved")
			} else if got == "" {
				got = fresh
			}
			var kind symbolon.FindingKind
			if len(plan.Findings) > 0 {
				kind = plan.Findings[0].Kind
			}
			if got != tt.want || kind != tt.finding || plan.Conflict != tt.conflict {
				t.Errorf("the user is %s, finding %q, conflict %v; want %s, %q, %v", got, kind, plan.Conflict, tt.want, tt.finding, tt.conflict)
			}
			if tt.unusable != "" && !strings.Contains(plan.Findings[0].Detail, "reserved ID 42, which cannot be used: the table gave it the ID 43; a new user was made") {
				t.Errorf("the finding says %q", plan.Findings[0].Detail)
			}
		})
	}
}
