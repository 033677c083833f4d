package server

import (
	"database/sql"
	"net/url"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/internal/chaos"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// onDisk returns a new database on a small disk.
func onDisk(t *testing.T, d sqlstore.Dialect) (database string, disk *chaos.Disk) {
	t.Helper()
	disk = chaos.NewDisk(t, 48<<20)
	if d == sqlstore.SQLite {
		return "sqlite://" + disk.Path + "/symbolon.db", disk
	}
	postgres := symbolontest.SharedPostgres(t)
	admin, err := sql.Open("pgx", postgres.DSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close() })
	space := disk.Tablespace(admin)
	database = postgres.NewDatabase(t)
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	cmdtest.Exec(t, admin, `alter database `+strings.TrimPrefix(u.Path, "/")+` set tablespace `+space)
	return database, disk
}

// TestDiskFull: the disk of the database is full. People who have a user are let in, the
// reserve hook is served, and new links get 503. When there is room again, everything is
// served without a restart, and no acknowledged link is lost.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	for _, d := range e2e.Both {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			database, disk := onDisk(t, d)
			w := startWorld(t, world{database: database, killed: true, actions: []string{"none"}, env: []string{"SYMBOLON_HOOKS_KEYS_LINK=" + cmdtest.Key}})
			known, later := w.register(t, "known@example.com"), w.register(t, "later@example.com")
			_, user := w.auth(t, known)
			var links acknowledged
			ids := w.strangers(t, 200)
			free := disk.Fill()
			status := 200
			for len(ids) > 0 && (status == 200 || status == queued) { // half-full pages have room for some
				if status = links.ask(t.Context(), t, w.server.publicURL, ids[0]); status == 200 {
					links.ids = append(links.ids, ids[0])
				}
				ids = ids[1:]
			}
			if status != 503 {
				t.Errorf("a link hook on a full disk is answered %d", status)
			}
			if status, now := w.auth(t, known); status != 200 || now != user {
				t.Errorf("a person who has a user: %d %q", status, now)
			}
			reserve := hooks.DeriveKeys([]symbolon.Secret{symbolon.Secret(cmdtest.Secret)}).Reserve[0]
			if status, _, body := w.server.send(t, "POST", w.server.publicURL+"/hooks/reserve", `{"metadata_public":{}}`, hooks.KeyHeader, reserve); status != 200 || !strings.Contains(string(body), `"id":"`) {
				t.Errorf("reserve: %d %s", status, body)
			}
			free()
			cmdtest.Eventually(t, "links are made again", func() bool { return links.ask(t.Context(), t, w.server.publicURL, ids[0]) == 200 })
			if status, _ := w.auth(t, later); status != 200 {
				t.Errorf("a person's first request: %d", status)
			}
			w.server.kill()
			db := cmdtest.OpenDB(t, database)
			for _, id := range append(links.ids, ids[0]) {
				var n int
				if err := db.QueryRowContext(t.Context(), `select count(*) from symbolon_users where ory_identity_id = $1`, id).Scan(&n); err != nil || n != 1 {
					t.Errorf("the link of %s was acknowledged: %d rows, %v", id, n, err)
				}
			}
			t.Logf("%d links were acknowledged on the full disk", len(links.ids))
		})
	}
}
