package adopt_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/adopt"
	"github.com/symbolon-id/symbolon/decide"
)

// TestVerifiedEmailMatrix (I12) has 64 combinations: verified at Ory, verified here, user
// linked, a second user, an address that only looks alike, and an address with a tag.
// Exactly one combination links, by the plan and by the first request. If only a
// verification is missing, the identity is held. All others get a user of their own.
func TestVerifiedEmailMatrix(t *testing.T) {
	onBoth(t, func(t *testing.T, s *small) {
		s.Linker.AdoptVerifiedEmail = true
		live, planned := 0, 0
		for n := range 64 {
			bit := func(k int) bool { return n>>k&1 == 1 }
			atOry, here, bound, double, alike, tagged := bit(0), bit(1), bit(2), bit(3), bit(4), bit(5)
			name := fmt.Sprintf("verified %v/%v, linked %v, double %v, alike %v, tagged %v", atOry, here, bound, double, alike, tagged)
			s.begin(t)
			address := "kim@example.org"
			if alike {
				address = "\u212aim@example.org"
			}
			if tagged {
				address = strings.Replace(address, "@", "+tag@", 1)
			}
			s.user(row{id: 1, email: "Kim@Example.org", verified: here})
			if bound {
				s.exec(`update accounts set ory = $1`, s.identity(2, nil))
			}
			if double {
				s.user(row{id: 2, email: "KIM@example.org", verified: false})
			}
			id := s.identity(1, func(i *symbolon.Identity) {
				i.Addresses = []symbolon.Address{{Value: address, Via: "email", Verified: atOry}}
			})
			wanted := atOry && here && !bound && !double && !alike && !tagged
			waits := !bound && !double && !alike && !tagged && !wanted

			lines, _ := s.plan(adopt.Options{Email: true})
			for _, l := range lines {
				if l.Identity == id && l.Do == adopt.Bind {
					planned++
					if !wanted || l.User != "1" {
						t.Errorf("%s: planned %+v", name, l)
					}
				}
			}
			link, err := s.Linker.Link(t.Context(), symbolon.Reading{Identity: s.ory.identities[id], Source: symbolon.FromRequest})
			switch {
			case err == nil && link.User == "1":
				live++
				if !wanted {
					t.Errorf("%s: linked", name)
				}
			case errors.Is(err, symbolon.ErrOnHold):
				if !waits {
					t.Errorf("%s: %v", name, err)
				}
			case err != nil || wanted || waits:
				t.Errorf("%s: user %q, %v", name, link.User, err)
			}
		}
		if live != 1 || planned != 1 {
			t.Errorf("%d of 64 linked, %d planned; want 1 and 1", live, planned)
		}
	})
}

// TestHeldUntilVerified checks that an identity on hold is linked as soon as both sides
// have verified the address, and gets no user before. If the policy is off, addresses are
// not compared.
func TestHeldUntilVerified(t *testing.T) {
	onBoth(t, func(t *testing.T, s *small) {
		s.Linker.AdoptVerifiedEmail = true
		s.user(row{id: 1, email: "ann@example.org", verified: true})
		address := func(verified bool) func(*symbolon.Identity) {
			return func(i *symbolon.Identity) {
				i.Addresses = []symbolon.Address{{Value: "ann@example.org", Via: "email", Verified: verified}}
				i.MetadataPublic = fmt.Appendf(nil, `{"id":%q}`, s.Linker.Mint()) // as the reserve hook writes it
			}
		}
		id := s.identity(1, address(false))
		stale := s.ory.identities[id]
		for range 2 {
			if _, err := s.Linker.Refresh(t.Context(), id, symbolon.FromLinkHook); !errors.Is(err, symbolon.ErrOnHold) {
				t.Fatal(err)
			}
		}
		s.identity(1, address(true))
		link, err := s.Linker.Link(t.Context(), symbolon.Reading{Identity: stale, Source: symbolon.FromRequest}) // an old answer, as from an edge cache
		if err != nil || link.User != "1" {
			t.Fatalf("%+v %v", link, err)
		}
		r, err := s.Linker.Record(t.Context(), string(id))
		if err != nil || len(r.Findings) != 0 {
			t.Errorf("%+v %v", r.Findings, err)
		}

		s.begin(t)
		s.Linker.AdoptVerifiedEmail = false
		s.user(row{id: 1, email: "ann@example.org", verified: true})
		id = s.identity(1, address(true))
		if err := s.Linker.StartFresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if link, err := s.Linker.Refresh(t.Context(), id, symbolon.FromLinkHook); err != nil || link.User == "1" {
			t.Errorf("with the policy off: %+v %v", link, err)
		}
	})
}

