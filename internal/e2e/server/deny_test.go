package server

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// usersTable creates a table with a number as its key. columns are the other columns.
func usersTable(t *testing.T, database, table, columns string) *sql.DB {
	t.Helper()
	key, identity := "bigserial primary key", "uuid"
	if strings.HasPrefix(database, "sqlite") {
		key, identity = "integer primary key", "text check (ory_identity_id = lower(ory_identity_id) and ory_identity_id like '________-____-____-____-____________')"
	}
	db := cmdtest.OpenDB(t, database)
	if _, err := db.Exec(`create table ` + table + ` (id ` + key + `, ory_identity_id ` + identity + ` unique, ` + columns + `)`); err != nil {
		t.Fatal(err)
	}
	return db
}

// code is the status of a request with the person's session, and the code of an error.
func (w *world) code(t *testing.T, p *symbolontest.Person) string {
	t.Helper()
	status, _, body := w.server.get(t, w.server.publicURL+"/auth", "X-Session-Token", p.Token)
	var answer struct{ Error struct{ Code string } }
	_ = json.Unmarshal(body, &answer)
	return strings.TrimSpace(fmt.Sprint(status, " ", answer.Error.Code))
}

// TestOnlyVerifiedCustomers signs up people who have not verified their address, and a machine
// of another schema. They get no user, no row and no finding, and the hooks use up no number of
// the key. The person who verifies the address gets the first number.
func TestOnlyVerifiedCustomers(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, database string) {
		db := usersTable(t, database, "people", "email text unique not null")
		dir := t.TempDir()
		w := startWorld(t, world{database: database, config: symbolontest.KratosConfig{Dir: dir},
			env: []string{"SYMBOLON_USERS_TABLE=people", "SYMBOLON_USERS_NEW_ID=database", `SYMBOLON_USERS_COLUMNS={"email":"traits.email"}`,
				"SYMBOLON_USERS_WHEN_SCHEMA_ID=default", "SYMBOLON_USERS_WHEN_VERIFIED=true"},
			before: func(w *world) {
				schema := `url: "file://` + dir + `/identity.schema.json"}`
				w.config.Overlay = append(w.config.Overlay, "\nidentity:\n  schemas:\n    - {id: default, "+schema+"\n    - {id: machine, "+schema+"\n"...)
			}})
		ann, bob := w.register(t, "ann@example.com"), w.register(t, "bob@example.com")
		_, err := w.kratos.CreateIdentity(t.Context(), map[string]any{"schema_id": "machine", "traits": map[string]any{"email": "robot@example.com"},
			"verifiable_addresses": []any{map[string]any{"value": "robot@example.com", "via": "email", "verified": true, "status": "completed"}},
			"credentials":          map[string]any{"password": map[string]any{"config": map[string]any{"password": cmdtest.Password}}}})
		if err != nil {
			t.Fatal(err)
		}
		robot, err := w.kratos.Login(t.Context(), "robot@example.com", cmdtest.Password)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []*symbolontest.Person{ann, bob, robot} {
			if got := w.code(t, p); got != "403 not_eligible" {
				t.Errorf("%s: %s", p.Email, got)
			}
		}
		if id := w.backReference(t, ann); id != "" {
			t.Errorf("an ID was reserved: %s", id)
		}

		w.verify(t, dir, ann)
		w.linked(t, ann.IdentityID) // by the hook after the verification
		if status, user := w.auth(t, ann); status != 200 || user != "1" {
			t.Errorf("after the verification: %d, user %q", status, user)
		}
		for _, p := range []*symbolontest.Person{bob, robot} {
			if got := w.code(t, p); got != "403 not_eligible" {
				t.Errorf("%s: %s", p.Email, got)
			}
			if p, known := w.person(t, p.IdentityID); known {
				t.Errorf("recorded: %+v", p)
			}
		}
		var rows int
		if err := db.QueryRow(`select count(*) from people`).Scan(&rows); err != nil || rows != 1 {
			t.Errorf("%d rows, %v", rows, err)
		}
		if out, err := w.server.command("reconcile").CombinedOutput(); err != nil {
			t.Errorf("reconcile finds a difference: %v\n%s", err, out)
		}
	})
}

