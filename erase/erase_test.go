package erase_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestErase erases a person by identity ID or user ID, with either row policy. Only two
// IDs of the person are left, and no reading restores the person.
func TestErase(t *testing.T) {
	for _, row := range []symbolon.RowPolicy{symbolon.AnonymiseRow, symbolon.DeleteRow} {
		t.Run(string(row), func(t *testing.T) {
			onBoth(t, sqlstore.Users{}, func(w *world) {
				other, _ := w.linked()
				for _, byUser := range []bool{true, false} {
					p, user := w.linked()
					known, err := w.client.Identity(w.Context(), symbolon.IdentityID(p.IdentityID))
					w.must(err)
					_, err = w.linker.Bind(w.Context(), symbolon.IdentityID(p.IdentityID), user, symbolon.BindOptions{Why: "ticket 8812"})
					w.must(err)
					w.exec(`update `+w.table("events")+` set detail = $1 where user_id = $2`, "a note on "+p.Email, string(user))
					w.exec(`insert into `+w.table("findings")+` (project, identity_id, kind, user_id, detail, opened_at, closed_at)
						values ('default', $1, 'column_refused', $2, $3, '2026-01-01T00:00:00.000000Z', '2026-01-02T00:00:00.000000Z')`, p.IdentityID, string(user), "name "+p.Email)
					id := p.IdentityID
					if byUser {
						id = string(user)
					}
					e := w.erase(erase.Request{ID: id, Row: row, Why: "ticket 8812"})
					if e.Identity != known.ID || e.User != user || e.Row != row || e.Why != "ticket 8812" {
						w.Errorf("%+v", e)
					}
					if n := e.Evidence[len(e.Evidence)-1]; n.Counts["events"] == 0 || n.Counts["findings"] != 1 {
						w.Errorf("scrubbed: %v", n.Counts)
					}
					if w.atOry(p.IdentityID) {
						w.Error("Ory still has the identity")
					}
					if _, status, err := w.ory.Whoami(w.Context(), p.Token); err != nil || status != 401 {
						w.Errorf("whoami: %d %v", status, err)
					}
					exists, left, err := w.store.LeftInRow(w.Context(), user, known.ID)
					if err != nil || len(left) > 0 || exists != (row == symbolon.AnonymiseRow) {
						w.Errorf("row: %t, left %v, %v", exists, left, err)
					}
					w.traceless(p.Email, "Trait Name "+strings.TrimSuffix(strings.TrimPrefix(p.Email, "Trait."), "@example.com"))
					w.barred(known)
					again := w.erase(erase.Request{ID: id, Row: row})
					if again.ID != e.ID {
						w.Error("a complete erasure was begun again")
					}
					fresh, err := w.ory.Register(w.Context(), p.Email, "correct horse battery", "Again")
					w.must(err)
					link, err := w.linker.Refresh(w.Context(), symbolon.IdentityID(fresh.IdentityID), symbolon.FromLinkHook)
					if err != nil || link.User == user {
						w.Errorf("a new sign-up with the address: user %s, %v", link.User, err)
					}
				}
				if w.state(other.IdentityID) != symbolon.Linked || !w.atOry(other.IdentityID) {
					w.Error("another person was erased")
				}
			})
		})
	}
}

// table returns the name of one of Symbolon's tables.
func (w *world) table(name string) string {
	if w.dialect == sqlstore.Postgres {
		return "symbolon." + name
	}
	return "symbolon_" + name
}

