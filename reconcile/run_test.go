package reconcile_test

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/reconcile"
)

// users returns the users of the first identities, by number.
func (s *small) users(t *testing.T) map[int]string {
	t.Helper()
	out := map[int]string{}
	for n := range people {
		var user string
		if err := s.db.QueryRow("select id from symbolon_users where ory_identity_id = $1", uuid('a', n)).Scan(&user); err != nil {
			t.Fatal(err)
		}
		out[n] = user
	}
	return out
}

// another returns the same reconciler in another process.
func (s *small) another() *reconcile.Reconciler {
	r := s.Reconciler
	return &reconcile.Reconciler{Linker: r.Linker, Ledger: r.Ledger, Runs: r.Runs, Identities: r.Identities, Lease: r.Lease, Now: r.Now}
}

// rebound checks that every identity has its old user, except the three gone ones.
func (s *small) rebound(t *testing.T, users map[int]string, gone map[int]bool) {
	t.Helper()
	for n := range people {
		var user, state string
		id := uuid('b', n)
		if gone[n] {
			id = uuid('a', n)
		}
		if err := s.db.QueryRow("select user_id, state from symbolon_links where identity_id = $1", id).Scan(&user, &state); err != nil {
			t.Fatalf("%d: %v", n, err)
		}
		if user != users[n] || state != map[bool]string{true: "gone", false: "linked"}[gone[n]] {
			t.Errorf("%d: %s %s", n, user, state)
		}
	}
	if n := s.count(t, "select count(*) from symbolon_users"); n != people {
		t.Errorf("%d users", n)
	}
	if n := s.count(t, "select count(*) from symbolon_users where active = 1"); n != people-len(gone) {
		t.Errorf("%d active users", n)
	}
}

