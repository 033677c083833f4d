package decide

import (
	"errors"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

const (
	alice = symbolon.IdentityID("11111111-1111-4111-8111-111111111111")
	bob   = symbolon.IdentityID("22222222-2222-4222-8222-222222222222")
)

// TestIdentity checks the order of evidence. Each row has a reading, the store's
// evidence, and the expected plan.
func TestIdentity(t *testing.T) {
	minter := mint.NewMinter("default", symbolon.Secret("01jc8zv5m4kq2x9t7w3y6b8n0d5f7h9j"))
	minted := minter.Mint(testNow)
	fresh := minter.Mint(testNow)
	voucher, err := minter.Voucher("7")
	if err != nil {
		t.Fatal(err)
	}
	live := func(id symbolon.IdentityID, user symbolon.UserID) *symbolon.Link {
		return &symbolon.Link{Identity: id, User: user, State: symbolon.Linked, Ticket: 5}
	}
	row := func(id symbolon.UserID, identity, linked symbolon.IdentityID) *symbolon.Row {
		return &symbolon.Row{ID: id, Identity: identity, Linked: linked}
	}
	// claim is the store's evidence about the user in metadata_public.id.
	claim := func(c symbolon.Claimed) []symbolon.Claimed { return []symbolon.Claimed{c, {}, {}} }
	vouched := func(c symbolon.Claimed) []symbolon.Claimed { return []symbolon.Claimed{{}, {}, c} }
	withVoucher := `{"symbolon":{"user":"7","proof":"` + voucher.Proof + `"}}`

	denied := func(r *symbolon.Row) *symbolon.Row { r.Denied = "user_suspended"; return r }
	verifiedOnly := func(p *Policy) { p.When.Verified = true }
	customers := func(p *Policy) { p.When.SchemaIDs = []string{"customer"} }

	tests := []struct {
		name     string
		metadata string
		admin    string // metadata_admin; makes the reading one of the admin API
		external string
		ticket   symbolon.Ticket
		evidence symbolon.Evidence
		policy   func(*Policy)

		action   symbolon.Action
		user     symbolon.UserID
		findings string
		err      error
		asks     Question
		conflict bool
		retire   symbolon.UserID
	}{
		// 1: the ledger
		{name: "linked", evidence: symbolon.Evidence{Link: live(alice, "a"), User: row("a", alice, alice), Row: row("a", alice, alice)},
			action: symbolon.Keep, user: "a"},
		{name: "linked, a newer reading", ticket: 6, evidence: symbolon.Evidence{Link: live(alice, "a"), User: row("a", alice, alice)},
			action: symbolon.Update, user: "a"},
		{name: "linked, an older reading", ticket: 5, evidence: symbolon.Evidence{Link: live(alice, "a"), User: row("a", alice, alice)},
			action: symbolon.Keep, user: "a"},
		{name: "linked, and the metadata claims another user", metadata: `{"id":"b"}`,
			evidence: symbolon.Evidence{Link: live(alice, "a"), User: row("a", alice, alice), Claims: claim(symbolon.Claimed{Row: row("b", bob, bob)})},
			action:   symbolon.Keep, user: "a"},
		{name: "row deleted", evidence: symbolon.Evidence{Link: live(alice, "a")},
			action: symbolon.Deny, user: "a", findings: "user_gone", err: symbolon.ErrUserGone},
		{name: "row deleted, recreate", evidence: symbolon.Evidence{Link: live(alice, "a")}, policy: func(p *Policy) { p.Recreate = true },
			action: symbolon.Create, user: fresh, findings: "user_gone", retire: "a"},
		{name: "row deleted, recreate, but the ID would be the same", evidence: symbolon.Evidence{Link: live(alice, "a")},
			policy: func(p *Policy) { p.Recreate = true; p.NewID = symbolon.ByIdentity },
			action: symbolon.Deny, user: "a", findings: "user_gone", err: symbolon.ErrUserGone},
		{name: "forgotten", evidence: symbolon.Evidence{Link: &symbolon.Link{Identity: alice, User: "a", State: symbolon.Forgotten}},
			action: symbolon.Deny, user: "a", err: symbolon.ErrUserGone},
		{name: "forgotten, recreate", evidence: symbolon.Evidence{Link: &symbolon.Link{Identity: alice, User: "a", State: symbolon.Forgotten}},
			policy: func(p *Policy) { p.Recreate = true }, action: symbolon.Create, user: fresh, retire: "a"},
		{name: "column set to null", evidence: symbolon.Evidence{Link: live(alice, "a"), User: row("a", "", alice)},
			action: symbolon.Deny, user: "a", findings: "column_disagrees", err: symbolon.ErrOnHold},
		{name: "column set to another identity", evidence: symbolon.Evidence{Link: live(alice, "a"), User: row("a", bob, alice)},
			action: symbolon.Deny, user: "a", findings: "column_disagrees", err: symbolon.ErrOnHold},
		{name: "another row took the identity", evidence: symbolon.Evidence{Link: live(alice, "a"), Row: row("b", alice, "")},
			action: symbolon.Deny, user: "a", findings: "column_disagrees", err: symbolon.ErrOnHold},

		// The application denies the user. The bond stays, and its columns are written.
		{name: "denied", evidence: symbolon.Evidence{Link: live(alice, "a"), User: denied(row("a", alice, alice)), Row: denied(row("a", alice, alice))},
			action: symbolon.Keep, user: "a", err: symbolon.ErrDenied},
		{name: "denied, a newer reading", ticket: 6, evidence: symbolon.Evidence{Link: live(alice, "a"), User: denied(row("a", alice, alice))},
			action: symbolon.Update, user: "a", err: symbolon.ErrDenied},
		{name: "denied, recreate", evidence: symbolon.Evidence{Link: live(alice, "a"), User: denied(row("a", alice, alice))}, policy: func(p *Policy) { p.Recreate = true },
			action: symbolon.Keep, user: "a", err: symbolon.ErrDenied},
		{name: "denied, and the application filled the row", evidence: symbolon.Evidence{Row: denied(row("42", alice, ""))},
			action: symbolon.Attach, user: "42", err: symbolon.ErrDenied},
		{name: "denied, and the row lost the identity", evidence: symbolon.Evidence{Link: live(alice, "a"), User: denied(row("a", "", alice))},
			action: symbolon.Deny, user: "a", findings: "column_disagrees", err: symbolon.ErrOnHold},

		// Not everybody gets a user.
		{name: "not verified", policy: verifiedOnly, action: symbolon.Keep, err: symbolon.ErrNotEligible},
		{name: "another schema", policy: customers, action: symbolon.Keep, err: symbolon.ErrNotEligible},
		{name: "not verified, and has a user", policy: verifiedOnly, evidence: symbolon.Evidence{Link: live(alice, "a"), User: row("a", alice, alice), Row: row("a", alice, alice)},
			action: symbolon.Keep, user: "a"},
		{name: "not verified, and the application filled a row", policy: verifiedOnly, evidence: symbolon.Evidence{Row: row("42", alice, "")},
			action: symbolon.Attach, user: "42"},
		{name: "not verified, reserved", policy: verifiedOnly, metadata: `{"id":"` + string(minted) + `"}`, action: symbolon.Keep, err: symbolon.ErrNotEligible},
		{name: "not verified, with a voucher", policy: verifiedOnly, admin: withVoucher, evidence: symbolon.Evidence{Claims: vouched(symbolon.Claimed{Row: row("7", "", "")})},
			action: symbolon.Attach, user: "7"},
		{name: "not verified, with a voucher of somebody else's", policy: verifiedOnly, admin: withVoucher, evidence: symbolon.Evidence{Claims: vouched(symbolon.Claimed{Row: row("7", bob, bob)})},
			action: symbolon.Keep, err: symbolon.ErrNotEligible},
		{name: "another schema, claims a user", metadata: `{"id":"b"}`, policy: customers, evidence: symbolon.Evidence{Claims: claim(symbolon.Claimed{Row: row("b", bob, bob)})},
			action: symbolon.Keep, err: symbolon.ErrNotEligible},
		{name: "another schema, claims the user of an identity that may be gone", metadata: `{"id":"b"}`, admin: `null`,
			policy:   func(p *Policy) { p.Admin = true; customers(p) },
			evidence: symbolon.Evidence{Claims: claim(symbolon.Claimed{Row: row("b", bob, bob)})}, action: symbolon.Keep, err: symbolon.ErrNotEligible},
		{name: "another schema, too many conflicts", metadata: `{"id":"b"}`, policy: customers, evidence: symbolon.Evidence{Conflicts: 10, Claims: claim(symbolon.Claimed{Row: row("b", bob, bob)})},
			action: symbolon.Keep, err: symbolon.ErrNotEligible},
		{name: "another schema, and a claim that may be a voucher's", metadata: `{"id":"7"}`, policy: func(p *Policy) { p.Admin = true; customers(p) },
			asks: Question{Identity: true}},
		{name: "another schema, and the application makes the users", policy: func(p *Policy) { p.NewID = symbolon.ByApplication; p.Answer = &Answer{}; customers(p) },
			action: symbolon.Keep, err: symbolon.ErrNotEligible},
		{name: "another schema, row deleted, recreate", policy: func(p *Policy) { p.Recreate = true; customers(p) }, evidence: symbolon.Evidence{Link: live(alice, "a")},
			action: symbolon.Deny, user: "a", findings: "user_gone", err: symbolon.ErrUserGone},
		{name: "another schema, on hold because the table refused the user", policy: customers,
			evidence: symbolon.Evidence{Link: &symbolon.Link{Identity: alice, State: symbolon.OnHold, Reason: symbolon.CannotCreate}}, action: symbolon.Keep, err: symbolon.ErrNotEligible},

		// 2: the application's row
		{name: "a row that the application filled", metadata: `{"id":"42"}`,
			evidence: symbolon.Evidence{Row: row("42", alice, ""), Claims: claim(symbolon.Claimed{Row: row("42", alice, "")})},
			action:   symbolon.Attach, user: "42"},
		{name: "a row that the application filled, the ID is a number", metadata: `{"id":42}`, evidence: symbolon.Evidence{Row: row("42", alice, "")},
			action: symbolon.Attach, user: "42"},
		{name: "the ledger links the row to another identity", evidence: symbolon.Evidence{Row: row("a", alice, bob)},
			action: symbolon.Deny, user: "a", findings: "column_disagrees", err: symbolon.ErrOnHold},

		// 4: minted
		{name: "reserved", metadata: `{"id":"` + string(minted) + `"}`, action: symbolon.Create, user: minted},
		{name: "reserved in external_id", external: string(minted), action: symbolon.Create, user: minted},
		{name: "reserved, but retired", metadata: `{"id":"` + string(minted) + `"}`, evidence: symbolon.Evidence{Claims: claim(symbolon.Claimed{Retired: true})},
			action: symbolon.Create, user: fresh, findings: "foreign_back_reference"},
		{name: "reserved, but the database makes the IDs", metadata: `{"id":"` + string(minted) + `"}`,
			policy: func(p *Policy) { p.NewID = symbolon.ByDatabase }, action: symbolon.Create, user: "", findings: "foreign_back_reference"},
		{name: "minted, but another identity has the user", metadata: `{"id":"` + string(minted) + `"}`,
			evidence: symbolon.Evidence{Claims: claim(symbolon.Claimed{Row: row(minted, bob, bob)})},
			action:   symbolon.Create, user: fresh, findings: "claimed_by_other", conflict: true},

		// 5: a voucher
		{name: "voucher", admin: withVoucher, evidence: symbolon.Evidence{Claims: vouched(symbolon.Claimed{Row: row("7", "", "")})}, action: symbolon.Attach, user: "7"},
		{name: "voucher for a user that another identity has", admin: withVoucher, evidence: symbolon.Evidence{Claims: vouched(symbolon.Claimed{Row: row("7", bob, bob)})},
			action: symbolon.Create, user: fresh, findings: "claimed_by_other", conflict: true},
		{name: "voucher for a user that does not exist", admin: withVoucher, evidence: symbolon.Evidence{Claims: vouched(symbolon.Claimed{})},
			action: symbolon.Create, user: fresh, findings: "voucher_void"},
		{name: "forged voucher", admin: `{"symbolon":{"user":"7","proof":"v1.AAAA"}}`, evidence: symbolon.Evidence{Claims: vouched(symbolon.Claimed{Row: row("7", "", "")})},
			action: symbolon.Create, user: fresh, findings: "voucher_void"},
		{name: "voucher in another form", admin: `{"symbolon":"7"}`, action: symbolon.Create, user: fresh, findings: "voucher_void"},
		{name: "a claim leads to one admin reading", metadata: `{"id":"7"}`, policy: func(p *Policy) { p.Admin = true },
			asks: Question{Identity: true}},

		// 6: fresh
		{name: "no claim", action: symbolon.Create, user: fresh},
		{name: "null", metadata: `null`, action: symbolon.Create, user: fresh},
		{name: "null id", metadata: `{"id":null}`, action: symbolon.Create, user: fresh},
		{name: "other keys", metadata: `{"plan":"gold"}`, action: symbolon.Create, user: fresh},
		{name: "the database makes the ID", policy: func(p *Policy) { p.NewID = symbolon.ByDatabase }, action: symbolon.Create, user: ""},
		{name: "the identity's ID is the user's", policy: func(p *Policy) { p.NewID = symbolon.ByIdentity }, action: symbolon.Create, user: symbolon.UserID(alice)},
		{name: "an ID that no user has", metadata: `{"id":"1"}`, action: symbolon.Create, user: fresh, findings: "foreign_back_reference"},
		{name: "an object", metadata: `{"id":{"a":1}}`, action: symbolon.Create, user: fresh, findings: "foreign_back_reference"},
		{name: "a fraction", metadata: `{"id":1.5}`, action: symbolon.Create, user: fresh, findings: "foreign_back_reference"},
		{name: "a megabyte", metadata: `{"id":"` + strings.Repeat("x", 1<<20) + `"}`, action: symbolon.Create, user: fresh, findings: "foreign_back_reference"},
		{name: "a NUL", metadata: `{"id":"a\u0000"}`, action: symbolon.Create, user: fresh, findings: "foreign_back_reference"},
		{name: "metadata is a string", metadata: `"x"`, action: symbolon.Create, user: fresh, findings: "metadata_not_object"},
		{name: "metadata is an array", metadata: `[1]`, action: symbolon.Create, user: fresh, findings: "metadata_not_object"},
		{name: "another's user", metadata: `{"id":"b"}`, evidence: symbolon.Evidence{Claims: claim(symbolon.Claimed{Row: row("b", bob, bob)})},
			action: symbolon.Create, user: fresh, findings: "claimed_by_other", conflict: true},
		{name: "another's user, linked by the row only", metadata: `{"id":"b"}`, evidence: symbolon.Evidence{Claims: claim(symbolon.Claimed{Row: row("b", bob, "")})},
			action: symbolon.Create, user: fresh, findings: "claimed_by_other", conflict: true},
		{name: "another's user, linked by the ledger only", metadata: `{"id":"b"}`, evidence: symbolon.Evidence{Claims: claim(symbolon.Claimed{Linked: bob})},
			action: symbolon.Create, user: fresh, findings: "claimed_by_other", conflict: true},
		{name: "a user without identity", metadata: `{"id":"b"}`, evidence: symbolon.Evidence{Claims: claim(symbolon.Claimed{Row: row("b", "", "")})},
			action: symbolon.Create, user: fresh, findings: "foreign_back_reference", conflict: true},
		{name: "an external_id that no user has", external: "crm-5", action: symbolon.Create, user: fresh},
		{name: "an external_id that names a user", external: "b", evidence: symbolon.Evidence{Claims: []symbolon.Claimed{{}, {Row: row("b", bob, bob)}, {}}},
			action: symbolon.Create, user: fresh, findings: "claimed_by_other", conflict: true},

		// Whether the owner of the claimed user is gone.
		{name: "it is not known whether the owner is gone", metadata: `{"id":"b"}`, admin: `null`, policy: func(p *Policy) { p.Admin = true },
			evidence: symbolon.Evidence{Claims: claim(symbolon.Claimed{Row: row("b", bob, bob)})}, asks: Question{Gone: bob}},
		{name: "the owner is gone", metadata: `{"id":"b"}`, admin: `null`,
			policy:   func(p *Policy) { p.Admin = true; p.Gone = map[symbolon.IdentityID]bool{bob: true} },
			evidence: symbolon.Evidence{Claims: claim(symbolon.Claimed{Row: row("b", bob, bob)})}, action: symbolon.Hold, findings: "recreated_identity", err: symbolon.ErrOnHold},
		{name: "the owner is there", metadata: `{"id":"b"}`, admin: `null`,
			policy:   func(p *Policy) { p.Admin = true; p.Gone = map[symbolon.IdentityID]bool{bob: false} },
			evidence: symbolon.Evidence{Claims: claim(symbolon.Claimed{Row: row("b", bob, bob)})}, action: symbolon.Create, user: fresh, findings: "claimed_by_other", conflict: true},

		// Too many conflicts in an hour.
		{name: "the tenth conflict", metadata: `{"id":"b"}`, evidence: symbolon.Evidence{Conflicts: 9, Claims: claim(symbolon.Claimed{Row: row("b", bob, bob)})},
			action: symbolon.Create, user: fresh, findings: "claimed_by_other", conflict: true},
		{name: "the eleventh conflict", metadata: `{"id":"b"}`, evidence: symbolon.Evidence{Conflicts: 10, Claims: claim(symbolon.Claimed{Row: row("b", bob, bob)})},
			action: symbolon.Hold, findings: "claimed_by_other", err: symbolon.ErrOnHold},
		{name: "the hundredth conflict among ten thousand users", metadata: `{"id":"b"}`, evidence: symbolon.Evidence{Conflicts: 99, Users: 10_000, Claims: claim(symbolon.Claimed{Row: row("b", bob, bob)})},
			action: symbolon.Create, user: fresh, findings: "claimed_by_other", conflict: true},
		{name: "a claim without a conflict is never held", metadata: `{"id":"1"}`, evidence: symbolon.Evidence{Conflicts: 99},
			action: symbolon.Create, user: fresh, findings: "foreign_back_reference"},
		{name: "on hold for a conflict, and still claiming", metadata: `{"id":"b"}`,
			evidence: symbolon.Evidence{Link: &symbolon.Link{Identity: alice, State: symbolon.OnHold, Reason: symbolon.ClaimedByOther}, Claims: claim(symbolon.Claimed{Row: row("b", bob, bob)})},
			action:   symbolon.Hold, findings: "claimed_by_other", err: symbolon.ErrOnHold},
		{name: "on hold for a conflict, and the claim was removed", evidence: symbolon.Evidence{Link: &symbolon.Link{Identity: alice, State: symbolon.OnHold, Reason: symbolon.ClaimedByOther}},
			action: symbolon.Create, user: fresh},
		{name: "on hold because the table refused the user: tried again", evidence: symbolon.Evidence{Link: &symbolon.Link{Identity: alice, State: symbolon.OnHold, Reason: symbolon.CannotCreate}},
			action: symbolon.Create, user: fresh},
		{name: "the operator moved its user away", evidence: symbolon.Evidence{Link: &symbolon.Link{Identity: alice, State: symbolon.OnHold, Reason: symbolon.Moved}},
			action: symbolon.Hold, err: symbolon.ErrOnHold},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := symbolon.Reading{Ticket: tt.ticket, Admin: tt.admin != "", Identity: symbolon.Identity{ID: alice, ExternalID: tt.external,
				MetadataPublic: []byte(tt.metadata), MetadataAdmin: []byte(tt.admin)}}
			p := Policy{Minter: minter, Key: "id", NewID: symbolon.ByMint, Fresh: func() symbolon.UserID { return fresh }}
			if tt.policy != nil {
				tt.policy(&p)
			}
			got, asked := Identity(r, tt.evidence, p)
			if got.Action != tt.action || got.User != tt.user || got.Retire != tt.retire {
				t.Errorf("got %s %q retiring %q, want %s %q retiring %q", got.Action, got.User, got.Retire, tt.action, tt.user, tt.retire)
			}
			if kinds := findingKinds(got); kinds != tt.findings {
				t.Errorf("findings %q, want %q", kinds, tt.findings)
			}
			if !errors.Is(got.Err, tt.err) || (got.Err == nil) != (tt.err == nil) {
				t.Errorf("error %v, want %v", got.Err, tt.err)
			}
			if asked != tt.asks || got.Conflict != tt.conflict {
				t.Errorf("asks %+v conflict %v, want %+v %v", asked, got.Conflict, tt.asks, tt.conflict)
			}
			for _, f := range got.Findings {
				if f.Detail == "" || f.Identity != alice {
					t.Errorf("finding %+v has no detail or another identity", f)
				}
				if strings.Contains(f.Detail, "a new user was made") && got.Action != symbolon.Create {
					t.Errorf("finding %q, but the action is %s", f.Detail, got.Action)
				}
			}
		})
	}
}

func findingKinds(p symbolon.Plan) string {
	var out []string
	for _, f := range p.Findings {
		out = append(out, string(f.Kind))
	}
	return strings.Join(out, " ")
}
