package adopt_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/adopt"
	"github.com/symbolon-id/symbolon/sqlstore"
)

var everything = adopt.Options{By: []symbolon.Proof{symbolon.ByExternalID, "metadata_public.id", "column:legacy"}, Email: true}

// crowd creates one case of each class. want is the expected line of each.
func crowd(s *small) (want map[string]string) {
	want = map[string]string{} // identity or user -> class user by
	mail := func(value string, verified bool) func(*symbolon.Identity) {
		return func(id *symbolon.Identity) {
			id.Addresses = []symbolon.Address{{Value: value, Via: "email", Verified: verified}}
		}
	}
	external := func(user string) func(*symbolon.Identity) {
		return func(id *symbolon.Identity) { id.ExternalID = user }
	}
	n := 0
	who := func(says string, change func(*symbolon.Identity)) symbolon.IdentityID {
		n++
		id := s.identity(n, change)
		want[string(id)] = says
		return id
	}
	s.user(row{id: 1, ory: who("column 1 identity_column", nil)})
	s.user(row{id: 2})
	who("named 2 external_id", external("2"))
	s.user(row{id: 3})
	who("named 3 metadata_public.id", func(id *symbolon.Identity) { id.MetadataPublic = []byte(`{"id":3}`) })
	s.user(row{id: 4})
	who("voucher 4 voucher", func(id *symbolon.Identity) { id.MetadataAdmin = s.voucher("4") })
	s.user(row{id: 5, email: "Five@Example.org", verified: true})
	who("email 5 verified_email", mail("five@example.ORG", true))
	s.user(row{id: 6, legacy: strings.ToUpper(string(who("named 6 column:legacy", nil)))})

	s.user(row{id: 10, email: "ten@example.org", verified: true})
	who("ambiguous 10 verified_email", mail("ten@example.org", false))
	s.user(row{id: 11, email: "eleven@example.org", verified: false})
	who("ambiguous 11 verified_email", mail("eleven@example.org", true))
	s.user(row{id: 12, email: "twelve@example.org", verified: true})
	s.user(row{id: 13, email: "TWELVE@example.org"})
	who("ambiguous  verified_email", mail("twelve@example.org", true))
	want["user 12"], want["user 13"] = "ambiguous 12 ", "ambiguous 13 "
	s.user(row{id: 14})
	who("ambiguous 14 external_id", external("14"))
	who("ambiguous 14 metadata_public.id", func(id *symbolon.Identity) { id.MetadataPublic = []byte(`{"id":"14"}`) })
	s.user(row{id: 15})
	s.user(row{id: 16, email: "sixteen@example.org", verified: true})
	who("ambiguous  ", func(id *symbolon.Identity) {
		external("15")(id)
		mail("sixteen@example.org", true)(id)
	})
	want["user 15"], want["user 16"] = "ambiguous 15 ", "ambiguous 16 "

	who("alone  ", nil)
	who("alone  ", external("999"))
	who("alone  ", mail("\u212aim@example.org", true)) // KELVIN SIGN
	s.user(row{id: 17, email: "kim@example.org", verified: true})
	want["user 17"] = "alone 17 "
	s.user(row{id: 18})
	want["user 18"] = "alone 18 "
	s.user(row{id: 19, ory: "eeeeeeee-0000-4000-8000-000000000000"})
	want["user 19"] = "alone 19 "
	return want
}

// TestPlan checks that every identity is in one line and every user in at least one, with
// the known facts, and that a plan writes nothing.
func TestPlan(t *testing.T) {
	onBoth(t, func(t *testing.T, s *small) {
		want := crowd(s)
		before := s.content()
		lines, counts := s.plan(everything)
		got, users := map[string]string{}, map[symbolon.UserID]bool{}
		for _, l := range lines {
			key := string(l.Identity)
			if key == "" {
				key = "user " + string(l.User)
			}
			if _, twice := got[key]; twice {
				t.Errorf("%s is in two lines", key)
			}
			got[key] = fmt.Sprintf("%s %s %s", l.Class, l.User, l.By)
			users[l.User] = true
		}
		for key, says := range want {
			if got[key] != says {
				t.Errorf("%s: %q, want %q", key, got[key], says)
			}
		}
		if len(got) != len(want) || counts.Bind != 6 || counts.Identities != len(s.ory.identities) || counts.Users != 16 {
			t.Errorf("%d lines for %d, %+v", len(got), len(want), counts)
		}
		for n := range 20 {
			if id := symbolon.UserID(fmt.Sprint(n)); !users[id] && n > 0 && (n < 7 || n > 9) {
				t.Errorf("user %s is in no line", id)
			}
		}
		if s.content() != before {
			t.Error("a plan wrote something")
		}
	})
}

