package erase_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// insert inserts a row with somebody's data and without an identity.
func (w *world) insert(name string) symbolon.UserID {
	w.Helper()
	user := w.linker.Mint()
	w.exec(`insert into symbolon_users (id, email, name) values ($1, $2, $3)`, string(user), name+"@example.com", name)
	return user
}

func (w *world) move(id string, user symbolon.UserID) {
	w.Helper()
	_, err := w.linker.Bind(w.Context(), symbolon.IdentityID(id), user, symbolon.BindOptions{Move: true, Why: "ticket 8812"})
	w.must(err)
}

func (w *world) plan(r erase.Request) erase.Plan {
	w.Helper()
	plan, err := w.erasures.Plan(w.Context(), r)
	w.must(err)
	return plan
}

// users returns the users of rows that are left behind.
func usersOf(behind []erase.LeftBehind) (out []symbolon.UserID) {
	for _, b := range behind {
		out = append(out, b.User)
	}
	return out
}

// nameOf returns the name with which world.register signs a person up.
func nameOf(p *symbolontest.Person) string {
	return "Trait Name " + strings.TrimSuffix(strings.TrimPrefix(p.Email, "Trait."), "@example.com")
}

// TestLeftBehind moves a person to other users. An erasure also erases the rows that the
// moves left without an identity, and names them in the plan and in the evidence. It does
// not change a row that somebody else has or had last.
func TestLeftBehind(t *testing.T) {
	tests := []struct {
		name   string
		change func(w *world, p *symbolontest.Person, first symbolon.UserID) (behind []symbolon.UserID)
		stays  int // the rows with data that are left
	}{
		{"one move", func(w *world, p *symbolontest.Person, first symbolon.UserID) []symbolon.UserID {
			w.move(p.IdentityID, w.insert("second"))
			return []symbolon.UserID{first}
		}, 0},
		{"two moves", func(w *world, p *symbolontest.Person, first symbolon.UserID) []symbolon.UserID {
			second := w.insert("second")
			w.move(p.IdentityID, second)
			w.move(p.IdentityID, w.insert("third"))
			return []symbolon.UserID{first, second}
		}, 0},
		{"there and back", func(w *world, p *symbolontest.Person, first symbolon.UserID) []symbolon.UserID {
			second := w.insert("second")
			w.move(p.IdentityID, second)
			w.move(p.IdentityID, first)
			return []symbolon.UserID{second}
		}, 0},
		{"another identity got the row", func(w *world, p *symbolontest.Person, first symbolon.UserID) []symbolon.UserID {
			w.move(p.IdentityID, w.insert("second"))
			other, left := w.linked()
			w.move(other.IdentityID, first)
			if got := usersOf(w.plan(erase.Request{ID: other.IdentityID}).Behind); !slices.Equal(got, []symbolon.UserID{left}) {
				w.Errorf("the other person leaves %q behind, want %s", got, left)
			}
			return nil
		}, 2},
		{"another identity had the row last", func(w *world, p *symbolontest.Person, first symbolon.UserID) []symbolon.UserID {
			w.move(p.IdentityID, w.insert("second"))
			other := w.register()
			w.move(other.IdentityID, first)
			w.move(other.IdentityID, w.insert("fourth"))
			return nil
		}, 2},
		{"the application gave the row to another identity", func(w *world, p *symbolontest.Person, first symbolon.UserID) []symbolon.UserID {
			w.move(p.IdentityID, w.insert("second"))
			w.exec(`update symbolon_users set ory_identity_id = $1 where id = $2`, w.register().IdentityID, string(first))
			return nil
		}, 1},
		{"the application deleted the row", func(w *world, p *symbolontest.Person, first symbolon.UserID) []symbolon.UserID {
			w.move(p.IdentityID, w.insert("second"))
			w.exec(`delete from symbolon_users where id = $1`, string(first))
			return nil
		}, 0},
	}
	for _, row := range []symbolon.RowPolicy{symbolon.AnonymiseRow, symbolon.DeleteRow} {
		t.Run(string(row), func(t *testing.T) {
			onBoth(t, sqlstore.Users{}, func(w *world) {
				for _, test := range tests {
					w.exec(`delete from symbolon_users`)
					p, first := w.linked()
					behind := test.change(w, p, first)
					plan := w.plan(erase.Request{ID: p.IdentityID, Row: row})
					if got := usersOf(plan.Behind); !slices.Equal(got, behind) {
						w.Errorf("%s: the plan has %q, want %q", test.name, got, behind)
					}
					e := w.erase(erase.Request{ID: p.IdentityID, Row: row, Why: "ticket 8813"})
					for _, user := range behind {
						if said := outcome(e, erase.StepRow); !strings.Contains(said, "user "+string(user)+", whom a move left") {
							w.Errorf("%s: the evidence does not name user %s: %s", test.name, user, said)
						}
						if c, err := w.store.User(w.Context(), "default", user); err != nil || !c.Retired || (c.Row == nil) != (row == symbolon.DeleteRow) {
							w.Errorf("%s: user %s: %+v, %v", test.name, user, c, err)
						}
					}
					if test.stays == 0 {
						w.traceless(p.Email, nameOf(p), "second", "third")
					}
					if n := w.count(`select count(*) from symbolon_users where email is not null`); n != test.stays {
						w.Errorf("%s: %d rows have data, want %d", test.name, n, test.stays)
					}
					if again := w.erase(erase.Request{ID: p.IdentityID, Row: row}); again.ID != e.ID {
						w.Errorf("%s: a complete erasure was begun again", test.name)
					}
				}
			})
		})
	}
}

