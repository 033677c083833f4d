package server

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
)

// TestDoctorKilled kills `doctor --live` with kill -9 while its test person exists: at Ory
// only, on both sides, or with the row only. The next doctor deletes the person, and nobody
// else.
func TestDoctorKilled(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, database string) {
		w := startWorld(t, world{database: database, killed: true})
		k := startKiller(t, w)
		ada := w.register(t, "ada@example.com")
		db := cmdtest.OpenDB(t, database)
		d := &doctored{world: w, killer: k, db: db, own: "symbolon."}
		if strings.HasPrefix(database, "sqlite") {
			d.own = "symbolon_"
		}
		cmdtest.Eventually(t, "Ada is linked", func() bool { return d.rows(t, "symbolon_users") == 1 })

		if out, err := d.live(t, killPoint{}); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		last := k.count("ory") // the person's deletion
		for _, point := range []killPoint{{"ory", last, false}, {"ory", last, true}, {"identity", 1, true}} {
			t.Run(point.String(), func(t *testing.T) {
				if out, err := d.live(t, point); err == nil {
					t.Fatalf("the doctor was not killed:\n%s", out)
				}
				if d.identities(t)+d.rows(t, "symbolon_users") < 3 {
					t.Error("the kill left nothing behind")
				}
				// The lease of the killed process ends.
				cmdtest.Exec(t, db, "update "+d.own+"runs set lease_until = '2001-01-01T00:00:00.000000Z' where state = 'running'")
				out, err := d.live(t, killPoint{})
				if err != nil || !strings.Contains(strings.Join(strings.Fields(out), " "), "test persons of interrupted examinations that were deleted too: 1") {
					t.Errorf("%v\n%s", err, out)
				}
				if d.identities(t) != 1 || d.rows(t, "symbolon_users") != 1 || d.rows(t, d.own+"links") != 1 || d.rows(t, d.own+"runs where state = 'running'") != 0 {
					t.Errorf("%d identities, %d rows, %d entries, %d open runs", d.identities(t), d.rows(t, "symbolon_users"), d.rows(t, d.own+"links"), d.rows(t, d.own+"runs where state = 'running'"))
				}
			})
		}
		if status, _ := w.auth(t, ada); status != 200 {
			t.Errorf("Ada got %d", status)
		}
	})
}

type doctored struct {
	*world
	killer *killer
	db     *sql.DB
	own    string // the prefix of Symbolon's tables
}

// live runs `doctor --live`. The point "identity" is the moment at which the test person
// exists at Ory.
func (d *doctored) live(t *testing.T, p killPoint) (string, error) {
	t.Helper()
	done := make(chan struct{})
	if p.what == "identity" {
		watched := make(chan struct{})
		defer func() { close(done); <-watched }()
		go func() {
			defer close(watched)
			d.killWhenCreated(t, done)
		}()
	}
	return d.killer.run(t, d.world, p, "doctor", "--live", "--kratos-config", d.kratos.ConfigFile)
}

func (d *doctored) killWhenCreated(t *testing.T, done chan struct{}) {
	for {
		select {
		case <-done:
			return
		default:
		}
		if n, err := d.kratos.CountIdentities(t.Context()); err == nil && n == 2 {
			d.killer.kill()
			return
		}
	}
}

// kill kills the process that runs.
func (k *killer) kill() {
	k.mu.Lock()
	at := k.target
	k.mu.Unlock()
	<-at.ready
	at.victim.Kill()
}

func (d *doctored) identities(t *testing.T) int {
	t.Helper()
	n, err := d.kratos.CountIdentities(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (d *doctored) rows(t *testing.T, what string) (n int) {
	t.Helper()
	if err := d.db.QueryRowContext(t.Context(), fmt.Sprintf("select count(*) from %s", what)).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
