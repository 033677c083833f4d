package sqlstore_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// register is an Ory whose identities are in memory.
type register struct {
	symbolon.Ory
	mu  sync.Mutex
	all map[symbolon.IdentityID]symbolon.Identity
}

func (o *register) HasAdmin() bool { return true }

func (o *register) Identity(_ context.Context, id symbolon.IdentityID) (symbolon.Identity, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known, ok := o.all[id]; ok {
		return known, nil
	}
	return symbolon.Identity{}, symbolon.ErrNotFound
}

// returning is a world of people who leave and come back.
type returning struct {
	*testing.T
	*people
	ory     *register
	linker  *link.Linker
	control symbolon.IdentityID
	address string // of the person; each world has its own
}

func newReturning(t *testing.T, db database, rule link.OnReturn) *returning {
	p := create(t, db, "email text, active boolean, suspended boolean", map[string]string{"email": "traits.email", "active": "active"})
	p.users.Deny = map[string]string{"user_suspended": "suspended"}
	w := &returning{T: t, people: p, ory: &register{all: map[symbolon.IdentityID]symbolon.Identity{}}}
	w.linker = linkerOf(p.store(p.DB))
	w.address = "Ada" + p.users.Table + "@example.org"
	w.linker.Ory, w.linker.OnReturn, w.linker.ProofGap = w.ory, rule, time.Millisecond
	w.linker.Secrets = []symbolon.Secret{symbolon.Secret("aNotHer0zR5tXw9LmB4nYc7HdF1sGpA6e")}
	w.control = w.identity("control@"+p.users.Table+".org", true).ID
	return w
}

func (w *returning) identity(email string, verified bool) symbolon.Identity {
	id := identityWith(`{"email":"` + email + `"}`)
	id.Addresses = []symbolon.Address{{Value: email, Via: "email", Verified: verified}}
	w.put(id)
	return id
}

func (w *returning) put(id symbolon.Identity) {
	w.ory.mu.Lock()
	defer w.ory.mu.Unlock()
	w.ory.all[id.ID] = id
}

// person signs up and is read with a ticket, as after a hook.
func (w *returning) person(email string, verified bool) (symbolon.IdentityID, symbolon.UserID) {
	w.Helper()
	id := w.identity(email, verified)
	bond, err := w.linker.Refresh(w.Context(), id.ID, symbolon.FromSyncHook)
	if err != nil {
		w.Fatal(err)
	}
	return id.ID, bond.User
}

// leaves deletes the identity at Ory, which is then proved.
func (w *returning) leaves(id symbolon.IdentityID) {
	w.Helper()
	w.ory.mu.Lock()
	delete(w.ory.all, id)
	w.ory.mu.Unlock()
	proofs, err := w.linker.ProveGone(w.Context(), []symbolon.IdentityID{id}, w.control)
	if err != nil || len(proofs) != 1 {
		w.Fatal(proofs, err)
	}
	if _, err := w.linker.EndGone(w.Context(), proofs[0]); err != nil {
		w.Fatal(err)
	}
}

// comes is the first request of an identity: "former", "new", or the kind of the finding.
func (w *returning) comes(id symbolon.Identity, former symbolon.UserID) string {
	w.Helper()
	bond, err := w.linker.Link(w.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest})
	var deny *symbolon.DenyError
	switch {
	case errors.As(err, &deny) && errors.Is(err, symbolon.ErrOnHold):
		return string(deny.Finding)
	case err != nil:
		w.Fatal(err)
	case bond.User == former:
		return "former"
	}
	return "new"
}

func (w *returning) findings(id symbolon.IdentityID) (all string) {
	w.Helper()
	rec, err := w.linker.Record(w.Context(), string(id))
	if err != nil {
		w.Fatal(err)
	}
	for _, f := range rec.Findings {
		all += string(f.Kind) + ": " + f.Detail + "\n"
	}
	return all
}