func (w *world) count(text string) (n int) {
	w.Helper()
	w.must(w.db.QueryRow(text).Scan(&n))
	return n
}

// bindsAfter is a store that binds somebody to a former user right after the former users
// were read.
type bindsAfter struct {
	*sqlstore.Store
	bind func()
}

func (b *bindsAfter) FormerUsers(ctx context.Context, project string, identity symbolon.IdentityID, user symbolon.UserID) ([]symbolon.UserID, error) {
	former, err := b.Store.FormerUsers(ctx, project, identity, user)
	once(&b.bind)
	return former, err
}

// TestFormerUserIsBoundMeanwhile gives an abandoned row to somebody else during the erasure.
// The row is then not erased, and its ID is not retired.
func TestFormerUserIsBoundMeanwhile(t *testing.T) {
	onBoth(t, sqlstore.Users{}, func(w *world) {
		p, first := w.linked()
		other := w.register()
		w.move(p.IdentityID, w.insert("second"))
		begun, err := w.erasures.Begin(w.Context(), erase.Request{ID: p.IdentityID, Row: symbolon.DeleteRow})
		w.must(err)
		w.erasures.Users = &bindsAfter{w.store, func() { w.move(other.IdentityID, first) }}
		if e, err := w.erasures.Run(w.Context(), begun.ID); !errors.Is(err, symbolon.ErrUnavailable) || e.Step != erase.StepRow {
			w.Errorf("at %s, %v", e.Step, err)
		}
		e, err := w.erasures.Run(w.Context(), begun.ID)
		w.must(err)
		w.complete(e)
		if c, err := w.store.User(w.Context(), "default", first); err != nil || c.Retired || c.Row == nil || string(c.Linked) != other.IdentityID {
			w.Errorf("%+v %v", c, err)
		}
	})
}

// TestEraseAbandonedRow erases the abandoned row alone, by its user's ID. The person and the
// person's present user stay, and the plan and the evidence say so.
func TestEraseAbandonedRow(t *testing.T) {
	onBoth(t, sqlstore.Users{}, func(w *world) {
		p, first := w.linked()
		second := w.insert("second")
		w.move(p.IdentityID, second)
		if plan := w.plan(erase.Request{ID: string(first)}); string(plan.Former) != p.IdentityID || plan.Identity != "" || len(plan.Behind) > 0 {
			w.Errorf("%+v", plan)
		}
		e := w.erase(erase.Request{ID: string(first)})
		if said := outcome(e, erase.StepIdentity); !strings.Contains(said, p.IdentityID) || !strings.Contains(said, "does not include it") {
			w.Error(said)
		}
		if w.state(p.IdentityID) != symbolon.Linked || !w.atOry(p.IdentityID) || w.count(`select count(*) from symbolon_users where email is not null`) != 1 {
			w.Error("the erasure of the abandoned row changed more than this row")
		}
		if behind := w.plan(erase.Request{ID: string(second)}).Behind; len(behind) > 0 {
			w.Errorf("the row is still left behind: %+v", behind)
		}
	})
}

// TestErasedBeforeHistory has an erasure from a program that did not follow the history. A
// second one erases the rows that were left behind.
func TestErasedBeforeHistory(t *testing.T) {
	onBoth(t, sqlstore.Users{}, func(w *world) {
		p, first := w.linked()
		w.move(p.IdentityID, w.insert("second"))
		w.erase(erase.Request{ID: p.IdentityID})
		w.exec(`delete from `+w.table("retired")+` where user_id = $1`, string(first))
		w.exec(`update symbolon_users set email = $1 where id = $2`, p.Email, string(first))
		w.exec(`update `+w.table("events")+` set detail = $1 where user_id = $2`, "a note on "+p.Email, string(first))
		w.linked() // one identity is left at Ory
		w.erase(erase.Request{ID: p.IdentityID})
		w.traceless(p.Email, nameOf(p))
	})
}
