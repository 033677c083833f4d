package library

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// create creates an identity with a password by the admin API and signs it in.
func (w *world) create(email, metadata string) *symbolontest.Person {
	w.t.Helper()
	body := map[string]any{"schema_id": "default", "traits": map[string]any{"email": email},
		"credentials": map[string]any{"password": map[string]any{"config": map[string]any{"password": password}}}}
	if metadata != "" {
		body["metadata_public"] = json.RawMessage(metadata)
	}
	id, err := w.kratos.CreateIdentity(w.t.Context(), body)
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := w.kratos.Login(w.t.Context(), email, password)
	if err != nil {
		w.t.Fatal(err)
	}
	p.IdentityID = id
	return p
}

// TestUsersOfAHandWrittenHook uses rows that already have the identity's ID, and
// identities that already have the user's ID, as text or as a number. There was no
// adoption, and the application's old hook still runs. No second row is made.
func TestUsersOfAHandWrittenHook(t *testing.T) {
	t.Parallel()
	n := e2e.Torture(200, 5000)
	withAccountsOnOne(t, setup{shared: true, admin: true}, func(t *testing.T, w *world) {
		people := make([]*symbolontest.Person, n)
		for i := range n {
			metadata := fmt.Sprintf(`{"id":"%d"}`, i+1)
			if i%2 == 1 {
				metadata = fmt.Sprintf(`{"id":%d}`, i+1)
			}
			people[i] = w.create(w.mail("old%d", i), metadata)
			w.db.exec(`insert into accounts (id, ory_identity_id, email) values ($1, $2, $3)`, i+1, people[i].IdentityID, people[i].Email)
		}
		for i, p := range people {
			if status, user := w.get(p.Token); status != 200 || user != fmt.Sprint(i+1) {
				t.Fatalf("%s: %d %s, want user %d", p.Email, status, user, i+1)
			}
			if i%10 == 0 { // the old hook is called again
				if _, err := w.db.ExecContext(t.Context(), `insert into accounts (id, ory_identity_id, email) values ($1, $2, $3) on conflict do nothing`,
					n+i+1, p.IdentityID, p.Email); err != nil {
					t.Fatal(err)
				}
			}
		}
		if rows := w.db.int(`select count(*) from accounts`); rows != n {
			t.Errorf("%d rows, want %d", rows, n)
		}
		if open := w.findings(people[0].IdentityID) + w.findings(people[1].IdentityID); open != "" {
			t.Errorf("findings: %s", open)
		}
	})
}

// TestHandMadeMetadata writes arbitrary values into metadata_public. No identity gets
// another identity's user, each gets a user, and the value is unchanged. A finding and an
// event record it.
func TestHandMadeMetadata(t *testing.T) {
	t.Parallel()
	onOne(t, setup{shared: true, admin: true}, func(t *testing.T, w *world) {
		victim := w.create(w.mail("victim"), "")
		_, victims := w.get(victim.Token)
		foreign := mint.NewMinter("another", secrets...).Mint(timeNow())
		deleted := w.create(w.mail("deleted"), "")
		_, retired := w.get(deleted.Token)
		w.forget(retired)
		tests := []struct{ name, metadata, finding string }{
			{"another's user", `{"id":"` + victims + `"}`, "claimed_by_other"},
			{"text", `{"id":"1"}`, "foreign_back_reference"},
			{"a number", `{"id":7}`, "foreign_back_reference"},
			{"an object", `{"id":{"a":1}}`, "foreign_back_reference"},
			{"an array", `{"id":["` + victims + `"]}`, "foreign_back_reference"},
			{"minted elsewhere", `{"id":"` + string(foreign) + `"}`, "foreign_back_reference"},
			{"a retired ID", `{"id":"` + retired + `"}`, "foreign_back_reference"},
			{"a string", `"` + victims + `"`, "metadata_not_object"},
			{"an array", `[1]`, "metadata_not_object"},
			{"a kilobyte", `{"id":"` + strings.Repeat("x", 1024) + `"}`, "foreign_back_reference"},
		}
		seen := map[string]bool{victims: true, retired: true}
		for i, tt := range tests {
			p := w.create(w.mail("odd%d", i), tt.metadata)
			status, user := w.get(p.Token)
			if status != 200 || seen[user] {
				t.Errorf("%s: %d %s", tt.name, status, user)
			}
			seen[user] = true
			if got := w.findings(p.IdentityID); got != tt.finding {
				t.Errorf("%s: findings %q, want %q", tt.name, got, tt.finding)
			}
			if w.events(p.IdentityID, symbolon.FindingOpened) != 1 {
				t.Errorf("%s: no event for the finding", tt.name)
			}
			w.stays(p.IdentityID, tt.metadata)
		}
		if _, still := w.get(victim.Token); still != victims {
			t.Errorf("the victim now has user %s", still)
		}
	})
}