// TestPlanUsesOnlyNamedPlaces checks that without Options.By only the identity column and
// vouchers are used.
func TestPlanUsesOnlyNamedPlaces(t *testing.T) {
	onBoth(t, func(t *testing.T, s *small) {
		crowd(s)
		lines, _ := s.plan(adopt.Options{})
		for _, l := range lines {
			if l.Do == adopt.Bind && l.Class != adopt.Column && l.Class != adopt.Voucher {
				t.Errorf("%+v", l)
			}
		}
	})
}

// TestApplyAndUndo checks that repeated calls of Apply apply a plan once. After Undo the
// data is as before, and the plan can be applied again.
func TestApplyAndUndo(t *testing.T) {
	onBoth(t, func(t *testing.T, s *small) {
		crowd(s)
		before := s.content()
		lines, counts := s.plan(everything)
		first := s.apply(lines, adopt.Options{})
		if first.Done != counts.Bind || len(first.Refused)+first.Failed+first.Before > 0 {
			t.Fatalf("%+v", first)
		}
		after := s.content()
		if again := s.apply(lines, adopt.Options{}); again.Done != 0 || again.Before != counts.Bind || s.content() != after || again.Run != first.Run {
			t.Errorf("again: %+v", again)
		}
		if _, left := s.plan(everything); left.Bind != 0 || left.Lines[adopt.Linked] != counts.Bind {
			t.Errorf("a plan after the run: %+v", left)
		}
		if undone := s.undo(first.Run); undone.Done != counts.Bind || len(undone.Refused) > 0 || s.undecided() != before {
			t.Errorf("undone: %+v\n%s\nwas\n%s", undone, s.content(), before)
		}
		if undone := s.undo(first.Run); undone.Done != 0 || undone.Before != counts.Bind || s.undecided() != before {
			t.Errorf("undone again: %+v", undone)
		}
		if third := s.apply(lines, adopt.Options{}); third.Done != counts.Bind || s.content() != after {
			t.Errorf("applied again: %+v", third)
		}
		if undone := s.undo(first.Run); undone.Done != counts.Bind || s.undecided() != before {
			t.Errorf("the second undo: %+v", undone)
		}
		if _, err := s.Undo(t.Context(), "nobody", adopt.Options{}); !errors.Is(err, adopt.ErrNoRun) {
			t.Error(err)
		}
	})
}

