package symbolon_test

import (
	"testing"

	"github.com/symbolon-id/symbolon"
)

func TestWhen(t *testing.T) {
	verified := symbolon.Address{Value: "+1", Via: "sms", Verified: true}
	for _, tt := range []struct {
		name string
		when symbolon.When
		id   symbolon.Identity
		want bool
	}{
		{"everybody", symbolon.When{}, symbolon.Identity{}, true},
		{"the schema", symbolon.When{SchemaIDs: []string{"staff", "customer"}}, symbolon.Identity{SchemaID: "customer"}, true},
		{"another schema", symbolon.When{SchemaIDs: []string{"customer"}}, symbolon.Identity{SchemaID: "Customer"}, false},
		{"an unknown schema", symbolon.When{SchemaIDs: []string{"customer"}}, symbolon.Identity{}, false},
		{"verified", symbolon.When{Verified: true}, symbolon.Identity{Addresses: []symbolon.Address{{Value: "a@b.c", Via: "email"}, verified}}, true},
		{"not verified", symbolon.When{Verified: true}, symbolon.Identity{Addresses: []symbolon.Address{{Value: "a@b.c", Via: "email"}}}, false},
		{"no address", symbolon.When{Verified: true}, symbolon.Identity{}, false},
		{"verified, another schema", symbolon.When{SchemaIDs: []string{"customer"}, Verified: true}, symbolon.Identity{SchemaID: "robot", Addresses: []symbolon.Address{verified}}, false},
	} {
		if got := tt.when.Admits(tt.id); got != tt.want || (tt.when.Refuses(tt.id) == "") != tt.want {
			t.Errorf("%s: %v, %q", tt.name, got, tt.when.Refuses(tt.id))
		}
	}
}