// TestOnlyOneID erases people with only an identity, only a user, or only a history.
func TestOnlyOneID(t *testing.T) {
	const missing = symbolon.IdentityID("1d000000-0000-4000-8000-00000000dead")
	row := func(w *world, identity any) symbolon.UserID {
		user := w.linker.Mint()
		w.exec(`insert into symbolon_users (id, ory_identity_id, email, name) values ($1, $2, 'trait.row@example.com', 'Trait Name')`, string(user), identity)
		return user
	}
	tests := []struct {
		name     string
		make     func(w *world) (id string, identity, user string)
		sessions string // outcome in the evidence
		row      string
	}{
		{"a user that has no identity", func(w *world) (string, string, string) {
			user := string(row(w, nil))
			return user, "", user
		}, "has no identity", "anonymised"},
		{"an identity that Symbolon does not know", func(w *world) (string, string, string) {
			id := w.register().IdentityID
			return id, id, ""
		}, "revoked its sessions", "has no user"},
		{"a row that a hand-written hook has made", func(w *world) (string, string, string) {
			id := w.register().IdentityID
			user := string(row(w, id))
			return user, id, user
		}, "revoked its sessions", "anonymised"},
		{"the identity of such a row", func(w *world) (string, string, string) {
			id := w.register().IdentityID
			user := string(row(w, id))
			return id, id, user
		}, "revoked its sessions", "anonymised"},
		{"an identity on hold", func(w *world) (string, string, string) {
			p, user := w.linked()
			other := w.register().IdentityID
			_, err := w.linker.Bind(w.Context(), symbolon.IdentityID(other), user, symbolon.BindOptions{Move: true})
			w.must(err)
			return p.IdentityID, p.IdentityID, "" // its former user has another identity
		}, "revoked its sessions", "has no user"},
		{"a user whose row the application has deleted", func(w *world) (string, string, string) {
			p, user := w.linked()
			tx, err := w.db.Begin()
			w.must(err)
			w.must(w.linker.Forget(w.Context(), tx, user))
			_, err = tx.Exec(`delete from symbolon_users where id = $1`, string(user))
			w.must(err)
			w.must(tx.Commit())
			return p.IdentityID, p.IdentityID, string(user)
		}, "revoked its sessions", "no row"},
		{"a user whose row is missing", func(w *world) (string, string, string) {
			p, user := w.linked()
			w.exec(`delete from symbolon_users where id = $1`, string(user))
			return string(user), p.IdentityID, string(user)
		}, "revoked its sessions", "no row"},
		{"an identity that was proved gone, with its row", func(w *world) (string, string, string) {
			control, _ := w.linked()
			p, user := w.linked()
			w.must(w.ory.DeleteIdentity(w.Context(), p.IdentityID))
			w.linker.OnIdentityDeleted = symbolon.KeepRow
			proofs, err := w.linker.ProveGone(w.Context(), []symbolon.IdentityID{symbolon.IdentityID(p.IdentityID)}, symbolon.IdentityID(control.IdentityID))
			w.must(err)
			_, err = w.linker.EndGone(w.Context(), proofs[0])
			w.must(err)
			return string(user), p.IdentityID, string(user)
		}, "no such identity", "anonymised"},
		{"an identity that was deleted at Ory", func(w *world) (string, string, string) {
			w.linked() // one identity is left at Ory
			p, user := w.linked()
			w.must(w.ory.DeleteIdentity(w.Context(), p.IdentityID))
			return p.IdentityID, p.IdentityID, string(user)
		}, "no such identity", "anonymised"},
		{"an identity whose user went to another identity", func(w *world) (string, string, string) {
			control, _ := w.linked()
			p, user := w.linked()
			w.must(w.ory.DeleteIdentity(w.Context(), p.IdentityID))
			again, err := w.ory.CreateIdentity(w.Context(), map[string]any{"schema_id": "default", "traits": map[string]any{"email": p.Email},
				"metadata_public": map[string]any{"id": string(user)}})
			w.must(err)
			proofs, err := w.linker.ProveGone(w.Context(), []symbolon.IdentityID{symbolon.IdentityID(p.IdentityID)}, symbolon.IdentityID(control.IdentityID))
			w.must(err)
			_, err = w.linker.Rebind(w.Context(), symbolon.IdentityID(again), proofs[0])
			w.must(err)
			w.Cleanup(func() {
				if rec, err := w.linker.Record(w.Context(), again); err == nil && (rec.Row == nil || rec.Link.State != symbolon.Linked) {
					w.Errorf("the user of another identity was changed: %+v", rec)
				}
			})
			return p.IdentityID, p.IdentityID, ""
		}, "no such identity", "has no user"},
	}
	onBoth(t, sqlstore.Users{}, func(w *world) {
		for _, tt := range tests {
			w.Run(tt.name, func(t *testing.T) {
				outer := w.T
				w.T = t
				defer func() { w.T = outer }()
				w.exec(`delete from symbolon_users where email = 'trait.row@example.com'`)
				id, identity, user := tt.make(w)
				plan, err := w.erasures.Plan(t.Context(), erase.Request{ID: id})
				if err != nil || string(plan.Identity) != identity || string(plan.User) != user || plan.Earlier != nil {
					t.Errorf("the plan is %+v, %v", plan, err)
				}
				e := w.erase(erase.Request{ID: id})
				if string(e.Identity) != identity || string(e.User) != user {
					t.Errorf("erased identity %q and user %q, want %q and %q", e.Identity, e.User, identity, user)
				}
				if got := outcome(e, erase.StepSessions); !strings.Contains(got, tt.sessions) {
					t.Errorf("sessions: %s", got)
				}
				if got := outcome(e, erase.StepRow); !strings.Contains(got, tt.row) {
					t.Errorf("row: %s", got)
				}
				if identity != "" {
					if got := w.state(identity); got != symbolon.Erased || w.atOry(identity) {
						t.Errorf("the entry is %q", got)
					}
					w.barred(symbolon.Identity{ID: symbolon.IdentityID(identity), State: symbolon.Active})
				}
				if user != "" {
					if c, err := w.store.User(t.Context(), "default", symbolon.UserID(user)); err != nil || !c.Retired {
						t.Errorf("the user's ID: %+v %v", c, err)
					}
				}
				w.traceless("trait.row@")
			})
		}
		if _, err := w.erasures.Begin(w.Context(), erase.Request{ID: string(missing)}); !errors.Is(err, symbolon.ErrNotFound) {
			w.Errorf("an unknown person: %v", err)
		}
		if _, err := w.erasures.Begin(w.Context(), erase.Request{ID: "nobody"}); !errors.Is(err, symbolon.ErrNotFound) {
			w.Errorf("an unknown person: %v", err)
		}
	})
}