// TestApplyRefusesChangedFacts changes a fact of a line between Plan and Apply.
func TestApplyRefusesChangedFacts(t *testing.T) {
	mail := func(verified bool) func(*symbolon.Identity) {
		return func(id *symbolon.Identity) {
			id.Addresses = []symbolon.Address{{Value: "ann@example.org", Via: "email", Verified: verified}}
		}
	}
	external := func(id *symbolon.Identity) { id.ExternalID = "1" }
	var cases []func(*testing.T, *small)
	for _, tt := range []struct {
		name   string
		make   func(s *small)
		change func(s *small)
		why    string
	}{
		{"the identity is gone", func(s *small) { s.identity(1, external); s.user(row{id: 1}) },
			func(s *small) { delete(s.ory.identities, identityID(1)) }, "Ory does not have the identity"},
		{"the user is gone", func(s *small) { s.identity(1, external); s.user(row{id: 1}) },
			func(s *small) { s.exec(`delete from accounts`) }, "no such user"},
		{"the identity names no user any more", func(s *small) { s.identity(1, external); s.user(row{id: 1}) },
			func(s *small) { s.identity(1, nil) }, "alone"},
		{"another identity names the same user", func(s *small) { s.identity(1, external); s.user(row{id: 1}) },
			func(s *small) { s.identity(2, external) }, "another identity names the same user"},
		{"the user has an identity", func(s *small) { s.identity(1, external); s.user(row{id: 1}) },
			func(s *small) { s.exec(`update accounts set ory = $1`, identityID(2)) }, "the user has another identity"},
		{"the identity has a user", func(s *small) { s.identity(1, external); s.user(row{id: 1}) },
			func(s *small) { s.user(row{id: 2, ory: identityID(1)}) }, "now it is column, user 2"},
		{"the ID was given up", func(s *small) { s.identity(1, external); s.user(row{id: 1}) },
			func(s *small) {
				s.exec(`insert into ` + s.table("retired") + ` (project, user_id, retired_at) values ('default', '1', '2026-01-02T03:04:05.000000Z')`)
			}, "its ID was retired"},
		{"the column was emptied", func(s *small) { s.user(row{id: 1, ory: s.identity(1, nil)}) },
			func(s *small) { s.exec(`update accounts set ory = null`) }, "alone"},
		{"the other column was emptied", func(s *small) { s.user(row{id: 1, legacy: s.identity(1, nil)}) },
			func(s *small) { s.exec(`update accounts set legacy = 'x'`) }, "alone"},
		{"the address is unverified at Ory", func(s *small) {
			s.identity(1, mail(true))
			s.user(row{id: 1, email: "ann@example.org", verified: true})
		},
			func(s *small) { s.identity(1, mail(false)) }, "not verified"},
		{"the address is unverified here", func(s *small) {
			s.identity(1, mail(true))
			s.user(row{id: 1, email: "ann@example.org", verified: true})
		},
			func(s *small) { s.exec(`update accounts set verified = false`) }, "not verified"},
		{"two users have the address", func(s *small) {
			s.identity(1, mail(true))
			s.user(row{id: 1, email: "ann@example.org", verified: true})
		},
			func(s *small) { s.user(row{id: 2, email: "ANN@example.org"}) }, "more than one user"},
		{"two identities have the address", func(s *small) {
			s.identity(1, mail(true))
			s.user(row{id: 1, email: "ann@example.org", verified: true})
		},
			func(s *small) { s.identity(2, mail(false)) }, "another identity has the same"},
	} {
		cases = append(cases, func(t *testing.T, s *small) {
			t.Run(tt.name, func(t *testing.T) {
				s.begin(t)
				tt.make(s)
				lines, counts := s.plan(everything)
				if counts.Bind != 1 {
					t.Fatalf("%+v", lines)
				}
				tt.change(s)
				before, users := s.content(), s.lines(`select count(*) from accounts`)
				got := s.apply(lines, adopt.Options{})
				if got.Done+got.Before+got.Failed > 0 || len(got.Refused) != 1 || !strings.Contains(got.Refused[0].Why, tt.why) || s.undecided() != before || !got.Settled {
					t.Errorf("%+v", got)
				}
				id, there := s.ory.identities[lines[0].Identity]
				_, err := s.Linker.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest})
				if there && err != nil && !errors.Is(err, symbolon.ErrOnHold) || s.lines(`select count(*) from accounts`) != users {
					t.Errorf("the refused identity is not on hold: %v", err)
				}
			})
		})
	}
	onBoth(t, all(cases))
}

// TestApplyLooksAgain changes a fact after Apply has compared it with the plan. The
// Linker notices the change in its transaction or at Ory.
func TestApplyLooksAgain(t *testing.T) {
	mail := func(id *symbolon.Identity) {
		id.Addresses = []symbolon.Address{{Value: "ann@example.org", Via: "email", Verified: true}}
	}
	var cases []func(*testing.T, *small)
	for _, tt := range []struct {
		name   string
		by     symbolon.Proof
		make   func(s *small)
		change func(s *small)
		why    string
	}{
		{"gone", symbolon.ByExternalID, func(s *small) { s.identity(1, func(i *symbolon.Identity) { i.ExternalID = "1" }) },
			func(s *small) { delete(s.ory.identities, identityID(1)) }, "not found"},
		{"external_id", symbolon.ByExternalID, func(s *small) { s.identity(1, func(i *symbolon.Identity) { i.ExternalID = "1" }) },
			func(s *small) { s.ory.identities[identityID(1)] = symbolon.Identity{ID: identityID(1)} }, "does not name the user"},
		{"voucher", symbolon.ByVoucher, func(s *small) { s.identity(1, func(i *symbolon.Identity) { i.MetadataAdmin = s.voucher("1") }) },
			func(s *small) { s.ory.identities[identityID(1)] = symbolon.Identity{ID: identityID(1)} }, "does not name the user"},
		{"column", symbolon.ByIdentityColumn, func(s *small) { s.exec(`update accounts set ory = $1`, s.identity(1, nil)) },
			func(s *small) { s.exec(`update accounts set ory = null`) }, "does not hold"},
		{"e-mail here", symbolon.ByVerifiedEmail, func(s *small) { s.identity(1, mail) },
			func(s *small) { s.exec(`update accounts set verified = false`) }, "no longer proves that the two belong together"},
		{"e-mail at Ory", symbolon.ByVerifiedEmail, func(s *small) { s.identity(1, mail) },
			func(s *small) { s.ory.identities[identityID(1)].Addresses[0].Verified = false }, "no longer proves that the two belong together"},
		{"another user with the address", symbolon.ByVerifiedEmail, func(s *small) { s.identity(1, mail) },
			func(s *small) { s.user(row{id: 3, email: "Ann@Example.org"}) }, "more than one user"},
		{"the user was taken", symbolon.ByExternalID, func(s *small) { s.identity(1, func(i *symbolon.Identity) { i.ExternalID = "1" }) },
			func(s *small) { s.exec(`update accounts set ory = $1`, identityID(7)) }, "belongs to identity"},
	} {
		cases = append(cases, func(t *testing.T, s *small) {
			t.Run(tt.name, func(t *testing.T) {
				s.begin(t)
				s.user(row{id: 1, email: "ann@example.org", verified: true})
				tt.make(s)
				tt.change(s)
				before := s.content()
				_, made, err := s.Linker.Adopt(t.Context(), symbolon.Adoption{Identity: identityID(1), User: "1", By: tt.by, Run: "r"})
				if made || err == nil || !strings.Contains(err.Error(), tt.why) || s.content() != before {
					t.Errorf("%v %v", made, err)
				}
			})
		})
	}
	onBoth(t, all(cases))
}

