package decide

import (
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

// TestOnReturn decides about an identity with the address of a user whose identity is gone.
func TestOnReturn(t *testing.T) {
	const carol = symbolon.IdentityID("33333333-3333-4333-8333-333333333333")
	before, now := symbolon.Secret("01jc8zv5m4kq2x9t7w3y6b8n0d5f7h9j"), symbolon.Secret("9jc8zv5m4kq2x9t7w3y6b8n0d5f7h9j01")
	minter := mint.NewMinter("default", now, before)
	record := mint.NewMinter("default", before).Addresses("a@x")[0] // made before the secret was changed
	ended := func(user symbolon.UserID, change func(*symbolon.Match)) symbolon.Match {
		e := symbolon.Match{Row: symbolon.Row{ID: user, Identity: bob}, Email: record}
		if change != nil {
			change(&e)
		}
		return e
	}
	minted := minter.Mint(testNow)
	voucher, err := minter.Voucher("7")
	if err != nil {
		t.Fatal(err)
	}
	type step struct {
		action   symbolon.Action
		user     symbolon.UserID
		reason   symbolon.FindingKind
		question Question
	}
	for _, tt := range []struct {
		name    string
		ended   []symbolon.Match
		reading func(r *symbolon.Reading)
		policy  func(p *Policy)
		link    *symbolon.Link
		claims  []symbolon.Claimed
		want    step
	}{
		{name: "restore", ended: []symbolon.Match{ended("u", nil)}, want: step{action: symbolon.Attach, user: "u"}},
		{name: "new", ended: []symbolon.Match{ended("u", nil)}, policy: func(p *Policy) { p.OnReturn = ReturnNew }, want: step{action: symbolon.Create, user: "fresh"}},
		{name: "ask", ended: []symbolon.Match{ended("u", nil)}, policy: func(p *Policy) { p.OnReturn = ReturnAsk }, want: step{action: symbolon.Hold, reason: ReturnedPerson}},
		{name: "not read over the admin API", reading: func(r *symbolon.Reading) { r.Admin = false }, want: step{question: Question{Identity: true}}},
		{name: "read without a ticket", ended: []symbolon.Match{ended("u", nil)}, reading: func(r *symbolon.Reading) { r.Ticket = 0 }, want: step{question: Question{Ticket: true}}},
		{name: "nobody", want: step{action: symbolon.Create, user: "fresh"}},
		{name: "not verified now", ended: []symbolon.Match{ended("u", nil)}, reading: func(r *symbolon.Reading) { r.Identity.Addresses[0].Verified = false },
			want: step{action: symbolon.Hold, reason: symbolon.UnverifiedEmail}},
		{name: "two users", ended: []symbolon.Match{ended("u", nil), ended("v", func(e *symbolon.Match) {
			e.Identity = carol
		})}, want: step{action: symbolon.Hold, reason: ReturnedPerson}},
		{name: "one user twice", ended: []symbolon.Match{ended("u", nil), ended("u", nil)}, want: step{action: symbolon.Attach, user: "u"}},
		{name: "denied", ended: []symbolon.Match{ended("u", func(e *symbolon.Match) { e.Denied = "user_suspended" })}, want: step{action: symbolon.Hold, reason: ReturnedPerson}},
		{name: "retired", ended: []symbolon.Match{ended("u", func(e *symbolon.Match) { e.Retired = true })}, want: step{action: symbolon.Create, user: "fresh"}},
		{name: "linked to another identity", ended: []symbolon.Match{ended("u", func(e *symbolon.Match) { e.Linked = carol })}, want: step{action: symbolon.Create, user: "fresh"}},
		{name: "a minted ID", ended: []symbolon.Match{ended("u", nil)}, reading: func(r *symbolon.Reading) { r.Identity.MetadataPublic = []byte(`{"id":"` + string(minted) + `"}`) },
			want: step{action: symbolon.Attach, user: "u"}},
		{name: "a voucher", ended: []symbolon.Match{ended("u", nil)}, reading: func(r *symbolon.Reading) {
			r.Identity.MetadataAdmin = []byte(`{"symbolon":{"user":"7","proof":"` + voucher.Proof + `"}}`)
		}, claims: []symbolon.Claimed{{}, {}, {Row: &symbolon.Row{ID: "7"}}}, want: step{action: symbolon.Attach, user: "7"}},
		{name: "metadata that names another user", ended: []symbolon.Match{ended("u", nil)}, reading: func(r *symbolon.Reading) { r.Identity.MetadataPublic = []byte(`{"id":"w"}`) },
			claims: []symbolon.Claimed{{Row: &symbolon.Row{ID: "w", Identity: carol}}}, want: step{action: symbolon.Hold, reason: ReturnedPerson}},
		{name: "on hold by an adoption", ended: []symbolon.Match{ended("u", nil)}, link: &symbolon.Link{State: symbolon.OnHold, Reason: symbolon.AdoptAmbiguous},
			want: step{action: symbolon.Hold, reason: symbolon.AdoptAmbiguous}},
		{name: "on hold until the address is verified", ended: []symbolon.Match{ended("u", nil)}, link: &symbolon.Link{State: symbolon.OnHold, Reason: symbolon.UnverifiedEmail},
			want: step{action: symbolon.Attach, user: "u"}},
		{name: "not eligible", ended: []symbolon.Match{ended("u", nil)}, policy: func(p *Policy) { p.When.SchemaIDs = []string{"customer"} }, want: step{action: symbolon.Attach, user: "u"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := symbolon.Reading{Ticket: 5, Admin: true, Source: symbolon.FromRequest, Identity: symbolon.Identity{ID: alice, State: symbolon.Active,
				Addresses: []symbolon.Address{{Value: "A@x", Via: "email", Verified: true}}}}
			p := Policy{Minter: minter, Key: "id", NewID: symbolon.ByMint, Fresh: func() symbolon.UserID { return "fresh" }, Admin: true, OnReturn: ReturnRestore}
			if tt.reading != nil {
				tt.reading(&r)
			}
			if tt.policy != nil {
				tt.policy(&p)
			}
			plan, question := Identity(r, symbolon.Evidence{Link: tt.link, Ended: tt.ended, Claims: tt.claims}, p)
			got := step{plan.Action, plan.User, plan.Reason, question}
			if got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
			if plan.Action == symbolon.Attach && plan.User == "u" && (plan.Release != bob || !plan.ReleaseGone) {
				t.Errorf("the former identity is not released: %+v", plan)
			}
		})
	}
}
