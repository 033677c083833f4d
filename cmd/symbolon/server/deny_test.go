package server

import (
	"database/sql"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
)

// customers creates a users table whose rows are deleted softly. What must be unique is
// unique among those who are not deleted.
func customers(t *testing.T, database string) *sql.DB {
	t.Helper()
	db := cmdtest.OpenDB(t, database)
	key, kind := "integer primary key", "text check (ory_identity_id = lower(ory_identity_id) and ory_identity_id like '________-____-____-____-____________')"
	if !strings.HasPrefix(database, "sqlite") {
		key, kind = "bigserial primary key", "uuid"
	}
	for _, text := range []string{
		`create table customers (id ` + key + `, email text, ory_identity_id ` + kind + ` unique, deleted_at timestamp, suspended boolean)`,
		`create unique index customers_email_alive on customers (email) where deleted_at is null`,
	} {
		if _, err := db.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

func ofCustomers(database string, change func(*config.Config)) func(*config.Config) {
	return func(c *config.Config) {
		c.Database, c.Auth.MaxStale = config.Hidden(database), time.Hour
		c.Users.Table, c.Users.NewID, c.Users.Columns = "customers", symbolon.ByDatabase, map[string]string{"email": "traits.email"}
		c.Users.Deny = map[string]string{"user_gone": "deleted_at is not null", "user_suspended": "suspended"}
		change(c)
	}
}

// said is the status of a request with a session, and the code of an error.
func (i *installation) said(path, token string) (int, string) {
	w := cmdtest.Ask(i.Public(), "GET", path, "", "X-Session-Token", token)
	var body struct{ Error struct{ Code string } }
	_ = json.Unmarshal(w.Body.Bytes(), &body)
	return w.Code, body.Error.Code
}

func (i *installation) expect(t *testing.T, token string, status int, code string) {
	t.Helper()
	for _, path := range []string{"/auth", "/me"} {
		if got, said := i.said(path, token); got != status || said != code {
			t.Errorf("%s: %d %q, want %d %q", path, got, said, status, code)
		}
	}
	optional := status
	if status == 403 {
		optional = 200 // as a stranger
	}
	if w := cmdtest.Ask(i.Public(), "GET", "/auth/optional", "", "X-Session-Token", token); w.Code != optional || (w.Header().Get("X-User-Id") != "") != (status == 200) {
		t.Errorf("/auth/optional: %d %v", w.Code, w.Header())
	}
}

func (i *installation) refresh(t *testing.T, user string, status int, want string) {
	t.Helper()
	w := cmdtest.Ask(i.Operator(), "POST", "/admin/users/"+user+"/refresh", "")
	if w.Code != status || !strings.Contains(w.Body.String(), want) {
		t.Errorf("refresh: %d %s, want %d %s", w.Code, w.Body, status, want)
	}
}

func (i *installation) listens(t *testing.T) {
	t.Helper()
	cmdtest.Eventually(t, "the server listens for purges", func() bool {
		return strings.HasPrefix(i.Config.Database.Reveal(), "sqlite") || i.purges.listening.Load()
	})
}

// TestDeniedEverywhere deletes a row softly, suspends its user, and lifts both. The sessions
// are cached for an hour at two servers. After a refresh the first server gives the right
// answer at once, and the other one soon. Nothing is recorded about the person.
func TestDeniedEverywhere(t *testing.T) {
	cmdtest.OnBoth(t, func(t *testing.T, database string) {
		db := customers(t, database)
		one := install(t, ofCustomers(database, func(c *config.Config) { c.Users.OnUserDeleted = "recreate" }))
		two := one.beside(t)
		one.listens(t)
		two.listens(t)
		time.Sleep(600 * time.Millisecond) // both servers have polled for the first time
		id, token := one.ory.Add(1)
		user := one.signIn(t, token)
		two.signIn(t, token)
		set := func(text string) {
			t.Helper()
			if _, err := db.Exec(`update customers set ` + text); err != nil {
				t.Fatal(err)
			}
		}
		for _, step := range []struct {
			set    string
			status int
			code   string
		}{
			{"deleted_at = '2026-01-02 03:04:05'", 403, "user_gone"}, {"deleted_at = null, suspended = true", 403, "user_suspended"}, {"suspended = null", 200, ""},
		} {
			before := one.status(token)
			set(step.set)
			if got := one.status(token); got != before {
				t.Errorf("%s: the session is not cached: %d", step.set, got)
			}
			want := `"user_id":"` + user + `"`
			if step.code != "" {
				want = `"denied":"` + step.code + `"`
			}
			one.refresh(t, user, 200, want)
			one.expect(t, token, step.status, step.code)
			cmdtest.Eventually(t, "the other server follows", func() bool {
				status, code := two.said("/auth", token)
				return status == step.status && code == step.code
			})
			two.expect(t, token, step.status, step.code)
		}
		set("suspended = true")
		w := cmdtest.Ask(one.Operator(), "GET", "/admin/identities/"+id, "")
		var p system.Person
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.User.Denied != "user_suspended" || p.Link.State != symbolon.Linked || len(p.Findings) > 0 || len(p.History) != 1 {
			t.Errorf("%v %s", err, w.Body)
		}
		if w := cmdtest.Ask(one.Operator(), "POST", "/admin/identities/"+id+"/sync", ""); w.Code != 403 || !strings.Contains(w.Body.String(), "users.deny.user_suspended") {
			t.Errorf("sync: %d %s", w.Code, w.Body)
		}

		// The column is renamed: nobody is let in, and the person is neither denied nor gone.
		if _, err := db.Exec(`alter table customers rename column suspended to barred`); err != nil {
			t.Fatal(err)
		}
		two.verifier.Purge(symbolon.IdentityID(id))
		two.expect(t, token, 503, "unavailable")
		two.refresh(t, user, 503, "unavailable")
		if _, err := db.Exec(`alter table customers rename column barred to suspended`); err != nil {
			t.Fatal(err)
		}
		two.expect(t, token, 403, "user_suspended")
		set("suspended = false")
		two.refresh(t, user, 200, user)
		two.expect(t, token, 200, "")
		if strings.HasPrefix(database, "sqlite") { // which stores a text in a boolean column, too
			set("suspended = 'true'")
			one.refresh(t, user, 200, `"unjudged":"suspended"`)
			one.expect(t, token, 503, "unavailable")
			if w := cmdtest.Ask(one.Operator(), "GET", "/admin/identities/"+id, ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"unjudged":"suspended"`) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if w := cmdtest.Ask(one.Operator(), "DELETE", "/admin/users/"+user+"?dry_run=true", ""); w.Code != 200 {
				t.Errorf("a dry run of an erasure: %d %s", w.Code, w.Body)
			}
		}
		one.refresh(t, "nobody", 404, "not_found")
		one.refresh(t, id, 404, "not_found")
	})
}

// TestDeniedWithinMaxStale changes a row without telling the server.
func TestDeniedWithinMaxStale(t *testing.T) {
	cmdtest.OnBoth(t, func(t *testing.T, database string) {
		db := customers(t, database)
		const maxStale = 400 * time.Millisecond
		i := install(t, ofCustomers(database, func(c *config.Config) {
			c.Auth.MaxStale = maxStale
			c.Ory.AdminURL, c.Ory.Token = "", ""
		}))
		_, token := i.ory.Add(1)
		user := i.signIn(t, token)
		for _, step := range []struct {
			set    string
			status int
		}{{"suspended = true", 403}, {"suspended = false", 200}} {
			if _, err := db.Exec(`update customers set ` + step.set); err != nil {
				t.Fatal(err)
			}
			time.Sleep(maxStale)
			if got := i.status(token); got != step.status {
				t.Errorf("%s: %d", step.set, got)
			}
		}
		i.refresh(t, user, 200, user) // without an admin URL nothing is read at Ory
	})
}

// TestForgetByHTTP forgets a user as Linker.Forget does. The identity stays at Ory, and no
// finding follows when the application deletes the row.
func TestForgetByHTTP(t *testing.T) {
	cmdtest.OnBoth(t, func(t *testing.T, database string) {
		db := customers(t, database)
		one := install(t, ofCustomers(database, func(*config.Config) {}))
		id, token := one.ory.Add(1)
		user := one.signIn(t, token)
		forget := func(user, query string) (int, string) {
			w := cmdtest.Ask(one.Operator(), "DELETE", "/admin/users/"+user+"?"+query, "")
			return w.Code, w.Body.String()
		}
		for _, query := range []string{"half=identity", "half=", "half", "half=user&row=delete", "half=user&half=user", "half=user&dry_run=true", "half=user&why=a", "half=user&%zz"} {
			if status, body := forget(user, query); status != 400 || !strings.Contains(body, "half must be user") {
				t.Errorf("%s: %d %s", query, status, body)
			}
		}
		for _, nobody := range []string{"77", id, "%00"} {
			if status, body := forget(nobody, "half=user"); status != 404 {
				t.Errorf("%s: %d %s", nobody, status, body)
			}
		}
		one.expect(t, token, 200, "")
		for range 2 {
			if status, body := forget(user, "half=user"); status != 204 {
				t.Fatalf("%d %s", status, body)
			}
			one.expect(t, token, 403, "user_gone")
		}
		if _, err := db.Exec(`delete from customers`); err != nil {
			t.Fatal(err)
		}
		one.verifier.Purge(symbolon.IdentityID(id))
		one.expect(t, token, 403, "user_gone")
		w := cmdtest.Ask(one.Operator(), "GET", "/admin/users/"+user, "")
		var p system.Person
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Link.State != symbolon.Forgotten || len(p.Findings) > 0 || !one.ory.HasIdentity(id) {
			t.Errorf("%v %s", err, w.Body)
		}
	})
}

// TestWhen has machines, and people who have not verified their address. They get no user, no
// row and no finding, and no number of the key is used up for them, until Ory says something
// else. Who has a user keeps it.
func TestWhen(t *testing.T) {
	cmdtest.OnBoth(t, func(t *testing.T, database string) {
		db := customers(t, database)
		i := install(t, ofCustomers(database, func(c *config.Config) {
			c.Users.When = config.WhenConfig{SchemaID: []string{"customer"}, Verified: true}
		}))
		address := func(verified bool) []any {
			return []any{map[string]any{"value": "x@example.com", "via": "email", "verified": verified}}
		}
		machine, machineToken := i.ory.Add(1)
		i.ory.Set(machine, "schema_id", "machine")
		i.ory.Set(machine, "verifiable_addresses", address(true))
		person, token := i.ory.Add(2)
		i.ory.Set(person, "schema_id", "customer")
		i.ory.Set(person, "verifiable_addresses", address(false))
		hook := func(name, body string) string {
			keys := system.HookKeys(i.Config)
			key := map[string]string{"reserve": keys.Reserve[0], "link": keys.Link[0], "sync": keys.Sync[0]}[name]
			return strings.TrimSpace(cmdtest.Ask(i.Public(), "POST", "/hooks/"+name, body, "X-Symbolon-Key", key).Body.String())
		}
		for _, body := range []string{`{"schema_id":"machine","verified":true}`, `{"schema_id":"customer","verified":false}`, `{"schema_id":"customer"}`, `{}`, `{"schema_id":7,"verified":true}`} {
			if got := hook("reserve", body); got != "{}" {
				t.Errorf("reserve %s: %s", body, got)
			}
		}
		answered := func(name, id, want string) { // a busy machine may be slower than the hook's two seconds, and the hint is then queued
			t.Helper()
			cmdtest.Eventually(t, "the hook "+name+" is answered with "+want, func() bool {
				got := hook(name, `{"identity_id":"`+id+`"}`)
				if !strings.Contains(got, want) && !strings.Contains(got, "queued") {
					t.Errorf("%s: %s", name, got)
				}
				return strings.Contains(got, want)
			})
		}
		for _, id := range []string{machine, person} {
			answered("link", id, "denied")
		}
		i.expect(t, machineToken, 403, "not_eligible")
		i.expect(t, token, 403, "not_eligible")
		cmdtest.Eventually(t, "a run of reconcile", func() bool {
			return strings.Contains(i.reconciled(t), `"state":"done"`)
		})
		if got := i.reconciled(t); !strings.Contains(got, `"left":{}`) || !strings.Contains(got, `"repaired":{}`) || !strings.Contains(got, `"identities":2`) {
			t.Errorf("reconcile: %s", got)
		}
		prefix := map[bool]string{true: "symbolon_", false: "symbolon."}[strings.HasPrefix(database, "sqlite")]
		for _, table := range []string{"customers", prefix + "links", prefix + "findings", prefix + "events"} {
			var n int
			if err := db.QueryRow(`select count(*) from ` + table).Scan(&n); err != nil || n != 0 {
				t.Errorf("%s: %d rows, %v", table, n, err)
			}
		}

		i.ory.Set(person, "verifiable_addresses", address(true))
		answered("sync", person, "done")
		i.expect(t, token, 200, "")
		if user := i.signIn(t, token); user != "1" {
			t.Errorf("the first user has the number %s", user)
		}
		i.ory.Set(person, "verifiable_addresses", address(false))
		i.ory.Set(person, "schema_id", "machine")
		answered("sync", person, "done")
		i.verifier.Purge(symbolon.IdentityID(person))
		i.expect(t, token, 200, "")
		i.expect(t, machineToken, 403, "not_eligible")
	})
}

// reconciled starts a run that repairs, if none is under way, and returns its state.
func (i *installation) reconciled(t *testing.T) string {
	t.Helper()
	if i.runID == "" {
		w := cmdtest.Ask(i.Operator(), "POST", "/admin/reconcile", `{"repair":true}`)
		var body struct{ Run struct{ ID string } }
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != 202 {
			t.Fatalf("reconcile: %d %s", w.Code, w.Body)
		}
		i.runID = body.Run.ID
	}
	return cmdtest.Ask(i.Operator(), "GET", "/admin/reconcile/"+i.runID, "").Body.String()
}
