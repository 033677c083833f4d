package server

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/internal/chaos"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// absent is a database that does not answer until it comes back.
type absent struct {
	database string // the address for the server
	direct   string // the address for the test
	comeBack func()
}

// absentDatabases are the ways in which a database does not answer.
var absentDatabases = map[string]func(*testing.T) absent{
	"refuses": func(t *testing.T) absent {
		a, u := absentPostgres(t)
		to := u.Host
		u.Host = e2e.FreeAddress(t)
		a.database, a.comeBack = u.String(), func() { chaos.NewRelayAt(t, u.Host, to) }
		return a
	},
	"is silent": func(t *testing.T) absent {
		a, u := absentPostgres(t)
		relay := chaos.NewRelay(t, u.Host)
		relay.Drop(true)
		u.Host = relay.Address
		a.database, a.comeBack = u.String(), func() { relay.Drop(false) }
		return a
	},
	"is locked": func(t *testing.T) absent {
		database := "sqlite://" + filepath.Join(t.TempDir(), "symbolon.db")
		conn, err := cmdtest.OpenDB(t, database).Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ExecContext(t.Context(), "begin exclusive"); err != nil {
			t.Fatal(err)
		}
		return absent{database, database, func() { closeConn(t, conn) }}
	},
}

func absentPostgres(t *testing.T) (absent, *url.URL) {
	direct := symbolontest.SharedPostgres(t).NewDatabase(t)
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery += "&connect_timeout=1"
	return absent{direct: direct}, u
}

