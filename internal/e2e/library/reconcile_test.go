package library

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/reconcile"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// hookless is a setup without hooks.
var hookless = setup{admin: true, write: link.WriteNone}

// reconciler returns a Reconciler of this world. each is called for every identity of the
// listing before it is passed on. each may be nil.
func (w *world) reconciler(each func(n int)) *reconcile.Reconciler {
	client := &ory.Client{PublicURL: w.kratos.PublicURL, AdminURL: w.kratos.AdminURL, Timeout: patience, Load: 1}
	w.t.Cleanup(client.CloseIdleConnections)
	page := ory.ListOptions{}
	if each != nil {
		page.PageSize = 50 // several pages
	}
	return &reconcile.Reconciler{Linker: w.linker, Ledger: w.store, Runs: w.store, Identities: func(ctx context.Context, from symbolon.IdentityID) iter.Seq2[symbolon.Identity, error] {
		return func(yield func(symbolon.Identity, error) bool) {
			n, page := 0, page
			page.From = from
			for id, err := range client.Identities(ctx, page) {
				if each != nil {
					each(n)
				}
				n++
				if !yield(id, err) {
					return
				}
			}
		}
	}}
}

func (w *world) reconcile(o reconcile.Options) reconcile.Report {
	w.t.Helper()
	report, err := w.reconciler(nil).Run(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

// people creates n identities by the admin API, for which Kratos calls no hook.
func (w *world) people(label string, n int) []string {
	w.t.Helper()
	var bodies []map[string]any
	for i := range n {
		bodies = append(bodies, map[string]any{"schema_id": "default", "traits": map[string]any{"email": mail("%s%d", label, i), "name": "Ann"}})
	}
	ids, err := w.kratos.CreateIdentities(w.t.Context(), bodies)
	if err != nil {
		w.t.Fatal(err)
	}
	return ids
}

// content returns everything that a pass may write: the ledger, the history, findings,
// runs, tickets and the application's rows.
func (w *world) content() string {
	w.t.Helper()
	tickets, links := `select last_value || '' from symbolon.tickets`, "symbolon."
	if w.db.dialect == sqlstore.SQLite {
		tickets, links = `select n || '' from symbolon_tickets`, "symbolon_"
	}
	var b strings.Builder
	for _, query := range []string{tickets,
		`select identity_id || coalesce(user_id, '') || state || ticket || digest || back_reference from ` + links + `links order by 1`,
		`select count(*) || ' events' from ` + links + `events`, `select count(*) || ' runs' from ` + links + `runs`,
		`select cast(id as text) || kind || detail || coalesce(cast(closed_at as text), '') from ` + links + `findings order by id`,
		`select cast(id as text) || coalesce(email, '') || coalesce(name, '') || cast(updated_at as text) from symbolon_users order by 1`} {
		b.WriteString(w.db.lines(query))
	}
	return b.String()
}

// lines returns the first column of a query's rows, one per line.
func (d *database) lines(query string) string {
	d.t.Helper()
	var out strings.Builder
	rows, err := d.QueryContext(d.t.Context(), query)
	if err != nil {
		d.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			d.t.Fatal(err)
		}
		out.WriteString(line + "\n")
	}
	if err := rows.Err(); err != nil {
		d.t.Fatal(err)
	}
	return out.String()
}

// TestReconcileLinksEverybody has lost all hooks, and a tenth of the identities is
// created during the listing. Two passes link all of them, and a third writes nothing.
func TestReconcileLinksEverybody(t *testing.T) {
	t.Parallel()
	n := e2e.Torture(300, 10_000)
	onBoth(t, hookless, func(t *testing.T, w *world) {
		w.people("early", n-n/10)
		if got := w.reconcile(reconcile.Options{}); got.Found[reconcile.UnlinkedIdentity] != n-n/10 || !got.Complete {
			t.Fatalf("a dry run: %+v", got.Found)
		}
		if users := w.db.int("select count(*) from symbolon_users"); users != 0 {
			t.Fatalf("a dry run made %d users", users)
		}
		late := sync.OnceFunc(func() { w.people("late", n/10) })
		first, err := w.reconciler(func(at int) {
			if at == n/2 {
				late()
			}
		}).Run(t.Context(), reconcile.Options{Repair: true})
		if err != nil || first.Failed > 0 || first.Repaired[reconcile.UnlinkedIdentity] < n-n/10 {
			t.Fatalf("%+v, %v", first.Repaired, err)
		}
		w.reconcile(reconcile.Options{Repair: true})
		w.oneToOne(n)
		before := w.content()
		for range 2 {
			began := time.Now()
			got := w.reconcile(reconcile.Options{Repair: true})
			if got.Left() != 0 || !got.Complete || got.Linked != n || len(got.Repaired) != 0 {
				t.Errorf("not all are linked: %+v", got)
			}
			took := time.Since(began)
			began = time.Now()
			for _, err := range w.reconciler(nil).Identities(t.Context(), "") {
				if err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("%d linked identities: %.0f/s, the bare listing %.0f/s", n, float64(n)/took.Seconds(), float64(n)/time.Since(began).Seconds())
		}
		if w.content() != before {
			t.Error("a pass without changes at Ory wrote something")
		}
	})
}

// TestReconcileInSlices checks that each identity is linked once, however often the run
// pauses.
func TestReconcileInSlices(t *testing.T) {
	t.Parallel()
	onBoth(t, hookless, func(t *testing.T, w *world) {
		const n = 150
		w.people("slice", n)
		if got := w.reconcile(reconcile.Options{}); got.Identities != n || got.Found[reconcile.UnlinkedIdentity] != n {
			t.Errorf("%+v", got)
		}
		slices := 0
		for done := false; !done; slices++ {
			var err error
			if _, done, err = w.reconciler(nil).Work(t.Context(), reconcile.Options{}, time.Nanosecond); err != nil {
				t.Fatal(err)
			}
		}
		if slices < 3 {
			t.Errorf("%d slices", slices)
		}
		w.oneToOne(n)
		if got := w.later(reconcile.Options{}); got.Linked != n || got.Left() != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// TestReconcileBesideSignUps has sign-ups during passes. No identity gets two users.
func TestReconcileBesideSignUps(t *testing.T) {
	t.Parallel()
	n := e2e.Torture(40, 400)
	onBoth(t, setup{admin: true, link: true, reserve: true}, func(t *testing.T, w *world) {
		w.people("before", n)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range n {
				p, err := w.kratos.Register(t.Context(), mail("meanwhile%d", i), password, "Ann")
				if err != nil {
					t.Error(err)
					return
				}
				w.get(p.Token)
			}
		}()
		for passes := 0; ; passes++ {
			if _, err := w.reconciler(nil).Run(t.Context(), reconcile.Options{Repair: true}); err != nil {
				t.Error(err)
			}
			select {
			case <-done:
				w.reconcile(reconcile.Options{Repair: true})
				w.oneToOne(2 * n)
				return
			default:
			}
		}
	})
}

// TestReconcileMendsColumns checks that a change at Ory without a hook is written once.
// Metadata of other applications is not overwritten and does not stop the run.
func TestReconcileMendsColumns(t *testing.T) {
	t.Parallel()
	onBoth(t, hookless, func(t *testing.T, w *world) {
		ids := w.people("stale", 6)
		foreign, err := w.kratos.CreateIdentity(t.Context(), map[string]any{"schema_id": "default",
			"traits": map[string]any{"email": mail("foreign")}, "metadata_public": map[string]any{"id": "legacy-7"}})
		if err != nil {
			t.Fatal(err)
		}
		w.importing(map[string]symbolon.UserID{mail("odd"): "a\x00b"})
		if got := w.reconcile(reconcile.Options{Repair: true}); got.Found[symbolon.ForeignBackReference] != 2 || got.Left() != 2 {
			t.Errorf("%+v", got.Found)
		}
		for i, id := range ids[:3] {
			if err := w.kratos.PatchIdentity(t.Context(), id, []map[string]any{
				{"op": "replace", "path": "/traits/email", "value": mail("fresh%d", i)}, {"op": "replace", "path": "/state", "value": "inactive"}}); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.reconcile(reconcile.Options{}); got.Found[reconcile.StaleColumns] != 3 {
			t.Errorf("a dry run: %+v", got.Found)
		}
		if got := w.reconcile(reconcile.Options{Repair: true, Only: []symbolon.FindingKind{symbolon.UserGone}}); len(got.Repaired) != 0 || got.Left() != 0 {
			t.Errorf("wrong repairs or findings: %+v %+v", got.Repaired, got.Found)
		}
		if got := w.reconcile(reconcile.Options{Repair: true}); got.Repaired[reconcile.StaleColumns] != 3 || got.Found[reconcile.StaleColumns] != 0 {
			t.Errorf("%+v %+v", got.Repaired, got.Found)
		}
		if n := w.db.int("select count(*) from symbolon_users where email like 'fresh%' and active = " + w.no()); n != 3 {
			t.Errorf("%d rows have Ory's values", n)
		}
		before := w.content()
		w.reconcile(reconcile.Options{Repair: true})
		if w.content() != before {
			t.Error("the second pass wrote something")
		}
		w.stays(foreign, `{"id":"legacy-7"}`)
	})
}

func (w *world) no() string {
	if w.db.dialect == sqlstore.SQLite {
		return "0"
	}
	return "false"
}

// TestReconcileReports checks that differences for the operator are recorded once and not
// changed. A deleted identity is gone in the ledger after a proof.
func TestReconcileReports(t *testing.T) {
	t.Parallel()
	onOne(t, hookless, func(t *testing.T, w *world) {
		ids := w.people("some", 5)
		w.reconcile(reconcile.Options{Repair: true})
		w.db.exec(`delete from symbolon_users where ory_identity_id = $1`, ids[0])
		w.db.exec(`update symbolon_users set ory_identity_id = null where ory_identity_id = $1`, ids[1])
		if err := w.kratos.DeleteIdentity(t.Context(), ids[2]); err != nil {
			t.Fatal(err)
		}
		before := w.content()
		if got := w.later(reconcile.Options{}); got.Left() != 3 || got.Found[reconcile.OrphanUser] != 1 || w.content() != before {
			t.Errorf("a dry run: %+v", got)
		}
		got := w.later(reconcile.Options{Repair: true})
		if got.Repaired[reconcile.OrphanUser] != 1 || got.Found[symbolon.UserGone] != 1 || got.Found[symbolon.ColumnDisagrees] != 1 ||
			got.Left() != 2 || len(got.Findings) != 2 {
			t.Errorf("%+v", got)
		}
		for i, want := range []string{"user_gone", "column_disagrees", "", "", ""} {
			if kinds := w.findings(ids[i]); kinds != want {
				t.Errorf("open findings %q, want %q", kinds, want)
			}
		}
		if l := w.record(ids[2]).Link; l == nil || l.State != symbolon.Gone || w.db.int(`select count(*) from symbolon_users where active = `+w.no()) != 1 {
			t.Errorf("the deleted identity: %+v", l)
		}
		before = w.content()
		if got := w.later(reconcile.Options{Repair: true}); got.Left() != 2 || w.content() != before {
			t.Errorf("recorded a second time: %+v", got)
		}
		w.db.exec(`update symbolon_users set ory_identity_id = $1 where ory_identity_id is null`, ids[1])
		if got := w.later(reconcile.Options{Repair: true}); got.Left() != 1 || w.findings(ids[1]) != "" {
			t.Errorf("the operator settled it, but: %+v, %q", got, w.findings(ids[1]))
		}
	})
}

// later runs reconcile at a time when identities without a link are old enough for a
// finding.
func (w *world) later(o reconcile.Options) reconcile.Report {
	w.t.Helper()
	r := w.reconciler(nil)
	r.Now = func() time.Time { return time.Now().Add(time.Hour) }
	report, err := r.Run(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

// TestReconcileState checks that a changed column of the row is overwritten with Ory's
// value, once.
func TestReconcileState(t *testing.T) {
	t.Parallel()
	onOne(t, hookless, func(t *testing.T, w *world) {
		ids := w.people("state", 4)
		w.reconcile(reconcile.Options{Repair: true})
		w.db.exec(`update symbolon_users set active = `+w.no()+` where ory_identity_id = $1`, ids[0])
		if got := w.reconcile(reconcile.Options{}); got.Found[reconcile.StateMismatch] != 1 || got.Left() != 1 {
			t.Errorf("a dry run: %+v", got.Found)
		}
		if got := w.reconcile(reconcile.Options{Repair: true}); got.Repaired[reconcile.StateMismatch] != 1 || got.Left() != 0 {
			t.Errorf("%+v %+v", got.Repaired, got.Found)
		}
		if n := w.db.int(`select count(*) from symbolon_users where active = ` + w.no()); n != 0 {
			t.Errorf("%d are inactive", n)
		}
		before := w.content()
		if w.reconcile(reconcile.Options{Repair: true}); w.content() != before {
			t.Error("the second pass wrote something")
		}
	})
}

// TestReconcileBackReferences checks the policies. With repair a missing back-reference
// is a finding, and it is written if there is no other value. With every other policy it
// is only counted.
func TestReconcileBackReferences(t *testing.T) {
	t.Parallel()
	onOne(t, setup{admin: true, write: link.WriteRepair}, func(t *testing.T, w *world) {
		w.linker.Now = inAnHour // the last writes are old enough
		ids := w.people("bare", 5)
		foreign := symbolon.UserID("legacy-7")
		for id := range w.importing(map[string]symbolon.UserID{mail("foreign"): foreign}) {
			defer w.stays(id, `{"id":"legacy-7"}`)
		}
		if got := w.later(reconcile.Options{Repair: true, Only: []symbolon.FindingKind{reconcile.UnlinkedIdentity}}); got.Left() != 0 {
			t.Errorf("%+v", got.Found)
		}
		before := w.content()
		if got := w.later(reconcile.Options{}); got.Found[symbolon.MissingBackReference] != 5 || got.NoBackReference != 5 || w.content() != before {
			t.Errorf("a dry run: %+v", got)
		}
		w.linker.BackReference.Write = ""
		if got := w.later(reconcile.Options{Repair: true}); got.Found[symbolon.MissingBackReference] != 0 || got.NoBackReference != 5 || w.content() != before {
			t.Errorf("by default a missing ID is no finding, and nothing writes it: %+v", got)
		}
		w.linker.BackReference.Write = link.WriteRepair
		got := w.later(reconcile.Options{Repair: true})
		if got.Repaired[symbolon.MissingBackReference] != 5 || got.Found[symbolon.ForeignBackReference] != 1 || got.Left() != 1 {
			t.Errorf("%+v", got)
		}
		for _, id := range ids {
			w.stays(id, fmt.Sprintf(`{"id":%q}`, w.linked(id)))
		}
		before = w.content()
		if got := w.later(reconcile.Options{Repair: true}); got.Left() != 1 || got.NoBackReference != 0 || w.content() != before {
			t.Errorf("%+v", got)
		}
	})
}

// TestReimport moves a project to a new Kratos by an export with metadata. Every identity
// is new, and none gets a second user. All are held until one repair gives them their
// users.
func TestReimport(t *testing.T) {
	t.Parallel()
	n := e2e.Torture(100, 1000)
	onOne(t, hookless, func(t *testing.T, w *world) {
		export := map[string]symbolon.UserID{}
		for i := range n {
			export[mail("moved%d", i)] = w.linker.Mint()
		}
		w.importing(export)
		w.reconcile(reconcile.Options{Repair: true})
		w.oneToOne(n)
		w.move()
		again := w.importing(export)
		before := w.content()
		if got := w.later(reconcile.Options{}); got.Found[reconcile.UnlinkedIdentity] != n || got.Left() != n || w.content() != before {
			t.Errorf("a dry run: %+v", got.Found)
		}
		if got := w.later(reconcile.Options{Repair: true}); got.Found[symbolon.RecreatedIdentity] != n || got.Left() != n || got.Denied != n {
			t.Errorf("held: %+v", got)
		}
		w.oneToOne(n)
		before = w.content()
		if got := w.later(reconcile.Options{Repair: true}); got.Left() != n || w.content() != before {
			t.Errorf("held already: %+v", got.Found)
		}
		if got := w.later(reconcile.Options{Repair: true, Rebind: true}); got.Repaired[symbolon.RecreatedIdentity] != n || got.Left() != 0 {
			t.Errorf("rebound: %+v", got)
		}
		w.oneToOne(n)
		for id, user := range again {
			if got := w.linked(id); got != user {
				t.Fatalf("identity %s has user %q, not %q", id, got, user)
			}
		}
		before = w.content()
		if got := w.later(reconcile.Options{Repair: true, Rebind: true}); got.Left() != 0 || got.Linked != n || w.content() != before {
			t.Errorf("settled: %+v", got)
		}
	})
}

// importing creates the identities of an export, and returns the user that each of them
// names.
func (w *world) importing(export map[string]symbolon.UserID) map[string]symbolon.UserID {
	w.t.Helper()
	var bodies []map[string]any
	var users []symbolon.UserID
	for email, user := range export {
		bodies = append(bodies, map[string]any{"schema_id": "default",
			"traits": map[string]any{"email": email, "name": "Ann"}, "metadata_public": map[string]any{"id": user}})
		users = append(users, user)
	}
	ids, err := w.kratos.CreateIdentities(w.t.Context(), bodies)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]symbolon.UserID{}
	for i, id := range ids {
		out[id] = users[i]
	}
	return out
}

// move replaces Kratos by an empty one.
func (w *world) move() {
	w.kratos = symbolontest.StartKratos(w.t, symbolontest.KratosConfig{})
	client := &ory.Client{PublicURL: w.kratos.PublicURL, AdminURL: w.kratos.AdminURL, Timeout: patience, Load: 1}
	w.t.Cleanup(client.CloseIdleConnections)
	w.linker = &link.Linker{Ory: client, Store: w.store, Secrets: secrets, Log: w.linker.Log, ProofGap: w.linker.ProofGap,
		BackReference: w.linker.BackReference}
}

// oneByOne is a store that makes links one by one, so that a stop can come between two of
// them.
type oneByOne struct{ symbolon.Store }

// TestReconcileStopped stops a run in the middle of its repairs, and another one by a
// database failure. Nothing is left half done, and the next run repairs all.
func TestReconcileStopped(t *testing.T) {
	t.Parallel()
	n := e2e.Torture(120, 3000)
	onBoth(t, setup{admin: true, write: link.WriteNone, stops: true}, func(t *testing.T, w *world) {
		w.linker.Store = oneByOne{w.store}
		w.people("stopped", n)
		var links atomic.Int64
		var end atomic.Pointer[context.CancelFunc]
		w.linker.AfterLink = func(context.Context, symbolon.Link) {
			if cancel := end.Load(); cancel != nil && links.Add(1)%10 == 0 {
				(*cancel)()
			}
		}
		for range 4 {
			ctx, cancel := context.WithCancel(t.Context())
			end.Store(&cancel)
			if _, err := w.reconciler(nil).Run(ctx, reconcile.Options{Repair: true}); err == nil {
				t.Error("the run was not stopped in the middle")
			}
			cancel()
		}
		end.Store(nil)
		if users := w.db.int("select count(*) from symbolon_users"); users == 0 || users == n {
			t.Errorf("%d users: the run was not stopped in the middle", users)
		}
		w.db.stop()
		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := w.reconciler(nil).Run(short, reconcile.Options{Repair: true}); err == nil {
			t.Error("the database is down, but the run reports no error")
		}
		w.db.start()
		w.eventually("everybody is linked", func() bool {
			got, err := w.reconciler(nil).Run(t.Context(), reconcile.Options{Repair: true})
			return err == nil && got.Left() == 0
		})
		w.oneToOne(n)
	})
}

// TestReconcileWithoutAdminURL expects an error, because reconcile needs the admin URL.
func TestReconcileWithoutAdminURL(t *testing.T) {
	t.Parallel()
	r := &reconcile.Reconciler{Linker: &link.Linker{Ory: &ory.Client{PublicURL: "http://127.0.0.1:1"}}}
	if _, err := r.Run(t.Context(), reconcile.Options{}); !errors.Is(err, symbolon.ErrNoAdmin) {
		t.Error(err)
	}
}