// TestDoubt checks that nothing is recorded or changed if ledger and row contradict each
// other.
func TestDoubt(t *testing.T) {
	onBoth(t, sqlstore.Users{}, func(w *world) {
		tests := []struct{ name, change string }{
			{"the column was emptied", `update symbolon_users set ory_identity_id = null where id = $1`},
			{"the column names another", `update symbolon_users set ory_identity_id = 'aaaaaaaa-0000-4000-8000-000000000001' where id = $1`},
		}
		for _, tt := range tests {
			p, user := w.linked()
			w.exec(tt.change, string(user))
			for _, id := range []string{p.IdentityID, string(user)} {
				if _, err := w.erasures.Begin(w.Context(), erase.Request{ID: id}); !errors.Is(err, symbolon.ErrConflict) {
					w.Errorf("%s: %v", tt.name, err)
				}
			}
			if w.state(p.IdentityID) != symbolon.Linked {
				w.Errorf("%s: the row was changed", tt.name)
			}
			w.exec(`update symbolon_users set ory_identity_id = null where id = $1`, string(user))
		}
		list, err := w.erasures.Unfinished(w.Context())
		if err != nil || len(list) > 0 {
			w.Errorf("%+v %v", list, err)
		}
	})
}

func TestRequests(t *testing.T) {
	w := newWorld(t, sqlstore.SQLite, sqlstore.Users{})
	_, user := w.linked()
	for _, r := range []erase.Request{{}, {ID: strings.Repeat("a", 256)}, {ID: string(user), Row: symbolon.KeepRow}, {ID: string(user), Row: "shred"},
		{ID: string(user), Why: "asked by ada@example.com"}, {ID: string(user), Why: "a\nb"}, {ID: string(user), Why: strings.Repeat("a", 1001)}} {
		if _, err := w.erasures.Begin(t.Context(), r); !errors.Is(err, erase.ErrRequest) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	for policy, want := range map[symbolon.RowPolicy]symbolon.RowPolicy{"": symbolon.AnonymiseRow, symbolon.KeepRow: symbolon.AnonymiseRow,
		symbolon.DeactivateRow: symbolon.AnonymiseRow, symbolon.AnonymiseRow: symbolon.AnonymiseRow, symbolon.DeleteRow: symbolon.DeleteRow} {
		w.linker.OnIdentityDeleted = policy
		if plan, err := w.erasures.Plan(t.Context(), erase.Request{ID: string(user)}); err != nil || plan.Row != want {
			t.Errorf("on_identity_deleted %q: %s, %v", policy, plan.Row, err)
		}
	}
	w.client.AdminURL = ""
	if _, err := w.erasures.Begin(t.Context(), erase.Request{ID: string(user)}); !errors.Is(err, symbolon.ErrNoAdmin) {
		t.Errorf("without an admin URL: %v", err)
	}
}

// TestTwiceAtOnce checks that a second request for a person joins the running erasure.
func TestTwiceAtOnce(t *testing.T) {
	onBoth(t, sqlstore.Users{}, func(w *world) {
		for range 3 {
			p, user := w.linked()
			ids := sync.Map{}
			var all sync.WaitGroup
			for n := range 8 {
				all.Go(func() {
					id := []string{p.IdentityID, string(user)}[n%2]
					e, err := w.erasures.Begin(w.Context(), erase.Request{ID: id})
					if err != nil {
						w.Error(err)
						return
					}
					ids.Store(e.ID, true)
					if e, err = w.erasures.Run(w.Context(), e.ID); err != nil || !e.Done() {
						w.Errorf("%+v %v", e, err)
					}
				})
			}
			all.Wait()
			n := 0
			ids.Range(func(id, _ any) bool {
				n++
				e, err := w.erasures.Get(w.Context(), id.(string))
				w.must(err)
				w.complete(e)
				return true
			})
			if n != 1 {
				w.Errorf("%d erasures of one person", n)
			}
			w.traceless(p.Email)
		}
	})
}

// TestAgain checks that a person whose identity or row exists again after an erasure is
// erased again.
func TestAgain(t *testing.T) {
	onBoth(t, sqlstore.Users{}, func(w *world) {
		p, user := w.linked()
		first := w.erase(erase.Request{ID: string(user)})
		if e := w.erase(erase.Request{ID: p.IdentityID}); e.ID != first.ID {
			w.Error("a complete erasure was begun again")
		}
		second := w.erase(erase.Request{ID: string(user), Row: symbolon.DeleteRow}) // erases the anonymised row
		if second.ID == first.ID || w.users() != 0 {
			w.Errorf("%d rows are left", w.users())
		}
		w.exec(fmt.Sprintf(`delete from %s where id = '%s'`, w.table("erasures"), second.ID))
		w.exec(fmt.Sprintf(`delete from %s where id = '%s'`, w.table("erasures"), first.ID))
		third := w.erase(erase.Request{ID: string(user)}) // without a record: every step is already done
		if !strings.Contains(outcome(third, erase.StepRow), "no row") {
			w.Error(outcome(third, erase.StepRow))
		}
	})
}
