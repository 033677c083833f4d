package decide

import (
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

// TestWhen checks which identities get a user.
func TestWhen(t *testing.T) {
	verified := symbolon.Address{Value: "+1", Via: "sms", Verified: true}
	for _, tt := range []struct {
		name string
		when When
		id   symbolon.Identity
		want bool
	}{
		{"everybody", When{}, symbolon.Identity{}, true},
		{"the schema", When{SchemaIDs: []string{"staff", "customer"}}, symbolon.Identity{SchemaID: "customer"}, true},
		{"another schema", When{SchemaIDs: []string{"customer"}}, symbolon.Identity{SchemaID: "Customer"}, false},
		{"an unknown schema", When{SchemaIDs: []string{"customer"}}, symbolon.Identity{}, false},
		{"verified", When{Verified: true}, symbolon.Identity{Addresses: []symbolon.Address{{Value: "a@b.c", Via: "email"}, verified}}, true},
		{"not verified", When{Verified: true}, symbolon.Identity{Addresses: []symbolon.Address{{Value: "a@b.c", Via: "email"}}}, false},
		{"no address", When{Verified: true}, symbolon.Identity{}, false},
		{"verified, another schema", When{SchemaIDs: []string{"customer"}, Verified: true}, symbolon.Identity{SchemaID: "robot", Addresses: []symbolon.Address{verified}}, false},
	} {
		if got := tt.when.Admits(tt.id); got != tt.want || (tt.when.Refuses(tt.id) == "") != tt.want {
			t.Errorf("%s: %v, %q", tt.name, got, tt.when.Refuses(tt.id))
		}
	}
}

// TestVoucherOfSomebodyNotEligible: an identity that carries a reserved or minted ID and a voucher,
// and that is not eligible, gets the user of the voucher.
func TestVoucherOfSomebodyNotEligible(t *testing.T) {
	minter := mint.NewMinter("default", newKey)
	voucher, err := minter.Voucher("7")
	if err != nil {
		t.Fatal(err)
	}
	proof, err := minter.Reserve("42")
	if err != nil {
		t.Fatal(err)
	}
	for newID, metadata := range map[symbolon.NewID]string{symbolon.ByDatabase: `{"id":"42","id_reserved":"` + proof + `"}`,
		symbolon.ByMint: `{"id":"` + string(minter.Mint(testNow)) + `"}`} {
		p := Policy{Minter: minter, Key: "id", NewID: newID, Admin: true, When: When{Verified: true}, Fresh: func() symbolon.UserID { return "fresh" }}
		r := symbolon.Reading{Identity: symbolon.Identity{ID: alice, MetadataPublic: []byte(metadata)}}
		if _, question := Identity(r, symbolon.Evidence{}, p); !question.Identity {
			t.Errorf("%s: the admin API is not asked for a voucher: %+v", newID, question)
		}
		r.Admin, r.Identity.MetadataAdmin = true, []byte(`{"symbolon":{"user":"7","proof":"`+voucher.Proof+`"}}`)
		e := symbolon.Evidence{Claims: []symbolon.Claimed{{}, {}, {Row: &symbolon.Row{ID: "7"}}}}
		if plan, question := Identity(r, e, p); !question.None() || plan.Action != symbolon.Attach || plan.User != "7" {
			t.Errorf("%s: %+v %+v", newID, plan, question)
		}
	}
}
