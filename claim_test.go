package symbolon

import (
	"fmt"
	"testing"
)

// FuzzClaims: whatever stands in the metadata, it is read without a panic and
// names nobody who cannot be a key in both databases.
func FuzzClaims(f *testing.F) {
	for _, s := range []string{``, `null`, `{}`, `{"id":"42"}`, `{"id":42}`, `{"id":{}}`, `[]`, `"x"`, `{"id":"\u0000"}`, `{"symbolon":{"user":"7","proof":"v1."}}`} {
		f.Add([]byte(s), []byte(s))
	}
	m := NewMinter("default", newKey)
	f.Fuzz(func(t *testing.T, public, admin []byte) {
		c := claimsOf(Identity{ID: alice, MetadataPublic: public, MetadataAdmin: admin}, "id")
		for _, user := range c.users() {
			if user != "" && !plausible(string(user)) {
				t.Errorf("%q names %q", public, user)
			}
		}
		if m.Vouched(c.voucher) {
			t.Errorf("%q is vouched for", admin)
		}
		plan, _ := decide(Seen{Identity: Identity{ID: alice, MetadataPublic: public, MetadataAdmin: admin}}, Held{}, policy{minter: m, key: "id", newID: ByMint, fresh: "f"})
		if plan.Action != Create {
			t.Errorf("%q, %q: %s", public, admin, fmt.Sprint(plan))
		}
	})
}