// TestReturning has people leave, and come back with a new identity.
func TestReturning(t *testing.T) {
	tests := []struct {
		name      string
		rule      link.OnReturn // empty: restore
		then, now bool          // Ory verified the address
		between   func(w *returning, id symbolon.IdentityID, user symbolon.UserID)
		want      string
	}{
		{name: "the default", rule: link.ReturnNew, then: true, now: true, want: "new"},
		{name: "restore", then: true, now: true, want: "former"},
		{name: "ask", rule: link.ReturnAsk, then: true, now: true, want: "returned_person"},
		{name: "not verified then", now: true, want: "new"},
		{name: "not verified now", then: true, want: "unverified_email"},
		{name: "ask, not verified now", rule: link.ReturnAsk, then: true, want: "unverified_email"},
		{name: "two users had the address", then: true, now: true, want: "returned_person", between: func(w *returning, _ symbolon.IdentityID, _ symbolon.UserID) {
			w.linker.OnReturn = link.ReturnNew
			other, _ := w.person(w.address, true)
			w.linker.OnReturn = link.ReturnRestore
			if _, err := w.linker.Refresh(w.Context(), other, symbolon.FromSyncHook); err != nil {
				w.Fatal(err)
			}
			w.leaves(other)
		}},
		{name: "erased", then: true, now: true, want: "new", between: func(w *returning, id symbolon.IdentityID, _ symbolon.UserID) {
			if _, err := w.linker.Erase(w.Context(), id, symbolon.AnonymiseRow, "by letter"); err != nil {
				w.Fatal(err)
			}
			if n := w.count(w.T, w.sql(`select count(*) from `+w.links()+` where address <> '' and identity_id = $1`), string(id)); n != 0 {
				w.Error("the ledger keeps the address of an erased person")
			}
		}},
		{name: "suspended by the application", then: true, now: true, want: "returned_person", between: func(w *returning, _ symbolon.IdentityID, _ symbolon.UserID) {
			w.must(w.T, w.sql(`update {users} set suspended = true`))
		}},
		{name: "the row is deleted", then: true, now: true, want: "new", between: func(w *returning, _ symbolon.IdentityID, _ symbolon.UserID) {
			w.must(w.T, w.sql(`delete from {users}`))
		}},
		{name: "the operator bound the user to another identity", then: true, now: true, want: "new", between: func(w *returning, _ symbolon.IdentityID, user symbolon.UserID) {
			other := w.identity("other@example.org", true)
			if _, err := w.linker.Bind(w.Context(), other.ID, user, symbolon.BindOptions{}); err != nil {
				w.Fatal(err)
			}
		}},
	}
	onBoth(t, func(t *testing.T, db database) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if tt.rule == "" {
					tt.rule = link.ReturnRestore
				}
				w := newReturning(t, db, tt.rule)
				address, spelt := w.address, strings.ToUpper(w.address)
				old, user := w.person(address, tt.then)
				w.leaves(old)
				if tt.between != nil {
					tt.between(w, old, user)
				}
				id := w.identity(spelt, tt.now)
				if got := w.comes(id, user); got != tt.want {
					t.Fatalf("%s, want %s", got, tt.want)
				}
				switch tt.want {
				case "former":
					w.restored(id.ID, old, user)
				case "returned_person":
					if got := w.findings(id.ID); !strings.Contains(got, string(user)) || !strings.Contains(got, "symbolon bind "+string(id.ID)) {
						t.Errorf("the finding does not name the user and the commands: %s", got)
					}
				case "unverified_email":
					id.Addresses[0].Verified = true
					w.put(id)
					after := map[link.OnReturn]string{link.ReturnRestore: "former", link.ReturnAsk: "returned_person"}[tt.rule]
					if got := w.comes(id, user); got != after {
						t.Errorf("after the verification: %s, want %s", got, after)
					}
					if got := w.findings(id.ID); strings.Contains(got, "unverified_email") {
						t.Error(got)
					}
				}
			})
		}
	})
}

func (w *returning) links() string {
	if strings.HasPrefix(w.dsn, "postgres") {
		return "symbolon.links"
	}
	return "symbolon_links"
}