// TestUndoRefusesAfterSignIn checks that Undo refuses users who have signed in since, and
// names them.
func TestUndoRefusesAfterSignIn(t *testing.T) {
	onBoth(t, func(t *testing.T, s *small) {
		for n := range 5 {
			s.user(row{id: n + 1, legacy: s.identity(n, nil)})
		}
		lines, _ := s.plan(everything)
		run := s.apply(lines, adopt.Options{}).Run
		s.ory.sessions[identityID(0)] = []symbolon.Session{sessionOf("1", time.Now().Add(time.Minute))}
		s.ory.sessions[identityID(1)] = []symbolon.Session{sessionOf("2", time.Now().Add(-time.Hour))}
		if _, err := s.Linker.Refresh(t.Context(), identityID(2), symbolon.FromSyncHook); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Linker.Bind(t.Context(), identityID(3), "4", symbolon.BindOptions{Why: "certain now"}); err != nil {
			t.Fatal(err)
		}
		s.exec(`update accounts set ory = null where id = 5`)
		got := s.undo(run)
		if got.Done != 2 || len(got.Refused) != 3 {
			t.Fatalf("%+v", got)
		}
		for i, want := range []string{"signed in since", "user.updated by sync", "changed or deleted"} {
			if !strings.Contains(got.Refused[i].Why, want) {
				t.Errorf("%+v", got.Refused[i])
			}
		}
	})
}

// TestUndoRefusesSeenSessions checks that Undo refuses people whose session from before the
// link was seen by the server since, or may have been seen, unless the operator allows it.
func TestUndoRefusesSeenSessions(t *testing.T) {
	const session = "5e550000-0000-4000-8000-000000000001"
	tests := []struct {
		name    string
		session time.Duration // the age of the person's session
		linked  time.Duration // the age of the link
		seen    int           // how many days ago the server saw the session; -1: never
		why     string
	}{
		{"seen today", time.Hour, 0, 0, "has seen a session"},
		{"never seen", time.Hour, 0, -1, ""},
		{"seen on the day before the link", time.Hour, 0, 1, ""},
		{"ended before the link", 48 * time.Hour, 0, 0, ""},
		{"an old link, seen", 75 * time.Hour, 72 * time.Hour, 1, "has seen a session"},
		{"an old link, not seen", 75 * time.Hour, 72 * time.Hour, -1, "for two days only"},
		{"an old link, and the session ended before it", 200 * time.Hour, 72 * time.Hour, -1, ""},
	}
	onBoth(t, func(t *testing.T, s *small) {
		table, shared := "symbolon.sessions", &sqlstore.Replicas{Store: s.store}
		if s.store.Dialect == sqlstore.SQLite {
			table = "symbolon_sessions"
		}
		s.Seen = shared.SeenSessions
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				s.begin(t)
				s.exec(`delete from ` + table)
				id := s.identity(1, nil)
				s.user(row{id: 1, legacy: id})
				lines, _ := s.plan(everything)
				now := time.Now() // the days do not depend on midnight
				s.store.Now = func() time.Time { return now.Add(-test.linked) }
				run := s.apply(lines, adopt.Options{}).Run
				s.ory.sessions[id] = []symbolon.Session{sessionOf(session, now.Add(-test.session))}
				if test.seen >= 0 {
					s.store.Now = func() time.Time { return now.AddDate(0, 0, -test.seen) }
					if err := shared.Remember(t.Context(), map[[32]byte]string{{1}: session}); err != nil {
						t.Fatal(err)
					}
				}
				s.store.Now = nil
				got := s.undo(run)
				if refused := len(got.Refused) == 1; refused != (test.why != "") || refused && !strings.Contains(got.Refused[0].Why, test.why) {
					t.Errorf("%+v, want %q", got, test.why)
				}
				if test.why == "" {
					return
				}
				if got, err := s.Undo(t.Context(), run, adopt.Options{DespiteSessions: true}); err != nil || got.Done != 1 {
					t.Errorf("despite the session: %+v %v", got, err)
				}
			})
		}
	})
}

