package decide

import (
	"testing"

	"github.com/symbolon-id/symbolon"
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
