package adopt_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/adopt"
	"github.com/symbolon-id/symbolon/link"
)

// TestRenew checks that only a held identity and one whose row is missing get a new user, only
// if users.when admits them, and that a dry run lists them and changes nothing.
func TestRenew(t *testing.T) {
	onBoth(t, func(t *testing.T, s *small) {
		shop := func(i *symbolon.Identity) { i.SchemaID = "shop" }
		for n := range 4 {
			s.user(row{id: n + 1001}) // the sequence of Postgres begins at 1
			s.identity(n, shop)
			if _, err := s.Linker.Bind(t.Context(), identityID(n), symbolon.UserID(fmt.Sprint(n+1001)), symbolon.BindOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		s.identity(1, func(i *symbolon.Identity) { i.SchemaID = "staff" })
		s.exec(`delete from accounts where id in (1001, 1002, 1003)`)
		s.ory.mu.Lock()
		delete(s.ory.identities, identityID(2))
		s.ory.mu.Unlock()
		s.Linker.When = link.When{SchemaIDs: []string{"shop"}}
		t.Cleanup(func() { s.Linker.When = link.When{} })

		before := s.content()
		for _, dryRun := range []bool{true, false} {
			var seen []adopt.Renewal
			r, err := s.Renew(t.Context(), dryRun, "the database was made anew", adopt.Options{}, func(n adopt.Renewal) error {
				seen = append(seen, n)
				return nil
			})
			want := adopt.Renewal{Identity: identityID(0), User: "1001", Reason: "user_gone"}
			if err != nil || len(seen) != 1 || seen[0] != want || r.Found["user_gone"] != 1 || r.NotEligible != 1 || len(r.Refused) != 1 || r.Done != map[bool]int{false: 1}[dryRun] {
				t.Errorf("dry run %v: %+v %+v %v", dryRun, r, seen, err)
			}
			if same := s.content() == before; same != dryRun {
				t.Errorf("dry run %v: unchanged %v\n%s", dryRun, same, s.content())
			}
		}
		s.ory.noAdmin = true
		if _, err := s.Renew(t.Context(), true, "", adopt.Options{}, nil); !errors.Is(err, symbolon.ErrNoAdmin) {
			t.Error(err)
		}
	})
}

// TestSurveyOfEmails checks that a plan without adopt.verified_email counts the identities that
// have the address of a free user, and those that get no user or a new one.
func TestSurveyOfEmails(t *testing.T) {
	onBoth(t, func(t *testing.T, s *small) {
		address := func(email string) func(*symbolon.Identity) {
			return func(i *symbolon.Identity) { i.Addresses = []symbolon.Address{{Value: email, Via: "email"}} }
		}
		s.user(row{id: 1, email: "One@example.org"})
		s.user(row{id: 2, email: "two@example.org"})
		s.user(row{id: 3, email: "three@example.org", ory: string(identityID(9))})
		s.identity(1, address("one@example.org"))
		s.identity(2, address("two@example.org"))
		s.identity(3, address("three@example.org"))
		s.identity(4, address("four@example.org"))
		s.Linker.When = link.When{Verified: true}
		t.Cleanup(func() { s.Linker.When = link.When{} })
		_, counts := s.plan(adopt.Options{EmailColumn: "email"})
		if counts.Mailed != 2 || counts.Undecided != 4 || counts.NotEligible != 4 || counts.New != 0 {
			t.Errorf("%+v", counts)
		}
		s.Linker.When = link.When{}
		if _, counts = s.plan(adopt.Options{}); counts.Mailed != 0 || counts.New != 4 || counts.NotEligible != 0 {
			t.Errorf("without the column: %+v", counts)
		}
	})
}