// TestHeld: an identity on hold can be adopted, and is on hold again after Undo.
func TestHeld(t *testing.T) {
	onBoth(t, func(t *testing.T, s *small) {
		id := s.identity(1, func(i *symbolon.Identity) {
			i.ExternalID = "1"
			i.Addresses = []symbolon.Address{{Value: "ann@example.org", Via: "email"}}
		})
		s.user(row{id: 1, email: "ann@example.org", verified: true})
		s.Linker.AdoptVerifiedEmail = true
		link := func() error {
			_, err := s.Linker.Link(t.Context(), symbolon.Reading{Identity: s.ory.identities[id], Source: symbolon.FromRequest})
			return err
		}
		if err := link(); !errors.Is(err, symbolon.ErrOnHold) {
			t.Fatal(err)
		}
		before := s.content()
		lines, _ := s.plan(everything)
		r := s.apply(lines, adopt.Options{})
		if err := link(); r.Done != 1 || err != nil {
			t.Fatalf("%+v %v", r, err)
		}
		s.ory.sessions = nil
		if undone := s.undo(r.Run); undone.Done != 1 || s.undecided() != before {
			t.Errorf("%+v\n%s\nwas\n%s", undone, s.content(), before)
		}
		if err := link(); !errors.Is(err, symbolon.ErrOnHold) {
			t.Error(err)
		}
	})
}

// TestOryDown stops Ory during a run. The run returns an error, and the next run
// completes it.
func TestOryDown(t *testing.T) {
	onBoth(t, func(t *testing.T, s *small) {
		for n := range 40 {
			s.user(row{id: n + 1, legacy: s.identity(n, nil)})
		}
		lines, _ := s.plan(everything)
		s.ory.fail = func(id symbolon.IdentityID) error {
			if id > identityID(9) {
				return fmt.Errorf("down: %w", symbolon.ErrUnavailable)
			}
			return nil
		}
		r, err := s.Apply(t.Context(), lines, adopt.Options{})
		if !errors.Is(err, symbolon.ErrUnavailable) || r.Done != 10 || r.Failed != 10 {
			t.Errorf("%+v %v", r, err)
		}
		s.ory.fail = nil
		if r = s.apply(lines, adopt.Options{}); r.Done != 30 || r.Before != 10 {
			t.Errorf("%+v", r)
		}
		s.ory.noAdmin = true
		if _, err := s.Apply(t.Context(), lines, adopt.Options{}); !errors.Is(err, symbolon.ErrNoAdmin) {
			t.Error(err)
		}
	})
}

// limited is Ory's 429.
type limited struct{}

func (limited) Error() string { return "not so fast" }

func (limited) Wait() time.Duration { return time.Millisecond }

func (limited) Unwrap() []error { return []error{symbolon.ErrRateLimited, symbolon.ErrUnavailable} }

// TestRateLimits checks that a run waits as long as Ory demands, and skips no line.
func TestRateLimits(t *testing.T) {
	onBoth(t, func(t *testing.T, s *small) {
		for n := range 30 {
			s.user(row{id: n + 1, legacy: s.identity(n, nil)})
		}
		lines, _ := s.plan(everything)
		asked := 0
		s.ory.fail = func(symbolon.IdentityID) error {
			if asked++; asked%3 != 0 {
				return fmt.Errorf("read: %w", limited{})
			}
			return nil
		}
		if r := s.apply(lines, adopt.Options{}); r.Done != 30 || asked < 60 {
			t.Errorf("%+v, asked %d times", r, asked)
		}
	})
}
