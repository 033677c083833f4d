package library

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

func keyOf(path string) string {
	keys := hooks.DeriveKeys(secrets)
	return map[string]string{"/hooks/reserve": keys.Reserve[0], "/hooks/link": keys.Link[0], "/hooks/sync": keys.Sync[0]}[path]
}

// TestRefusedSignUpLeavesNothing signs up with an e-mail address that is in use. Ory
// calls reserve and then refuses.
func TestRefusedSignUpLeavesNothing(t *testing.T) {
	t.Parallel()
	onOne(t, setup{admin: true, link: true, reserve: true}, func(t *testing.T, w *world) {
		w.signUp(mail("taken"))
		w.eventually("the first identity is linked", func() bool { return w.db.int(`select count(*) from symbolon_users`) == 1 })
		_, err := w.kratos.Register(t.Context(), mail("taken"), password, "Eve")
		var refused *symbolontest.KratosError
		if !errors.As(err, &refused) || !strings.Contains(string(refused.Body), "4000007") {
			t.Fatalf("Ory did not refuse: %v", err)
		}
		if n := len(w.gate.of("/hooks/reserve")); n != 2 {
			t.Errorf("reserve was called %d times", n)
		}
		w.oneToOne(1)
		for _, table := range w.db.tables() {
			if strings.Contains(table, "links") && w.db.int("select count(*) from "+table) != 1 {
				t.Errorf("a row is left in %s", table)
			}
		}
	})
}

func (d *database) tables() []string {
	if d.dialect == sqlstore.SQLite {
		return []string{"symbolon_links", "symbolon_users"}
	}
	return []string{"symbolon.links", "symbolon_users"}
}

// TestDatabaseStoppedDuringSignUp checks that the sign-up succeeds with a reserved ID.
// The person is linked at the latest at the first request after the outage.
func TestDatabaseStoppedDuringSignUp(t *testing.T) {
	t.Parallel()
	onBoth(t, setup{stops: true, admin: true, link: true, reserve: true}, func(t *testing.T, w *world) {
		w.db.stop()
		p := w.signUp(mail("dark"))
		born := w.backReference(p.Token)
		if born == "" {
			t.Error("no ID was reserved without a database")
		}
		if status, code := w.get(p.Token); status != 503 || code != "unavailable" {
			t.Errorf("a request meanwhile: %d %s", status, code)
		}
		w.db.start()
		w.eventually("the first request after the outage links", func() bool { status, _ := w.get(p.Token); return status == 200 })
		if _, user := w.get(p.Token); user != born {
			t.Errorf("user %s, reserved %s", user, born)
		}
		w.oneToOne(1)
	})
}

// TestSymbolonStopped stops the server of the hooks. Sign-ins succeed. Sign-ups succeed
// if there is no reserve hook.
func TestSymbolonStopped(t *testing.T) {
	t.Parallel()
	t.Run("logins", func(t *testing.T) {
		t.Parallel()
		onOne(t, setup{admin: true, link: true, reserve: true}, func(t *testing.T, w *world) {
			p := w.signUp(mail("member"))
			w.gate.close()
			again, err := w.kratos.Login(t.Context(), p.Email, password)
			if err != nil || again.Token == "" {
				t.Fatalf("login: %v", err)
			}
		})
	})
	t.Run("sign-ups without reserve", func(t *testing.T) {
		t.Parallel()
		onOne(t, setup{admin: true, link: true}, func(t *testing.T, w *world) {
			w.gate.close()
			p := w.signUp(mail("newcomer"))
			if status, user := w.get(p.Token); status != 200 || user == "" {
				t.Errorf("the first request: %d %s", status, user)
			}
		})
	})
}

// TestOneFlowManySubmits creates several identities from one registration flow. The
// flow's ID is therefore not a key.
func TestOneFlowManySubmits(t *testing.T) {
	t.Parallel()
	onOne(t, setup{admin: true, link: true, reserve: true}, func(t *testing.T, w *world) {
		flow, err := w.kratos.RegisterFlow(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		people := make([]*symbolontest.Person, 8)
		var wg sync.WaitGroup
		for i := range people {
			wg.Go(func() {
				p, err := w.kratos.Submit(t.Context(), flow, mail("flow%d", i), password, "Ann")
				if err != nil {
					t.Error(err)
					return
				}
				people[i] = p
			})
		}
		wg.Wait()
		users := map[string]bool{}
		for _, p := range people {
			if p == nil {
				continue
			}
			status, user := w.get(p.Token)
			if status != 200 || users[user] {
				t.Errorf("%s: %d %s", p.Email, status, user)
			}
			users[user] = true
		}
		if len(users) != 8 {
			t.Errorf("%d users for 8 e-mail addresses", len(users))
		}
		w.oneToOne(8)
	})
}

// TestManySignUpsAtOnce uses an address that is in use for a third of the sign-ups.
func TestManySignUpsAtOnce(t *testing.T) {
	t.Parallel()
	n := e2e.Torture(60, 2000)
	onBoth(t, setup{admin: true, link: true, reserve: true}, func(t *testing.T, w *world) {
		jobs := make(chan int)
		var mu sync.Mutex
		var people []*symbolontest.Person
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for i := range jobs {
					p, err := w.kratos.Register(t.Context(), mail("crowd%d", i-i/3*3+i/3*2), password, "Ann")
					var refused *symbolontest.KratosError
					if err != nil && !errors.As(err, &refused) {
						t.Error(err)
					}
					if err == nil {
						mu.Lock()
						people = append(people, p)
						mu.Unlock()
					}
				}
			})
		}
		for i := range n {
			jobs <- i
		}
		close(jobs)
		wg.Wait()
		users := map[string]bool{}
		for _, p := range people {
			status, user := w.get(p.Token)
			if status != 200 || users[user] {
				t.Errorf("%s: %d %s", p.Email, status, user)
			}
			users[user] = true
		}
		if len(people) == 0 || len(people) == n {
			t.Errorf("%d of %d sign-ups succeeded: some should be refused", len(people), n)
		}
		w.oneToOne(len(people))
		t.Logf("%d sign-ups, %d identities, %d users", n, len(people), len(users))
	})
}