// stays checks that the metadata at Ory is unchanged.
func (w *world) stays(id, metadata string) {
	w.t.Helper()
	raw, _, err := w.kratos.GetIdentity(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	var i struct {
		Metadata json.RawMessage `json:"metadata_public"`
	}
	if err := json.Unmarshal(raw, &i); err != nil {
		w.t.Fatal(err)
	}
	if string(i.Metadata) != metadata {
		w.t.Errorf("metadata_public was %.80s and is now %.80s", metadata, i.Metadata)
	}
}

// forget deletes a user as an application does: its row and its link, in one transaction.
func (w *world) forget(user string) {
	w.t.Helper()
	tx, err := w.db.BeginTx(w.t.Context(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.linker.Forget(w.t.Context(), tx, symbolon.UserID(user)); err != nil {
		w.t.Fatal(err)
	}
	if _, err := tx.ExecContext(w.t.Context(), `delete from symbolon_users where id = $1`, user); err != nil {
		w.t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		w.t.Fatal(err)
	}
}

// TestBreaker checks that ten identities whose claim names an existing user get a user of
// their own. The eleventh is held. Identities without a claim are not held.
func TestBreaker(t *testing.T) {
	t.Parallel()
	onOne(t, setup{shared: true, admin: true}, func(t *testing.T, w *world) {
		victim := w.create(w.mail("popular"), "")
		_, victims := w.get(victim.Token)
		for i := range 12 {
			p := w.create(w.mail("claim%d", i), `{"id":"`+victims+`"}`)
			status, answer := w.get(p.Token)
			if i < 10 && status != 200 {
				t.Errorf("claim %d: %d %s", i, status, answer)
			}
			if i >= 10 && (status != 403 || answer != "link_on_hold") {
				t.Errorf("claim %d: %d %s", i, status, answer)
			}
		}
		p := w.create(w.mail("unrelated"), `{"id":"nobody"}`)
		if status, _ := w.get(p.Token); status != 200 {
			t.Errorf("another person: %d", status)
		}
	})
}

// TestRecreatedIdentity claims the user of an identity that Ory no longer has. The new
// identity is held until the operator binds it.
func TestRecreatedIdentity(t *testing.T) {
	t.Parallel()
	onOne(t, setup{shared: true, admin: true}, func(t *testing.T, w *world) {
		before := w.create(w.mail("mover"), "")
		_, user := w.get(before.Token)
		if err := w.kratos.DeleteIdentity(t.Context(), before.IdentityID); err != nil {
			t.Fatal(err)
		}
		after := w.create(w.mail("mover"), `{"id":"`+user+`"}`)
		if status, code := w.get(after.Token); status != 403 || code != "link_on_hold" || w.findings(after.IdentityID) != "recreated_identity" {
			t.Fatalf("%d %s, findings %s", status, code, w.findings(after.IdentityID))
		}
		if _, err := w.linker.Bind(t.Context(), symbolon.IdentityID(after.IdentityID), symbolon.UserID(user), symbolon.BindOptions{}); err != nil {
			t.Fatal(err)
		}
		// The hold ends at once, because it is not cached.
		if status, got := w.get(after.Token); status != 200 || got != user || w.findings(after.IdentityID) != "" {
			t.Errorf("after bind: %d %s, findings %q", status, got, w.findings(after.IdentityID))
		}
	})
}

// TestMovedUser checks that after a move only the new identity gets the user, also for
// cached sessions.
func TestMovedUser(t *testing.T) {
	t.Parallel()
	onOne(t, setup{shared: true, admin: true}, func(t *testing.T, w *world) {
		old, now := w.create(w.mail("old-self"), ""), w.create(w.mail("new-self"), "")
		_, user := w.get(old.Token)
		_, fresh := w.get(now.Token)
		id := symbolon.IdentityID(now.IdentityID)
		if _, err := w.linker.Bind(t.Context(), id, symbolon.UserID(user), symbolon.BindOptions{}); !errors.Is(err, symbolon.ErrConflict) {
			t.Fatalf("the user of an existing identity was moved without Move: %v", err)
		}
		if _, err := w.linker.Bind(t.Context(), id, symbolon.UserID(user), symbolon.BindOptions{Move: true}); err != nil {
			t.Fatal(err)
		}
		if status, got := w.get(now.Token); status != 200 || got != user {
			t.Errorf("the new owner: %d %s, want %s, before %s", status, got, user, fresh)
		}
		if status, code := w.get(old.Token); status != 403 || code != "link_on_hold" || w.findings(old.IdentityID) != "moved" {
			t.Errorf("the former owner: %d %s, findings %s", status, code, w.findings(old.IdentityID))
		}
	})
}

// TestVoucher makes an identity for an existing user. They are linked at the first
// request. Another identity with the same voucher does not get the user.
func TestVoucher(t *testing.T) {
	t.Parallel()
	withAccountsOnOne(t, setup{shared: true, admin: true}, func(t *testing.T, w *world) {
		w.db.exec(`insert into accounts (id, email) values (41, $1)`, w.mail("invited"))
		paper, err := w.linker.Voucher("41")
		if err != nil {
			t.Fatal(err)
		}
		invite := func(email string) *symbolontest.Person {
			id, err := w.kratos.CreateIdentity(t.Context(), map[string]any{"schema_id": "default", "traits": map[string]any{"email": email},
				"credentials":     map[string]any{"password": map[string]any{"config": map[string]any{"password": password}}},
				"metadata_public": map[string]any{"id": "41"}, "metadata_admin": map[string]any{"symbolon": paper}})
			if err != nil {
				t.Fatal(err)
			}
			p, err := w.kratos.Login(t.Context(), email, password)
			if err != nil {
				t.Fatal(err)
			}
			p.IdentityID = id
			return p
		}
		first, second := invite(w.mail("invited")), invite(w.mail("copycat"))
		if status, user := w.get(first.Token); status != 200 || user != "41" || w.findings(first.IdentityID) != "" {
			t.Errorf("%d %s, findings %q", status, user, w.findings(first.IdentityID))
		}
		if status, user := w.get(second.Token); status != 200 || user == "41" || w.findings(second.IdentityID) != "claimed_by_other" {
			t.Errorf("the copy: %d %s, findings %q", status, user, w.findings(second.IdentityID))
		}
	})
}

// TestApplicationChangesItsRow deletes a row, sets its identity to null, or gives it to
// another identity. Requests are denied with the right code and a finding. They never get
// the ID of a deleted user, and no new user is made.
func TestApplicationChangesItsRow(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, change, code, finding string
	}{
		{"deleted", `delete from symbolon_users where id = $1`, "user_gone", "user_gone"},
		{"null", `update symbolon_users set ory_identity_id = null where id = $1`, "link_on_hold", "column_disagrees"},
		{"changed", `update symbolon_users set ory_identity_id = '11111111-1111-4111-8111-111111111111' where id = $1`, "link_on_hold", "column_disagrees"},
	}
	onOne(t, setup{shared: true, admin: true}, func(t *testing.T, w *world) {
		for _, tt := range tests {
			p := w.create(w.mail("row-%s", tt.name), "")
			_, user := w.get(p.Token)
			w.db.exec(tt.change, user)
			w.restart()
			for range 2 {
				if status, code := w.get(p.Token); status != 403 || code != tt.code || w.findings(p.IdentityID) != tt.finding {
					t.Errorf("%s: %d %s, findings %q", tt.name, status, code, w.findings(p.IdentityID))
				}
			}
			if n := w.db.int(`select count(*) from symbolon_users where email = $1`, p.Email); n > 1 {
				t.Errorf("%s: a new user was made", tt.name)
			}
		}
	})
}

func TestForgottenUser(t *testing.T) {
	t.Parallel()
	onOne(t, setup{shared: true, admin: true}, func(t *testing.T, w *world) {
		p := w.create(w.mail("forgotten"), "")
		_, user := w.get(p.Token)
		w.forget(user)
		w.restart()
		if status, code := w.get(p.Token); status != 403 || code != "user_gone" || w.findings(p.IdentityID) != "" {
			t.Errorf("%d %s, findings %q", status, code, w.findings(p.IdentityID))
		}
	})
}

func TestRecreatedUser(t *testing.T) {
	t.Parallel()
	onOne(t, setup{admin: true, deleted: link.RecreateDeleted}, func(t *testing.T, w *world) {
		p := w.create(mail("phoenix"), "")
		_, user := w.get(p.Token)
		w.forget(user)
		w.restart()
		if status, again := w.get(p.Token); status != 200 || again == user {
			t.Errorf("%d %s, before %s", status, again, user)
		}
		w.restart()
		w.hook("/hooks/link", p.IdentityID)
		w.oneToOne(1)
	})
}

// TestEmailTaken checks that the link is made without the address if another row has it.
func TestEmailTaken(t *testing.T) {
	t.Parallel()
	withAccounts(t, setup{shared: true, admin: true}, func(t *testing.T, w *world) {
		w.get(w.create(w.mail("first"), "").Token) // the table has no row without an identity at the start
		w.db.exec(`insert into accounts (email) values ($1)`, w.mail("twice"))
		p := w.create(w.mail("twice"), "")
		status, user := w.get(p.Token)
		if status != 200 || w.findings(p.IdentityID) != "duplicate_email" {
			t.Errorf("%d %s, findings %q", status, user, w.findings(p.IdentityID))
		}
		if n := w.db.int(`select count(*) from accounts where ory_identity_id = $1 and email is null`, p.IdentityID); n != 1 {
			t.Error("wrong row")
		}
	})
}

// TestOnLink checks that the application's own rows are written together with the link or
// not at all.
func TestOnLink(t *testing.T) {
	t.Parallel()
	withAccounts(t, setup{shared: true, admin: true}, func(t *testing.T, w *world) {
		w.db.exec(`create table orgs (owner bigint not null)`)
		fail := true
		w.store.OnLink = onLink(func(tx *sqlstore.Tx, link symbolon.Link) error {
			if _, err := tx.SQL().ExecContext(t.Context(), `insert into orgs (owner) values ($1)`, link.User); err != nil {
				return err
			}
			if fail {
				return fmt.Errorf("no organisation today")
			}
			return nil
		})
		p := w.create(w.mail("founder"), "")
		if status, code := w.get(p.Token); status != 503 || w.db.int(`select count(*) from orgs`)+w.db.int(`select count(*) from accounts`) != 0 {
			t.Fatalf("%d %s, but rows are left", status, code)
		}
		fail = false
		if status, user := w.get(p.Token); status != 200 || w.db.int(`select count(*) from orgs where owner = $1`, user) != 1 {
			t.Errorf("%d %s without an organisation", status, user)
		}
	})
}
