package reconcile_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/reconcile"
)

// TestOneThatOryCannotRead has three missing identities, and Ory answers 500 for one of
// them. The other two are proved gone, and this one is not changed.
func TestOneThatOryCannotRead(t *testing.T) {
	s := world(t)
	broken := func(w http.ResponseWriter, n int) bool {
		return n == 25 && says(500, "application/json", `{"error":{"code":500}}`)(w, n)
	}
	s.become(&fakeOry{project: 'a', to: people, email: "p%d@example.org", gone: map[int]bool{3: true, 25: true, 59: true}, byID: broken})
	report, err := s.Run(t.Context(), reconcile.Options{Repair: true})
	if !errors.Is(err, symbolon.ErrUnavailable) || report.Repaired[reconcile.OrphanUser] != 2 || report.Found[reconcile.OrphanUser] != 1 || report.Failed != 1 {
		t.Errorf("%+v %v", report, err)
	}
	for n, state := range map[int]string{3: "gone", 25: "linked", 59: "gone"} {
		if s.count(t, `select count(*) from symbolon_links where state = '`+state+`' and identity_id = '`+uuid('a', n)+`'`) != 1 {
			t.Errorf("%d is not %s", n, state)
		}
	}
}

// TestManyAreGone has more missing identities than fit in one batch. Two processes prove
// them in slices, and each continues where the other stopped.
func TestManyAreGone(t *testing.T) {
	s := world(t)
	gone := map[int]bool{}
	for n := range people - 5 {
		gone[n] = true
	}
	asked := map[int]int{}
	s.become(&fakeOry{project: 'a', to: people, email: "p%d@example.org", gone: gone, byID: func(_ http.ResponseWriter, n int) bool {
		asked[n]++
		return false
	}})
	two, slices := []*reconcile.Reconciler{s.Reconciler, s.another()}, 0
	for done := false; !done; slices++ {
		report, over, err := two[slices%2].Work(t.Context(), reconcile.Options{AllowMissing: people}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if done = over; done && (report.Repaired[reconcile.OrphanUser] != people-5 || report.Left() != 0) {
			t.Errorf("%+v", report)
		}
	}
	for n := range gone {
		if asked[n] != 2 {
			t.Errorf("identity %d was read %d times", n, asked[n])
		}
	}
	if slices < 4 {
		t.Errorf("%d slices", slices)
	}
}

// TestHeldAndGone deletes an identity on hold at Ory. Its findings stay open until it is
// proved gone, and are closed then. A second run finds nothing to do.
func TestHeldAndGone(t *testing.T) {
	s := world(t)
	users := s.users(t)
	if _, err := s.Linker.Bind(t.Context(), symbolon.IdentityID(uuid('a', 1)), symbolon.UserID(users[0]), symbolon.BindOptions{Move: true}); err != nil {
		t.Fatal(err)
	}
	open := func() int { return s.count(t, `select count(*) from symbolon_findings where closed_at is null`) }
	if open() != 1 {
		t.Fatalf("%d findings", open())
	}
	broken := func(w http.ResponseWriter, n int) bool { return n == 0 && says(500, "text/plain", "")(w, n) }
	s.become(&fakeOry{project: 'a', to: people, email: "p%d@example.org", gone: map[int]bool{0: true}, byID: broken})
	if report, err := s.Run(t.Context(), reconcile.Options{Repair: true}); err == nil || report.Found[symbolon.Moved] != 1 || open() != 1 {
		t.Errorf("%+v %v, %d findings", report, err, open())
	}
	s.become(&fakeOry{project: 'a', to: people, email: "p%d@example.org", gone: map[int]bool{0: true}})
	if report, err := s.Run(t.Context(), reconcile.Options{}); err != nil || report.Found[symbolon.Moved] != 1 || open() != 1 {
		t.Errorf("a dry run: %+v %v, %d findings", report, err, open())
	}
	if report, err := s.Run(t.Context(), reconcile.Options{Repair: true}); err != nil || report.Repaired[symbolon.Moved] != 1 || report.Left() != 0 || open() != 0 {
		t.Errorf("%+v %v, %d findings", report, err, open())
	}
	before := s.content(t)
	if report, err := s.Run(t.Context(), reconcile.Options{Repair: true}); err != nil || report.Left() != 0 || s.content(t) != before {
		t.Errorf("%+v %v", report, err)
	}
	if s.count(t, `select count(*) from symbolon_users where active = 1`) != people {
		t.Error("a row was changed")
	}
}

// TestTakenUserIsStillClaimed has the operator give the user of one identity to another one,
// and Ory deletes the other one. The first identity still names the user in its metadata, but
// will never get it by that. So the deleted identity's row is deactivated, as any other.
func TestTakenUserIsStillClaimed(t *testing.T) {
	s := world(t)
	users := s.users(t)
	if _, err := s.Linker.Bind(t.Context(), symbolon.IdentityID(uuid('a', 1)), symbolon.UserID(users[0]), symbolon.BindOptions{Move: true}); err != nil {
		t.Fatal(err)
	}
	s.become(&fakeOry{project: 'a', to: people, email: "p%d@example.org", claims: map[int]string{0: users[0]}, gone: map[int]bool{1: true}})
	report, err := s.Run(t.Context(), reconcile.Options{Repair: true})
	if err != nil || report.Repaired[reconcile.OrphanUser] != 1 {
		t.Errorf("%+v %v", report, err)
	}
	if n := s.count(t, "select count(*) from symbolon_users where active = 0 and ory_identity_id = '"+uuid('a', 1)+"'"); n != 1 {
		t.Errorf("%d rows of the deleted identity are deactivated", n)
	}
}

// TestManyAreOver has many gone identities at the beginning of the ledger. RepairFinding
// still finds a control for one more.
func TestManyAreOver(t *testing.T) {
	s := world(t)
	if _, err := s.db.Exec("update symbolon_links set state = 'gone' where identity_id < $1", uuid('a', people-3)); err != nil {
		t.Fatal(err)
	}
	s.become(&fakeOry{project: 'a', from: people - 3, to: people, email: "p%d@example.org", gone: map[int]bool{people - 1: true}})
	orphan := symbolon.Finding{Kind: reconcile.OrphanUser, Identity: symbolon.IdentityID(uuid('a', people-1))}
	if err := s.Ledger.RecordFindings(t.Context(), "default", symbolon.FromReconcile, []symbolon.Finding{orphan}, nil); err != nil {
		t.Fatal(err)
	}
	open, err := s.Ledger.Findings(t.Context(), symbolon.FindingsQuery{Project: "default", Limit: 5})
	if err != nil || len(open) != 1 {
		t.Fatalf("%+v %v", open, err)
	}
	if err := s.RepairFinding(t.Context(), open[0]); err != nil {
		t.Error(err)
	}
}

// TestRowKeptThatStays has a row that could not be deactivated. No run tries again by
// itself. The operator's RepairFinding does, and succeeds when the table allows it.
func TestRowKeptThatStays(t *testing.T) {
	s := world(t)
	if _, err := s.db.Exec("create trigger never before update of active on symbolon_users begin select raise(abort, 'never'); end"); err != nil {
		t.Fatal(err)
	}
	s.become(&fakeOry{project: 'a', to: people, email: "p%d@example.org", gone: map[int]bool{7: true}})
	for range 2 {
		if report, err := s.Run(t.Context(), reconcile.Options{Repair: true}); err != nil || report.Found[symbolon.RowKept] != 1 {
			t.Fatalf("%+v %v", report, err)
		}
	}
	kept, err := s.Ledger.Findings(t.Context(), symbolon.FindingsQuery{Project: "default", Kind: symbolon.RowKept, Limit: 5})
	if err != nil || len(kept) != 1 || !s.CanRepair(symbolon.RowKept) {
		t.Fatalf("%+v %v", kept, err)
	}
	if err := s.RepairFinding(t.Context(), kept[0]); !errors.Is(err, symbolon.ErrConflict) {
		t.Errorf("while the table refuses: %v", err)
	}
	if _, err := s.db.Exec("drop trigger never"); err != nil {
		t.Fatal(err)
	}
	if err := s.RepairFinding(t.Context(), kept[0]); err != nil {
		t.Error(err)
	}
	if n := s.count(t, "select count(*) from symbolon_users where active = 1"); n != people-1 {
		t.Errorf("%d are active", n)
	}
	if report, err := s.Run(t.Context(), reconcile.Options{Repair: true}); err != nil || report.Left() != 0 {
		t.Errorf("%+v %v", report, err)
	}
	if _, err := s.db.Exec("update symbolon_users set active = 1"); err != nil { // the application activates the rows again
		t.Fatal(err)
	}
	if err := s.RepairFinding(t.Context(), kept[0]); err != nil {
		t.Error(err)
	}
	if n := s.count(t, "select count(*) from symbolon_users where active = 1"); n != people {
		t.Errorf("a settled finding was repaired again: %d are active", n)
	}
}

// TestRowKeptIsDeletedByHand deletes a row whose change the table had refused. The next
// run closes its finding.
func TestRowKeptIsDeletedByHand(t *testing.T) {
	for _, policy := range []symbolon.RowPolicy{symbolon.DeleteRow, symbolon.AnonymiseRow} {
		t.Run(string(policy), func(t *testing.T) {
			s := world(t)
			s.Linker.OnIdentityDeleted = policy
			for _, change := range []string{"delete", "update"} {
				if _, err := s.db.Exec("create trigger no_" + change + " before " + change + " on symbolon_users begin select raise(abort, 'never'); end"); err != nil {
					t.Fatal(err)
				}
			}
			s.become(&fakeOry{project: 'a', to: people, email: "p%d@example.org", gone: map[int]bool{7: true}})
			if report, err := s.Run(t.Context(), reconcile.Options{Repair: true}); err != nil || report.Found[symbolon.RowKept] != 1 {
				t.Fatalf("%+v %v", report, err)
			}
			if _, err := s.db.Exec("drop trigger no_delete"); err != nil {
				t.Fatal(err)
			}
			if _, err := s.db.Exec("delete from symbolon_users where ory_identity_id = $1", uuid('a', 7)); err != nil {
				t.Fatal(err)
			}
			if report, err := s.Run(t.Context(), reconcile.Options{Repair: true}); err != nil || report.Repaired[symbolon.RowKept] != 1 || report.Left() != 0 {
				t.Errorf("%+v %v", report, err)
			}
			before := s.content(t)
			if report, err := s.Run(t.Context(), reconcile.Options{Repair: true}); err != nil || report.Left() != 0 || s.content(t) != before {
				t.Errorf("%+v %v", report, err)
			}
		})
	}
}