func closeConn(t *testing.T, conn *sql.Conn) {
	if _, err := conn.ExecContext(t.Context(), "rollback"); err != nil {
		t.Error(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

// TestStartsWithoutDatabase: the database does not answer when the server starts. The
// reserve hook is served, and everything else is 503. The server becomes ready by itself
// when the database answers.
func TestStartsWithoutDatabase(t *testing.T) {
	t.Parallel()
	for name, missing := range absentDatabases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, ory, p := missing(t), cmdtest.StartKratos(t), newProcess(t)
			p.set("SYMBOLON_DATABASE="+a.database, "SYMBOLON_ORY_PUBLIC_URL="+ory.PublicURL, "SYMBOLON_ORY_ADMIN_URL="+ory.AdminURL)
			_, token := ory.Add(1)
			p.launch(t)
			p.answers(t, "/healthz", 200)
			p.blind(t)
			if _, _, text := p.get(t, p.operatorURL+"/metrics"); !strings.Contains(string(text), `symbolon_waiting_for_database{reason="outage"} 1`) {
				t.Error("the metrics do not show the outage")
			}
			if name == "refuses" {
				if err := p.stop(); err != nil {
					t.Errorf("SIGTERM without a database: %v", err)
				}
				p.launch(t)
			}
			a.comeBack()
			back := time.Now()
			p.answers(t, "/readyz", 200)
			t.Logf("ready %v after the database came back", time.Since(back).Round(time.Millisecond))
			if status, header, body := p.get(t, p.publicURL+"/auth", "X-Session-Token", token); status != 200 || header.Get("X-User-Id") == "" {
				t.Errorf("/auth: %d %s", status, body)
			}
			if _, _, text := p.get(t, p.operatorURL+"/metrics"); !strings.Contains(string(text), `symbolon_waiting_for_database{reason="outage"} 0`) {
				t.Error("the metrics still show the outage")
			}
			if err := p.stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// blind checks the answers of a server that has not reached its database.
func (p *process) blind(t *testing.T) {
	t.Helper()
	keys := hooks.DeriveKeys([]symbolon.Secret{symbolon.Secret(cmdtest.Secret)})
	const id = "1d000000-0000-4000-8000-000000000001"
	for _, row := range []struct {
		method, url, body, key string
		status                 int
	}{
		{"POST", p.publicURL + "/hooks/reserve", `{"metadata_public":{}}`, keys.Reserve[0], 200},
		{"GET", p.publicURL + "/healthz", "", "", 200},
		{"GET", p.operatorURL + "/healthz", "", "", 200},
		{"GET", p.publicURL + "/nothing", "", "", 404},
		{"GET", p.publicURL + "/readyz", "", "", 503},
		{"GET", p.publicURL + "/auth", "", "", 503},
		{"GET", p.publicURL + "/auth/optional", "", "", 503},
		{"GET", p.publicURL + "/me", "", "", 503},
		{"POST", p.publicURL + "/hydrate", "{}", "", 503},
		{"POST", p.publicURL + "/hooks/link", `{"identity_id":"` + id + `","id":null,"columns":{}}`, keys.Link[0], 503},
		{"POST", p.publicURL + "/hooks/sync", `{"identity_id":"` + id + `"}`, keys.Sync[0], 503},
		{"GET", p.operatorURL + "/admin/findings", "", "", 503},
		{"POST", p.operatorURL + "/admin/reconcile", "", "", 503},
	} {
		status, _, body := p.send(t, row.method, row.url, row.body, "X-Symbolon-Key", row.key, "X-Session-Token", "token")
		if status != row.status || status == 503 && !strings.Contains(string(body), `"code":"unavailable"`) {
			t.Errorf("%s %s: %d %s, want %d", row.method, row.url, status, body, row.status)
		}
		if row.key == keys.Reserve[0] && !strings.Contains(string(body), `"id":"`) {
			t.Errorf("the reserve hook answers %s", body)
		}
	}
}

// TestFaultAfterTheStart: the database comes back with a table that does not fit. That is
// 503, a metric and a line of the log, until the table is repaired.
func TestFaultAfterTheStart(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"refuses", "is locked"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, p := absentDatabases[name](t), newProcess(t)
			p.set("SYMBOLON_DATABASE="+a.database, "SYMBOLON_USERS_TABLE=accounts", "SYMBOLON_USERS_ID=id", "SYMBOLON_USERS_IDENTITY=ory_identity_id")
			p.launch(t)
			p.answers(t, "/healthz", 200)
			a.comeBack()
			cmdtest.Eventually(t, "the metrics show the fault", func() bool {
				_, _, text := p.get(t, p.operatorURL+"/metrics")
				return strings.Contains(string(text), `symbolon_waiting_for_database{reason="fault"} 1`) &&
					strings.Contains(string(text), `symbolon_waiting_for_database{reason="outage"} 0`)
			})
			p.blind(t)
			if !strings.Contains(p.log(), `"level":"ERROR","msg":"the database cannot be used`) || !strings.Contains(p.log(), "accounts") {
				t.Error("the log does not name the fault")
			}
			cmdtest.Exec(t, cmdtest.OpenDB(t, a.direct), `create table accounts (id varchar(36) primary key, ory_identity_id varchar(36) unique check (ory_identity_id = lower(ory_identity_id) and ory_identity_id like '________-____-____-____-____________'))`)
			p.answers(t, "/readyz", 200)
		})
	}
}

// TestFaultEndsTheStart: a fault that the database answers at once ends the server.
func TestFaultEndsTheStart(t *testing.T) {
	t.Parallel()
	notADatabase := func(t *testing.T) string {
		path := filepath.Join(t.TempDir(), "symbolon.db")
		if err := os.WriteFile(path, []byte(strings.Repeat("nonsense ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		return "sqlite://" + path
	}
	postgres := func(change func(*url.URL)) func(t *testing.T) string {
		return func(t *testing.T) string {
			u, err := url.Parse(symbolontest.SharedPostgres(t).NewDatabase(t))
			if err != nil {
				t.Fatal(err)
			}
			change(u)
			return u.String()
		}
	}
	for _, row := range []struct {
		name     string
		database func(*testing.T) string
		table    string
		says     string
	}{
		{"no such role", postgres(func(u *url.URL) { u.User = url.UserPassword("nobody", cmdtest.Key) }), "", "28000"},
		{"no such database", postgres(func(u *url.URL) { u.Path = "/nothing" }), "", "3D000"},
		{"no such table", postgres(func(*url.URL) {}), "accounts", "accounts"},
		{"no such table, SQLite", func(t *testing.T) string { return "sqlite://" + filepath.Join(t.TempDir(), "symbolon.db") }, "accounts", "accounts"},
		{"not a database", notADatabase, "", "not a database"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := newProcess(t)
			p.set("SYMBOLON_DATABASE="+row.database(t), "SYMBOLON_USERS_TABLE="+row.table)
			p.launch(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			select {
			case <-p.child.Load().Done():
				if err := p.child.Load().Err(); err == nil || !strings.Contains(p.log(), row.says) || strings.Contains(p.log(), cmdtest.Key) {
					t.Errorf("%v; it logged:\n%s", err, p.log())
				}
			case <-ctx.Done():
				t.Errorf("the server runs; it logged:\n%s", p.log())
			}
		})
	}
}