var (
	mailedCode = regexp.MustCompile(`\b([0-9]{6})\b`)
	mailedFlow = regexp.MustCompile(`flow=([0-9a-f-]{36})`)
)

// verify verifies the person's address with the code of Kratos' mail. dir is Kratos' folder.
func (w *world) verify(t *testing.T, dir string, p *symbolontest.Person) {
	t.Helper()
	mails, err := sql.Open("sqlite", "file:"+dir+"/kratos.sqlite?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mails.Close() }()
	var flow, code []string
	cmdtest.Eventually(t, "a mail to "+p.Email, func() bool {
		var body string
		_ = mails.QueryRow(`select body from courier_messages where recipient = $1`, p.Email).Scan(&body)
		flow, code = mailedFlow.FindStringSubmatch(body), mailedCode.FindStringSubmatch(body)
		return flow != nil && code != nil
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.kratos.PublicURL+"/self-service/verification?flow="+flow[1],
		strings.NewReader(`{"method":"code","code":"`+code[1]+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	browser := http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Do(r) // Kratos answers with a redirect to its page
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	raw, status, err := w.kratos.GetIdentity(t.Context(), p.IdentityID)
	if err != nil || !strings.Contains(string(raw), `"verified":true`) {
		t.Fatalf("verification: %d, identity %d %s %v", resp.StatusCode, status, raw, err)
	}
}

// TestSoftDelete deletes a row softly. The person is denied within max_stale, and is not taken
// for somebody whose row is missing. After the identity is deleted at Ory, a person with the
// same address gets a user of their own.
func TestSoftDelete(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, database string) {
		db := usersTable(t, database, "customers", "email text, deleted_at timestamp")
		if _, err := db.Exec(`create unique index customers_email_alive on customers (email) where deleted_at is null`); err != nil {
			t.Fatal(err)
		}
		const maxStale = time.Second
		w := startWorld(t, world{database: database, env: []string{"SYMBOLON_USERS_TABLE=customers", "SYMBOLON_USERS_NEW_ID=database",
			`SYMBOLON_USERS_COLUMNS={"email":"traits.email"}`, `SYMBOLON_USERS_DENY={"user_gone":"deleted_at is not null"}`,
			"SYMBOLON_USERS_ON_USER_DELETED=recreate", "SYMBOLON_AUTH_MAX_STALE=" + maxStale.String()}})
		ann := w.register(t, "ann@example.com")
		_, first := w.auth(t, ann)
		set := func(text string) {
			if _, err := db.Exec(`update customers set ` + text); err != nil {
				t.Fatal(err)
			}
		}
		set("deleted_at = '2026-01-02 03:04:05'")
		time.Sleep(maxStale)
		if got := w.code(t, ann); got != "403 user_gone" {
			t.Errorf("after the soft deletion: %s", got)
		}
		out, err := w.server.command("show", first).Output()
		if err != nil || !strings.Contains(string(out), "DENIED, because it meets users.deny.user_gone") || !strings.Contains(string(out), "open findings: none") {
			t.Errorf("show: %v\n%s", err, out)
		}
		if out, err := w.server.command("reconcile").CombinedOutput(); err != nil {
			t.Errorf("reconcile finds a difference: %v\n%s", err, out)
		}
		set("deleted_at = null")
		time.Sleep(maxStale)
		if status, user := w.auth(t, ann); status != 200 || user != first {
			t.Errorf("after the return: %d, user %q", status, user)
		}
		set("deleted_at = '2026-01-02 03:04:05'")
		if err := w.kratos.DeleteIdentity(t.Context(), ann.IdentityID); err != nil {
			t.Fatal(err)
		}
		again := w.register(t, "ann@example.com")
		if status, user := w.auth(t, again); status != 200 || user == first || user == "" {
			t.Errorf("a new sign-up: %d, user %q", status, user)
		}
	})
}