// TestMoved checks that a project that was moved by an export with our IDs is a plausible
// listing. Identities that were not in the export are proved gone.
func TestMoved(t *testing.T) {
	gone := map[int]bool{3: true, 25: true, 59: true}
	for name, run := range map[string]func(*testing.T, *small) error{
		"in one run": func(t *testing.T, s *small) error {
			report, err := s.Run(t.Context(), reconcile.Options{Repair: true, Rebind: true})
			if report.Repaired[symbolon.RecreatedIdentity] != people-3 || report.Repaired[reconcile.OrphanUser] != 3 || report.Left() != 0 {
				t.Errorf("%+v", report)
			}
			return err
		},

		"by the schedule first": func(t *testing.T, s *small) error {
			if _, err := s.Run(t.Context(), reconcile.Options{Repair: true}); err != nil {
				return err
			}
			if n := s.count(t, "select count(*) from symbolon_links where state = 'held' and reason = 'recreated_identity'"); n != people-3 {
				t.Errorf("%d are held", n)
			}
			_, err := s.Run(t.Context(), reconcile.Options{Repair: true, Rebind: true})
			return err
		},
		"in slices, by two processes": func(t *testing.T, s *small) error {
			two := []*reconcile.Reconciler{s.Reconciler, s.another()}
			for n := 0; ; n++ {
				report, done, err := two[n%2].Work(t.Context(), reconcile.Options{Rebind: true}, time.Nanosecond)
				if err != nil || done {
					if n < 4 || report.Left() != 0 {
						t.Errorf("%d slices: %+v", n, report)
					}
					return err
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := world(t)
			users := s.users(t)
			s.become(&fakeOry{project: 'b', to: people, email: "p%d@example.org", claims: users, gone: gone})
			if err := run(t, s); err != nil {
				t.Fatal(err)
			}
			s.rebound(t, users, gone)
			before := s.content(t)
			if report, err := s.Run(t.Context(), reconcile.Options{Repair: true, Rebind: true}); err != nil || report.Left() != 0 || s.content(t) != before {
				t.Errorf("%+v %v", report, err)
			}
		})
	}
}

// TestClaimsThatExplainNothing checks that claims of IDs that Symbolon did not mint, and
// claims of users whose identities exist, do not make a listing plausible.
func TestClaimsThatExplainNothing(t *testing.T) {
	for name, spoil := range map[string]func(s *small, users map[int]string){
		"not minted": func(s *small, users map[int]string) {
			l := s.Linker
			s.Reconciler = s.another()
			s.Linker = &link.Linker{Ory: l.Ory, Store: l.Store, Log: l.Log, Secrets: []symbolon.Secret{symbolon.Secret("aNotHer0zR5tXw9LmB4nYc7HdF1sGpA6e")}}
			s.become(&fakeOry{project: 'b', to: people, email: "p%d@example.org", claims: users})
		},
		"of users with existing identities": func(s *small, users map[int]string) {
			s.become(&fakeOry{project: 'a', to: people + 40, email: "p%d@example.org", claims: map[int]string{}, gone: map[int]bool{}})
			for n := range 20 {
				s.ory.gone[40+n], s.ory.claims[people+n] = true, users[n]
			}
		},
		"of one user, many times": func(s *small, users map[int]string) {
			s.become(&fakeOry{project: 'a', to: people + 40, email: "p%d@example.org", claims: map[int]string{}, gone: map[int]bool{}})
			for n := range 20 {
				s.ory.gone[40+n], s.ory.claims[people+n] = true, users[41]
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := world(t)
			spoil(s, s.users(t))
			before := s.content(t)
			report, err := s.Run(t.Context(), reconcile.Options{Repair: true, Rebind: true})
			if !errors.Is(err, reconcile.ErrImplausible) || report.Complete || s.content(t) != before {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestManyFindings closes more than a page of findings of identities that no longer
// exist.
func TestManyFindings(t *testing.T) {
	s := world(t)
	var open []symbolon.Finding
	for n := range 1700 {
		for _, kind := range []symbolon.FindingKind{reconcile.UnlinkedIdentity, symbolon.UserGone} {
			open = append(open, symbolon.Finding{Identity: symbolon.IdentityID(uuid('a', n*7)), Kind: kind})
		}
	}
	if err := s.Ledger.RecordFindings(t.Context(), "default", symbolon.FromReconcile, open, nil); err != nil {
		t.Fatal(err)
	}
	before := s.content(t)
	if report, err := s.Run(t.Context(), reconcile.Options{}); err != nil || report.Left() != 0 || s.content(t) != before {
		t.Errorf("a dry run: %+v %v", report, err)
	}
	if _, err := s.Run(t.Context(), reconcile.Options{Repair: true}); err != nil {
		t.Error(err)
	}
	known := (people + 6) / 7 // identities with a ledger entry; their findings are closed
	if n := s.count(t, "select count(*) from symbolon_findings where closed_at is null"); n != 1700-known {
		t.Errorf("%d are open", n)
	}
	before = s.content(t)
	if _, err := s.Run(t.Context(), reconcile.Options{Repair: true}); err != nil || s.content(t) != before {
		t.Errorf("a second pass: %v", err)
	}
}

// begun starts a run with Repair whose listing waits until letGo is called.
func (s *small) begun(t *testing.T) (ended chan error, letGo func()) {
	listing, gate := make(chan struct{}, 10), make(chan struct{})
	r := s.another()
	inner := r.Identities
	r.Identities = func(ctx context.Context, from symbolon.IdentityID) iter.Seq2[symbolon.Identity, error] {
		listing <- struct{}{}
		select {
		case <-gate:
		case <-ctx.Done():
		}
		return inner(ctx, from)
	}
	ended = make(chan error)
	go func() {
		_, err := r.Run(t.Context(), reconcile.Options{Repair: true, ID: "first"})
		ended <- err
	}()
	<-listing
	return ended, func() { close(gate) }
}

// clockedRuns has a clock that the test moves.
type clockedRuns struct {
	reconcile.Runs
	now func() time.Time
}

func (c clockedRuns) Clock(context.Context) (time.Time, error) { return c.now(), nil }

// TestOneRunAtATime checks that a run with Repair blocks other runs with Repair, but not
// dry runs.
func TestOneRunAtATime(t *testing.T) {
	s := world(t)
	s.Lease = 300 * time.Millisecond
	began, passed := time.Now().Truncate(time.Millisecond), atomic.Int64{} // the clock of the runs: a pause of the machine does not end the lease. SQLite counts milliseconds
	s.Now = func() time.Time { return began.Add(time.Hour + time.Duration(passed.Load())) }
	s.Runs = clockedRuns{s.Runs, func() time.Time { return began.Add(time.Duration(passed.Load())) }}
	ended, letGo := s.begun(t)
	for range 4 {
		until := began.Add(time.Duration(passed.Load()) + s.Lease).UTC().Format("2006-01-02T15:04:05.000000Z")
		for s.count(t, "select count(*) from symbolon_runs where id = 'first' and lease_until >= '"+until+"'") == 0 {
			time.Sleep(time.Millisecond)
		}
		passed.Add(int64(s.Lease / 2)) // the lease is renewed
	}
	if _, err := s.Run(t.Context(), reconcile.Options{Repair: true}); !errors.Is(err, reconcile.ErrBusy) {
		t.Errorf("a second run: %v", err)
	}
	if _, _, err := s.Work(t.Context(), reconcile.Options{}, time.Minute); !errors.Is(err, reconcile.ErrBusy) {
		t.Errorf("the schedule: %v", err)
	}
	if _, err := s.Run(t.Context(), reconcile.Options{}); err != nil {
		t.Errorf("a dry run: %v", err)
	}
	letGo()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := s.count(t, "select count(*) from symbolon_runs where id = 'first' and state = 'done' and checkpoint = ''"); n != 1 {
		t.Error("the run is not done")
	}
	if _, err := s.Run(t.Context(), reconcile.Options{Repair: true}); err != nil {
		t.Error(err)
	}
}

// TestWrongClock has a process whose clock is an hour off. It does not take over a run that
// another process works on, and nobody takes over its own run.
func TestWrongClock(t *testing.T) {
	for name, wrong := range map[string]struct{ owner, other time.Duration }{
		"the other is ahead": {0, time.Hour}, "the owner is behind": {-time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := world(t)
			s.Lease = 3 * time.Second // the run is recorded after a third of it
			s.Now = func() time.Time { return time.Now().Add(wrong.owner) }
			ended, letGo := s.begun(t)
			for s.count(t, "select count(*) from symbolon_runs where id = 'first'") == 0 {
				time.Sleep(time.Millisecond)
			}
			other := s.another()
			other.Now = func() time.Time { return time.Now().Add(wrong.other) }
			if _, _, err := other.Work(t.Context(), reconcile.Options{}, time.Minute); !errors.Is(err, reconcile.ErrBusy) {
				t.Errorf("the run was taken over: %v", err)
			}
			letGo()
			if err := <-ended; err != nil {
				t.Errorf("the owner: %v", err)
			}
			if _, done, err := other.Work(t.Context(), reconcile.Options{}, time.Minute); err != nil || !done {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestLeaseLost checks that a run stops at once if its lease was taken over.
func TestLeaseLost(t *testing.T) {
	s := world(t)
	s.Lease = 300 * time.Millisecond
	ended, letGo := s.begun(t)
	defer letGo()
	for s.count(t, "select count(*) from symbolon_runs where id = 'first'") == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := s.db.Exec("update symbolon_runs set lease_until = '2999-01-01T00:00:00.000000Z'"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, reconcile.ErrBusy) {
		t.Error(err)
	}
}

// TestResume checks that with Resume a dead run is continued where it was, and that it is
// an error without Resume.
func TestResume(t *testing.T) {
	s := world(t)
	s.become(&fakeOry{project: 'a', to: 2600, email: "p%d@example.org"})
	stop := func(id string, after int64) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		var links atomic.Int64
		s.Linker.AfterLink = func(context.Context, symbolon.Link) {
			if links.Add(1) == after {
				cancel()
			}
		}
		if _, err := s.Run(ctx, reconcile.Options{Repair: true, ID: id, Resume: id == "second"}); !errors.Is(err, context.Canceled) {
			t.Fatalf("the run was not stopped: %v", err)
		}
		s.Linker.AfterLink = nil
	}
	stop("first", 700)
	stop("second", 700) // continues the first run
	if n := s.count(t, "select count(*) from symbolon_runs where id = 'first' and state = 'running' and checkpoint like '%\"phase\":\"repairing\"%'"); n != 1 {
		t.Error("the first run is not recorded as running")
	}
	var froms []symbolon.IdentityID
	inner := s.Identities
	s.Identities = func(ctx context.Context, from symbolon.IdentityID) iter.Seq2[symbolon.Identity, error] {
		froms = append(froms, from)
		return inner(ctx, from)
	}
	s.another() // a new reconciler, because fields of s are read above
	report, err := s.Run(t.Context(), reconcile.Options{Repair: true, Resume: true})
	if err != nil || report.ID != "first" || report.Left() != 0 || report.Linked != 2600 {
		t.Errorf("%+v %v", report, err)
	}
	if len(froms) != 2 || froms[0] < symbolon.IdentityID(uuid('a', 999)) || froms[1] != "" {
		t.Errorf("the listing began at %v", froms)
	}
	s.become(&fakeOry{project: 'a', to: 5000, email: "p%d@example.org"})
	stop("third", 700)
	if report, err = s.Run(t.Context(), reconcile.Options{Repair: true, ID: "fourth"}); err != nil || report.ID != "fourth" || report.Linked != 5000 {
		t.Errorf("%+v %v", report, err)
	}
	if n := s.count(t, "select count(*) from symbolon_runs where id = 'third' and state = 'failed'"); n != 1 {
		t.Error("the third run is not recorded as failed")
	}
}
