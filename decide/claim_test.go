package decide

import (
	"fmt"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/mint"
)

// FuzzClaims checks that no metadata causes a panic, and that a claimed user is always a
// valid key in both databases.
func FuzzClaims(f *testing.F) {
	for _, s := range []string{``, `null`, `{}`, `{"id":"42"}`, `{"id":42}`, `{"id":{}}`, `[]`, `"x"`, `{"id":"\u0000"}`, `{"symbolon":{"user":"7","proof":"v1."}}`} {
		f.Add([]byte(s), []byte(s))
	}
	m := mint.NewMinter("default", newKey)
	f.Fuzz(func(t *testing.T, public, admin []byte) {
		c := claimsOf(symbolon.Identity{ID: alice, MetadataPublic: public, MetadataAdmin: admin}, "id")
		for _, user := range c.users() {
			if user != "" && !IsKey(string(user)) {
				t.Errorf("%q names %q", public, user)
			}
		}
		if m.Vouched(c.voucher) {
			t.Errorf("%q was accepted as a voucher", admin)
		}
		plan, _ := Identity(symbolon.Reading{Identity: symbolon.Identity{ID: alice, MetadataPublic: public, MetadataAdmin: admin}}, symbolon.Evidence{}, Policy{Minter: m, Key: "id", NewID: symbolon.ByMint, Fresh: func() symbolon.UserID { return "f" }})
		if plan.Action != symbolon.Create {
			t.Errorf("%q, %q: %s", public, admin, fmt.Sprint(plan))
		}
	})
}