// TestBulkByEmail checks that many identities at once get the same results as one by one.
func TestBulkByEmail(t *testing.T) {
	onBoth(t, func(t *testing.T, s *small) {
		s.Linker.AdoptVerifiedEmail = true
		var seen []symbolon.Reading
		for n := range 20 {
			address := fmt.Sprintf("p%d@example.org", n)
			s.user(row{id: n + 1, email: address, verified: true})
			id := s.identity(n, func(i *symbolon.Identity) {
				i.Addresses = []symbolon.Address{{Value: address, Via: "email", Verified: n%2 == 0}}
			})
			seen = append(seen, symbolon.Reading{Identity: s.ory.identities[id], Source: symbolon.FromReconcile, Admin: true})
		}
		for n, r := range s.Linker.LinkAll(t.Context(), seen) {
			if n%2 == 0 && (r.Err != nil || r.Link.User != symbolon.UserID(fmt.Sprint(n+1))) || n%2 == 1 && !errors.Is(r.Err, symbolon.ErrOnHold) {
				t.Errorf("%d: %+v", n, r)
			}
		}
	})
}

// TestVoucherBeforeEmail checks that a voucher has precedence over an address.
func TestVoucherBeforeEmail(t *testing.T) {
	onBoth(t, func(t *testing.T, s *small) {
		s.Linker.AdoptVerifiedEmail = true
		s.user(row{id: 1, email: "ann@example.org", verified: true})
		s.user(row{id: 2})
		id := s.identity(1, func(i *symbolon.Identity) {
			i.Addresses = []symbolon.Address{{Value: "ann@example.org", Via: "email"}}
			i.MetadataAdmin = s.voucher("2")
		})
		link, err := s.Linker.Link(t.Context(), symbolon.Reading{Identity: s.ory.identities[id], Source: symbolon.FromRequest})
		if err != nil || link.User != "2" {
			t.Errorf("%+v %v", link, err)
		}
	})
}

// alikes are runes that become the key's letter in some case folding.
var alikes = map[rune][]rune{'k': {'\u212a', 'K', 'k', '\uff4b'}, 'i': {'\u0131', '\u0130', 'I', 'i', '\uff49'}, 's': {'\u017f', 'S', 's', '\u0455'},
	'a': {'\u0430', '\u00e5', '\u212b', 'A', 'a'}, '@': {'@', '\uff20', '\ufe6b'}, '.': {'.', '\u3002', '\uff0e'}, 'e': {'\u00e9', 'e', 'E'}}

// TestRandomAddresses (I12) compares pairs of similar addresses, in the plan and in the
// queries of both databases. Two addresses match only if they differ in ASCII case at
// most.
func TestRandomAddresses(t *testing.T) {
	pairs := 1000
	if os.Getenv("SYMBOLON_TORTURE") != "" {
		pairs = 10_000
	}
	onBoth(t, func(t *testing.T, s *small) {
		r := rand.New(rand.NewPCG(12, 35))
		equal := 0
		for n := range pairs {
			base := fmt.Sprintf("kia.sise%d@sk.ie", n)
			ours, theirs := spell(r, base), spell(r, base)
			s.user(row{id: n + 1, email: theirs, verified: true})
			id := symbolon.Identity{ID: identityID(n), Addresses: []symbolon.Address{{Value: ours, Via: "email", Verified: true}}}
			held, err := s.store.Read(t.Context(), symbolon.Query{Project: "default", Reading: symbolon.Reading{Identity: id}, Emails: id.Emails()})
			if err != nil {
				t.Fatal(err)
			}
			_, verdict := decide.JudgeEmail(id, held.Matches)
			same := lowered(ours) == lowered(theirs) && !strings.ContainsFunc(ours, func(r rune) bool { return r >= 0x300 }) && strings.Count(ours, "@") == 1
			if (verdict == decide.EmailProves) != same {
				t.Errorf("%q and %q: %s", ours, theirs, verdict)
			}
			if same {
				equal++
			}
			s.identity(n, func(i *symbolon.Identity) { i.Addresses = id.Addresses })
		}
		lines, counts := s.plan(adopt.Options{Email: true})
		if counts.Bind != equal || equal == 0 || equal == pairs {
			t.Errorf("%d are to be linked, %d are equal", counts.Bind, equal)
		}
		for _, l := range lines {
			if l.Do == adopt.Bind && l.Identity != identityID(atoi(string(l.User))-1) {
				t.Errorf("%+v", l)
			}
		}
		t.Logf("%d pairs, %d equal", pairs, equal)
	})
}

// spell replaces some letters by similar ones, in most calls none.
func spell(r *rand.Rand, s string) string {
	odd := r.IntN(3) == 0
	return strings.Map(func(c rune) rune {
		others := alikes[c]
		if len(others) == 0 || odd && r.IntN(4) > 0 {
			return c
		}
		for {
			if o := others[r.IntN(len(others))]; odd || o < 0x80 {
				return o
			}
		}
	}, s)
}

// lowered is a second implementation, for comparison.
func lowered(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