// TestLinkHookNeverArrives uses a closed port, or a server that always answers 500. The
// first request links with the reserved ID.
func TestLinkHookNeverArrives(t *testing.T) {
	t.Parallel()
	onOne(t, setup{admin: true, link: true, reserve: true}, func(t *testing.T, w *world) {
		w.gate.set(func() { w.gate.dropLink = true })
		p := w.signUp(mail("lost"))
		born := w.backReference(p.Token)
		if status, user := w.get(p.Token); status != 200 || user != born || born == "" {
			t.Errorf("hook lost: %d %s, reserved %s", status, user, born)
		}
	})
	t.Run("500", func(t *testing.T) {
		t.Parallel()
		onOne(t, setup{admin: true, link: true}, func(t *testing.T, w *world) {
			w.gate.set(func() { w.gate.fail = 500 })
			p := w.signUp(mail("refused"))
			status, user := w.get(p.Token)
			if status != 200 || user != string(w.linked(p.IdentityID)) {
				t.Errorf("hook refused: %d %s", status, user)
			}
		})
	})
}

// TestHooksInAnyOrder sends the same link hook 16 times at once, later again, and mixed
// with sync. It expects one user, one event, and always 200.
func TestHooksInAnyOrder(t *testing.T) {
	t.Parallel()
	onBoth(t, setup{admin: true}, func(t *testing.T, w *world) {
		p := w.signUp(mail("echo"))
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				path := "/hooks/link"
				if i%4 == 3 {
					path = "/hooks/sync"
				}
				if status := w.hook(path, p.IdentityID); status != 200 {
					t.Errorf("%s: %d", path, status)
				}
			})
		}
		wg.Wait()
		for _, path := range []string{"/hooks/sync", "/hooks/link", "/hooks/link", "/hooks/sync"} {
			if status := w.hook(path, p.IdentityID); status != 200 {
				t.Errorf("replayed %s: %d", path, status)
			}
		}
		if n := w.events(p.IdentityID, symbolon.UserLinked); n != 1 {
			t.Errorf("%d events user.linked", n)
		}
		w.oneToOne(1)
	})
}

// TestHooksForADeletedIdentity expects 200, no user and no event.
func TestHooksForADeletedIdentity(t *testing.T) {
	t.Parallel()
	onOne(t, setup{admin: true}, func(t *testing.T, w *world) {
		p := w.signUp(mail("gone"))
		if err := w.kratos.DeleteIdentity(t.Context(), p.IdentityID); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/hooks/link", "/hooks/sync", "/hooks/link"} {
			if status := w.hook(path, p.IdentityID); status != 200 {
				t.Errorf("%s: %d", path, status)
			}
		}
		if r := w.record(p.IdentityID); r.Link != nil || len(r.Events) != 0 {
			t.Errorf("entries are left: %+v", r)
		}
		w.oneToOne(0)
	})
}

// TestSyncUpdatesColumns checks that a change at Ory is written to the projected columns,
// unless a newer reading was written before.
func TestSyncUpdatesColumns(t *testing.T) {
	t.Parallel()
	onOne(t, setup{admin: true, link: true}, func(t *testing.T, w *world) {
		p := w.signUp(mail("before"))
		w.eventually("the identity is linked", func() bool { return w.linked(p.IdentityID) != "" })
		ops := []map[string]any{{"op": "replace", "path": "/traits/name", "value": "Beatrice"}}
		if err := w.kratos.PatchIdentity(t.Context(), p.IdentityID, ops); err != nil {
			t.Fatal(err)
		}
		if status := w.hook("/hooks/sync", p.IdentityID); status != 200 {
			t.Fatal(status)
		}
		if n := w.db.int(`select count(*) from symbolon_users where name = 'Beatrice'`); n != 1 {
			t.Error("the column has the old value")
		}
		stale := symbolon.Reading{Ticket: 1, Admin: true, Source: symbolon.FromSyncHook,
			Identity: symbolon.Identity{ID: symbolon.IdentityID(p.IdentityID), State: symbolon.Active, Traits: fmt.Appendf(nil, `{"name":"Old"}`)}}
		if _, err := w.linker.Link(t.Context(), stale); err != nil {
			t.Fatal(err)
		}
		if n := w.db.int(`select count(*) from symbolon_users where name = 'Beatrice'`); n != 1 {
			t.Error("an older reading overwrote a newer one")
		}
	})
}