// restored checks the row, the history and the ledger of a person who has the former user again.
func (w *returning) restored(id, old symbolon.IdentityID, user symbolon.UserID) {
	w.Helper()
	row := w.sql(`select count(*) from {users} where active and cast(ory as text) = $1 and cast(id as text) = $2`)
	if n := w.count(w.T, row, string(id), string(user)); n != 1 {
		w.Error("the row is not active, or has another identity")
	}
	rec, err := w.linker.Record(w.Context(), string(id))
	if err != nil || len(rec.Events) == 0 || !strings.Contains(rec.Events[len(rec.Events)-1].Detail, string(old)) || len(rec.Findings) > 0 {
		w.Errorf("the history does not name the former identity: %+v %v", rec, err)
	}
	if n := w.count(w.T, w.sql(`select count(*) from `+w.links()+` where identity_id = $1 and (address <> '' or digest <> '')`), string(old)); n != 0 {
		w.Error("the entry of the former identity still tells something about the person")
	}
	w.leaves(id)
	if got := w.comes(w.identity(strings.ToLower(w.address), true), user); got != "former" {
		w.Errorf("the second return: %s", got)
	}
}

// TestReturningByRequest has the first user made by a request, whose reading has no ticket.
func TestReturningByRequest(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		w := newReturning(t, db, link.ReturnRestore)
		old := w.identity(w.address, true)
		bond, err := w.linker.Link(t.Context(), symbolon.Reading{Identity: old, Source: symbolon.FromRequest})
		if err != nil {
			t.Fatal(err)
		}
		w.leaves(old.ID)
		if got := w.comes(w.identity(w.address, true), bond.User); got != "former" {
			t.Error(got)
		}
	})
}

// TestReturningTogether has two identities with the address come at the same time. Only one of
// them gets the former user.
func TestReturningTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		w := newReturning(t, db, link.ReturnRestore)
		old, user := w.person("ada@example.org", true)
		w.leaves(old)
		var group sync.WaitGroup
		var got [4]symbolon.UserID
		for i := range got {
			id := w.identity("ada@example.org", true)
			group.Go(func() {
				bond, err := w.linker.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest})
				if err != nil {
					t.Error(err)
				}
				got[i] = bond.User
			})
		}
		group.Wait()
		users := map[symbolon.UserID]int{}
		for _, u := range got {
			users[u]++
		}
		if users[user] != 1 || len(users) != len(got) {
			t.Errorf("users: %v, the former one is %s", users, user)
		}
	})
}

// TestReturningBanned: an identity that was inactive when it was read last has no record, so
// that a banned person does not get the user back. A later change of the address replaces the
// record, too.
func TestReturningBanned(t *testing.T) {
	changes := map[string]func(*symbolon.Identity){
		"banned": func(id *symbolon.Identity) { id.State = symbolon.Inactive },
		"renamed": func(id *symbolon.Identity) {
			id.Addresses[0] = symbolon.Address{Value: "new@example.org", Via: "email"}
		},
	}
	onBoth(t, func(t *testing.T, db database) {
		for name, change := range changes {
			t.Run(name, func(t *testing.T) {
				w := newReturning(t, db, link.ReturnRestore)
				old, user := w.person(w.address, true)
				id, _ := w.ory.Identity(t.Context(), old)
				id.Addresses = append([]symbolon.Address(nil), id.Addresses...)
				change(&id)
				w.put(id)
				if _, err := w.linker.Refresh(t.Context(), old, symbolon.FromSyncHook); err != nil {
					t.Fatal(err)
				}
				w.leaves(old)
				if got := w.comes(w.identity(w.address, true), user); got != "new" {
					t.Errorf("%s, want new", got)
				}
			})
		}
	})
}

// TestEraseUnjudged erases a person whose row has a value that no condition can judge. Only
// SQLite stores such a value.
func TestEraseUnjudged(t *testing.T) {
	db := open(t, sqlstore.SQLite)
	p := denying(t, db, "level integer", map[string]string{"user_suspended": "level = 7"})
	l, id := linkerOf(p.store(p.DB)), identityWith(`{}`)
	if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id}); err != nil {
		t.Fatal(err)
	}
	p.must(t, p.sql(`update {users} set level = 'abc'`))
	if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id}); !errors.Is(err, symbolon.ErrUnavailable) {
		t.Errorf("a person whom nobody can judge: %v", err)
	}
	if bond, err := l.Erase(t.Context(), id.ID, symbolon.DeleteRow, "by letter"); err != nil || bond.State != symbolon.Erased {
		t.Errorf("%+v %v", bond, err)
	}
	if n := p.count(t, p.sql(`select count(*) from {users}`)); n != 0 {
		t.Error("the row is still there")
	}
}
