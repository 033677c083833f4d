package decide

import (
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
)

// FuzzNormalEmail checks that NormalEmail is idempotent and changes only ASCII letters.
func FuzzNormalEmail(f *testing.F) {
	f.Add("Ann@Example.org")
	f.Add("\u212aim@example.org")
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := symbolon.NormalEmail(s)
		if !ok {
			return
		}
		again, ok := symbolon.NormalEmail(n)
		if !ok || again != n || len(n) != len(s) {
			t.Errorf("%q, %q, %q", s, n, again)
		}
		for i := range len(s) {
			if s[i] != n[i] && (s[i] < 'A' || s[i] > 'Z' || n[i] != s[i]+32) {
				t.Errorf("%q, %q", s, n)
			}
		}
	})
}

// FuzzParseIdentityID checks that a valid ID has one canonical form, which differs in
// case at most.
func FuzzParseIdentityID(f *testing.F) {
	f.Add("3F1B6A52-8f3e-4a8b-9d67-5b1c2d3e4f50")
	f.Add("00000000-0000-0000-0000-000000000000")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := symbolon.ParseIdentityID(s)
		if err != nil {
			return
		}
		if again, err := symbolon.ParseIdentityID(string(id)); err != nil || again != id || !strings.EqualFold(s, string(id)) {
			t.Errorf("%q -> %q -> %q, %v", s, id, again, err)
		}
	})
}
