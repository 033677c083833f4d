package library

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/child"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/reconcile"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// beAReconciler makes a process of this test binary resume the project's run and exit
// after it.
const beAReconciler = "SYMBOLON_TEST_IS_A_RECONCILER"

// reconcileAsChild lists slowly and saves often, so that a kill comes in the middle.
func reconcileAsChild() {
	dialect := sqlstore.Dialect(os.Getenv("DIALECT"))
	db, err := sql.Open(map[sqlstore.Dialect]string{sqlstore.SQLite: "sqlite", sqlstore.Postgres: "pgx"}[dialect], os.Getenv("DSN"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	client := &ory.Client{PublicURL: os.Getenv("PUBLIC"), AdminURL: os.Getenv("ADMIN"), Timeout: patience}
	store := &sqlstore.Store{DB: db, Dialect: dialect}
	linker := &link.Linker{Ory: client, Store: store, Secrets: secrets, ProofGap: 20 * time.Millisecond,
		BackReference: link.BackReference{Write: link.WriteNone}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	r := &reconcile.Reconciler{Linker: linker, Ledger: store, Runs: store, Lease: 150 * time.Millisecond, Now: inAnHour,
		Identities: func(ctx context.Context, from symbolon.IdentityID) iter.Seq2[symbolon.Identity, error] {
			return func(yield func(symbolon.Identity, error) bool) {
				for id, err := range client.Identities(ctx, ory.ListOptions{PageSize: 50, From: from}) {
					time.Sleep(100 * time.Microsecond)
					if !yield(id, err) {
						return
					}
				}
			}
		}}
	options := reconcile.Options{Repair: true, Rebind: true, Resume: true}
	report, err := r.Run(context.Background(), options)
	for range 20 { // requests of the killed process may arrive later
		if errors.Is(err, reconcile.ErrBusy) {
			time.Sleep(50 * time.Millisecond)
			report, err = r.Run(context.Background(), options)
		}
	}
	if err != nil || report.Failed > 0 {
		fmt.Fprintln(os.Stderr, err, report.Failed)
		os.Exit(1)
	}
	os.Exit(0)
}

// inAnHour is a time when identities without a link are old enough for a finding.
func inAnHour() time.Time { return time.Now().Add(time.Hour) }

// TestReconcileKilled kills processes with kill -9 at random moments. Another process
// continues each time. The result must be the same as without kills.
func TestReconcileKilled(t *testing.T) {
	t.Parallel()
	kills, n := e2e.Torture(10, 100), e2e.Torture(40, 120)
	onBoth(t, hookless, func(t *testing.T, w *world) {
		var ids, gone []string
		killed, resumed := 0, 0
		for round := 0; killed < kills || resumed == 0 && round < kills; round++ {
			fresh := w.people(fmt.Sprintf("round%d-", round), n)
			moved := w.importing(w.exported(round)) // half of them are imported again
			ids = append(ids, fresh...)
			if round > 0 { // the state after the round before is the start of this one
				for i, id := range ids[:6] {
					w.patch(id, mail("changed%d-%d", round, i))
				}
				gone = append(gone, ids[6:9]...)
				w.delete(ids[6:9])
				ids = append(ids[:6], ids[9:]...)
			}
			k, r := w.killUntilDone()
			killed, resumed = killed+k, resumed+r
			for id, user := range moved {
				if got := w.linked(id); got != user {
					t.Fatalf("identity %s has user %q, not %q", id, got, user)
				}
			}
			w.settled(len(ids), gone)
			if got := w.db.int(`select count(*) from symbolon_users where email like $1`, fmt.Sprintf("changed%d-%%", round)); got != min(round, 1)*6 {
				t.Errorf("round %d: %d rows have the change", round, got)
			}
			if t.Failed() {
				return
			}
		}
		if resumed == 0 {
			t.Error("no run was resumed")
		}
		t.Logf("%d kills, %d of them in a recorded run", killed, resumed)
	})
}

// exported creates linked people and deletes their identities at Ory. Their export can be
// imported as new identities.
func (w *world) exported(round int) map[string]symbolon.UserID {
	w.t.Helper()
	export := map[string]symbolon.UserID{}
	for i := range 4 {
		export[mail("export%d-%d", round, i)] = w.linker.Mint()
	}
	var ids []string
	for id := range w.importing(export) {
		ids = append(ids, id)
		if _, err := w.linker.Refresh(w.t.Context(), symbolon.IdentityID(id), symbolon.FromOperator); err != nil {
			w.t.Fatal(err)
		}
	}
	w.delete(ids)
	return export
}

func (w *world) patch(id, email string) {
	w.t.Helper()
	if err := w.kratos.PatchIdentity(w.t.Context(), id, []map[string]any{{"op": "replace", "path": "/traits/email", "value": email}}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) delete(ids []string) {
	w.t.Helper()
	for _, id := range ids {
		if err := w.kratos.DeleteIdentity(w.t.Context(), id); err != nil {
			w.t.Fatal(err)
		}
	}
}

// killUntilDone kills at most five processes. The next one runs to its end.
func (w *world) killUntilDone() (kills, resumed int) {
	w.t.Helper()
	for kills = 0; ; {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), beAReconciler+"=1", "DIALECT="+string(w.db.dialect), "DSN="+w.db.dsn,
			"PUBLIC="+w.kratos.PublicURL, "ADMIN="+w.kratos.AdminURL)
		cmd.Stderr = os.Stderr
		p, err := child.Start(cmd, syscall.SIGKILL)
		if err != nil {
			w.t.Fatal(err)
		}
		if kills == 5 {
			if <-p.Done(); cmd.ProcessState.ExitCode() != 0 {
				w.t.Fatalf("the last process: %v", cmd.ProcessState)
			}
			return kills, resumed
		}
		select {
		case <-p.Done():
			if cmd.ProcessState.ExitCode() != 0 {
				w.t.Fatalf("a process: %v", cmd.ProcessState)
			}
			return kills, resumed
		case <-time.After(w.moment(p, kills%2 == 1)):
			p.Kill()
			kills++
		}
		if run, err := w.store.UnfinishedRun(w.t.Context(), "default", reconcile.Kind); err == nil {
			resumed++
			time.Sleep(max(0, time.Until(run.LeaseUntil))) // until the killed process' lease ends
		}
	}
}

// moment waits a random time before a kill, from the start of the process or from the
// record of its run.
func (w *world) moment(p *child.Process, atWork bool) time.Duration {
	w.t.Helper()
	for atWork && p.Running() {
		run, err := w.store.UnfinishedRun(w.t.Context(), "default", reconcile.Kind)
		switch {
		case err == nil && run.LeaseUntil.After(time.Now()):
			return rand.N(100 * time.Millisecond)
		case err != nil && !errors.Is(err, symbolon.ErrNotFound):
			w.t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Duration(20+rand.IntN(400)) * time.Millisecond
}

// settled checks that every identity at Ory has a user with Ory's values, that deleted
// identities are gone in the ledger, and that no finding and no run is open.
func (w *world) settled(n int, gone []string) {
	w.t.Helper()
	identities, err := w.kratos.CountIdentities(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	links, findings, runs := "symbolon.links", "symbolon.findings", "symbolon.runs"
	if w.db.dialect == sqlstore.SQLite {
		links, findings, runs = "symbolon_links", "symbolon_findings", "symbolon_runs"
	}
	for what, got := range map[string][2]int{
		"linked":         {w.db.int(`select count(*) from ` + links + ` where state = 'linked'`), identities},
		"users":          {w.db.int(`select count(*) from symbolon_users`), identities + len(gone)},
		"active users":   {w.db.int(`select count(*) from symbolon_users where active <> ` + w.no()), identities},
		"open findings":  {w.db.int(`select count(*) from ` + findings + ` where closed_at is null`), 0},
		"runs under way": {w.db.int(`select count(*) from ` + runs + ` where state = 'running'`), 0},
	} {
		if got[0] != got[1] {
			w.t.Errorf("%s: %d, want %d", what, got[0], got[1])
		}
	}
	for _, id := range gone {
		if l := w.record(id).Link; l == nil || l.State != symbolon.Gone {
			w.t.Errorf("%s is not gone: %+v", id, l)
		}
	}
	if got := w.later(reconcile.Options{}); got.Left() != 0 || got.Linked < n {
		w.t.Errorf("left: %+v", got.Found)
	}
}
