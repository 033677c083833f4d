package adopt_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/adopt"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestWorlds generates identities and users that name each other. Applying a plan links
// what the plan says and nothing else. Applying it twice has the effect of once, and Undo
// restores the data.
func TestWorlds(t *testing.T) {
	for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
		t.Run(string(dialect), func(t *testing.T) {
			s, bound := world(t, dialect), 0
			rapid.Check(t, func(rt *rapid.T) {
				s.begin(rt)
				s.populate(rt)
				o := adopt.Options{Email: rapid.Bool().Draw(rt, "email")}
				for _, by := range everything.By {
					if rapid.Bool().Draw(rt, string(by)) {
						o.By = append(o.By, by)
					}
				}
				bound += s.checkRun(o)
			})
			t.Logf("%d links", bound)
			if bound == 0 {
				t.Error("no run linked anybody")
			}
		})
	}
}

// few is the number of user IDs and identity IDs in a random world.
const few = 7

func (s *small) populate(rt *rapid.T) {
	n := func(what string) int { return rapid.SampledFrom([]int{0, 1, 2, 3, 4, 5, 6, few}).Draw(rt, what) } // each equally likely
	addresses := []string{"", "a@example.org", "A@Example.org", "b@example.org", "\u212a@example.org", "k@example.org", "not one"}
	address := func(what string) string { return rapid.SampledFrom(addresses).Draw(rt, what) }
	for i := range n("identities") {
		s.identity(i, func(id *symbolon.Identity) {
			if user := n("external_id"); user > 0 && rapid.Bool().Draw(rt, "has external_id") {
				id.ExternalID = fmt.Sprint(user)
			}
			if user := n("metadata"); user > 0 && rapid.Bool().Draw(rt, "has metadata") {
				id.MetadataPublic = fmt.Appendf(nil, `{"id":"%d"}`, user)
			}
			if user := n("voucher"); user > 0 && rapid.Bool().Draw(rt, "has voucher") {
				id.MetadataAdmin = s.voucher(symbolon.UserID(fmt.Sprint(user)))
			}
			if a := address("address"); a != "" {
				id.Addresses = []symbolon.Address{{Value: a, Via: "email", Verified: rapid.Bool().Draw(rt, "verified")}}
			}
		})
	}
	used := map[int]bool{}
	for i := range n("users") {
		r := row{id: i + 1, email: address("e-mail"), verified: rapid.Bool().Draw(rt, "verified by us")}
		if at := n("column"); !used[at] && rapid.Bool().Draw(rt, "has column") {
			used[at], r.ory = true, identityID(at)
		}
		if at := n("legacy"); rapid.Bool().Draw(rt, "has legacy") {
			r.legacy = identityID(at)
		}
		s.user(r)
	}
	for range n("links") { // some are linked already
		if id, ok := s.ory.identities[identityID(n("link"))]; ok {
			_, _ = s.Linker.Link(s.t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest, Admin: true})
		}
	}
}

// checkRun plans, applies and undoes, and returns the number of links.
func (s *small) checkRun(o adopt.Options) int {
	before, undecided := s.content(), s.undecided()
	lines, counts := s.plan(o)
	s.checkLines(lines, counts)
	if s.content() != before {
		s.t.Errorf("a plan wrote something")
	}
	r := s.apply(lines, o)
	if r.Done != counts.Bind || len(r.Refused)+r.Before+r.Failed > 0 {
		s.t.Errorf("%d lines: %+v", counts.Bind, r)
	}
	after := s.content()
	for _, l := range lines {
		if l.Do == adopt.Bind && !strings.Contains(after, fmt.Sprintf("%s %s linked", l.Identity, l.User)) {
			s.t.Errorf("not linked: %+v\n%s", l, after)
		}
	}
	if again := s.apply(lines, o); again.Done != 0 || again.Before != counts.Bind || s.content() != after {
		s.t.Errorf("applied twice: %+v", again)
	}
	if counts.Bind == 0 {
		return 0
	}
	if undone := s.undo(r.Run); undone.Done != counts.Bind || len(undone.Refused) > 0 || s.undecided() != undecided {
		s.t.Errorf("undone: %+v\n%s\nwas\n%s", undone, s.content(), before)
	}
	if again, _ := s.plan(o); !slices.Equal(again, lines) {
		s.t.Errorf("another plan:\n%v\nwas\n%v", again, lines)
	}
	return counts.Bind
}

// checkLines checks that every identity is in one line, and every user in at least one. A
// user to be linked is in only one line.
func (s *small) checkLines(lines []adopt.Line, counts adopt.Counts) {
	identities, users, binds := map[symbolon.IdentityID]int{}, map[symbolon.UserID]bool{}, map[symbolon.UserID]int{}
	for _, l := range lines {
		if _, exists := s.ory.identities[l.Identity]; exists {
			identities[l.Identity]++
		}
		users[l.User] = true
		if l.Do == adopt.Bind {
			binds[l.User]++
		}
	}
	for id := range s.ory.identities {
		if identities[id] != 1 {
			s.t.Errorf("identity %s is in %d lines: %v", id, identities[id], lines)
		}
	}
	for id := range strings.FieldsSeq(strings.TrimSuffix(s.lines(`select cast(id as text) from accounts`), ".\n")) {
		if !users[symbolon.UserID(id)] {
			s.t.Errorf("user %s is in no line: %v", id, lines)
		}
	}
	for user, n := range binds {
		if n > 1 {
			s.t.Errorf("user %s is to be linked %d times", user, n)
		}
	}
	if len(s.ory.identities) != counts.Identities {
		s.t.Errorf("%+v", counts)
	}
}

// TestMany applies a plan from a file that is larger than a page.
func TestMany(t *testing.T) {
	n := 600
	if os.Getenv("SYMBOLON_TORTURE") != "" {
		n = 5000
	}
	onBoth(t, func(t *testing.T, s *small) {
		for i := range n {
			s.identity(i, func(id *symbolon.Identity) { id.ExternalID = fmt.Sprint(i + 1) })
		}
		s.exec(`insert into accounts (id) with recursive c (i) as (select 1 union all select i + 1 from c where i < ` + fmt.Sprint(n) + `) select i from c`)
		before := s.content()
		for _, format := range []adopt.Format{adopt.CSV, adopt.JSON} {
			var file bytes.Buffer
			w := adopt.NewWriter(&file, format)
			began := time.Now()
			_, err := s.Plan(t.Context(), everything, w.Write)
			if err == nil {
				err = w.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			planned := time.Since(began)
			lines, err := adopt.Read(&file)
			if err != nil || len(lines) != n {
				t.Fatal(len(lines), err)
			}
			began = time.Now()
			r := s.apply(lines, adopt.Options{})
			if r.Done != n {
				t.Fatalf("%+v", r)
			}
			t.Logf("%d: planned at %.0f/s, applied at %.0f/s", n, float64(n)/planned.Seconds(), float64(n)/time.Since(began).Seconds())
			if undone := s.undo(r.Run); undone.Done != n || s.undecided() != before {
				t.Errorf("%+v", undone)
			}
		}
	})
}
