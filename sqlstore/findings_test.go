package sqlstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

func found(i int, kind symbolon.FindingKind) symbolon.Finding {
	return symbolon.Finding{Identity: person(i).ID, Kind: kind, User: "42", Detail: fmt.Sprintf("detail %d", i)}
}

// names returns the findings in short form, for example 1user_gone.
func names(findings []symbolon.Finding) string {
	var out []string
	for _, f := range findings {
		out = append(out, string(f.Identity[7])+string(f.Kind))
	}
	return strings.Join(out, " ")
}

// TestFindings checks that findings are opened once, read page by page in order, and
// closed.
func TestFindings(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}
		const project = "default"
		ctx := t.Context()
		events := func() (n int) {
			if err := db.QueryRow("select count(*) from " + map[sqlstore.Dialect]string{sqlstore.SQLite: "symbolon_events", sqlstore.Postgres: "symbolon.events"}[db.dialect]).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		all := []symbolon.Finding{found(1, symbolon.UserGone), found(1, symbolon.Moved), found(2, symbolon.UserGone), found(3, "orphan_user")}
		for range 2 { // the second time changes nothing
			if err := store.RecordFindings(ctx, project, symbolon.FromReconcile, all, []symbolon.Finding{found(9, symbolon.UserGone)}); err != nil {
				t.Fatal(err)
			}
			if n := events(); n != len(all) {
				t.Errorf("%d events", n)
			}
		}
		if err := store.RecordFindings(ctx, "another", symbolon.FromReconcile, all[:1], nil); err != nil {
			t.Fatal(err)
		}
		var pages []string
		q := symbolon.FindingsQuery{Project: project, Limit: 3}
		var first symbolon.Finding
		for {
			page, err := store.Findings(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			if len(pages) == 0 {
				first = page[0]
			}
			if pages = append(pages, names(page)); len(page) < q.Limit {
				break
			}
			q.After, q.AfterKind = page[len(page)-1].Identity, page[len(page)-1].Kind
		}
		if got := strings.Join(pages, "|"); got != "1moved 1user_gone 2user_gone|3orphan_user" {
			t.Error(got)
		}
		if first.ID == 0 || first.User != "42" || first.Detail != "detail 1" || time.Since(first.At) > time.Minute {
			t.Errorf("%+v", first)
		}
		for _, tt := range []struct {
			q    symbolon.FindingsQuery
			want string
		}{
			{symbolon.FindingsQuery{After: person(1).ID}, "2user_gone 3orphan_user"},
			{symbolon.FindingsQuery{Upto: person(1).ID}, "1moved 1user_gone"},
			{symbolon.FindingsQuery{Kind: symbolon.UserGone}, "1user_gone 2user_gone"},
			{symbolon.FindingsQuery{Kind: symbolon.UserGone, After: person(1).ID, AfterKind: symbolon.UserGone}, "2user_gone"},
			{symbolon.FindingsQuery{Kind: "'; drop table x; --"}, ""},
		} {
			tt.q.Project, tt.q.Limit = project, 100
			if got, err := store.Findings(ctx, tt.q); err != nil || names(got) != tt.want {
				t.Errorf("%+v: %s %v", tt.q, names(got), err)
			}
		}
		if counts, err := store.CountFindings(ctx, project); err != nil || counts[symbolon.UserGone] != 2 || counts["orphan_user"] != 1 || len(counts) != 3 {
			t.Errorf("%v %v", counts, err)
		}
		if f, err := store.Finding(ctx, project, first.ID); err != nil || f != first {
			t.Errorf("%+v %v", f, err)
		}
		if _, err := store.Finding(ctx, "another", first.ID); !errors.Is(err, symbolon.ErrNotFound) {
			t.Error(err)
		}
		for range 2 {
			if err := store.RecordFindings(ctx, project, symbolon.FromReconcile, nil, all[:1]); err != nil {
				t.Fatal(err)
			}
		}
		if n := events(); n != len(all)+2 {
			t.Errorf("%d events", n)
		}
		if err := store.RecordFindings(ctx, project, symbolon.FromReconcile, all[:1], nil); err != nil { // found again
			t.Fatal(err)
		}
		if counts, err := store.CountFindings(ctx, "another"); err != nil || counts[symbolon.UserGone] != 1 {
			t.Errorf("another project: %v %v", counts, err)
		}
	})
}

// TestRuns checks that one run of a kind runs at a time, and that only the owner of the
// lease can write.
func TestRuns(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}
		ctx, ends := t.Context(), now().Add(time.Minute)
		ahead := &sqlstore.Store{DB: db.DB, Dialect: db.dialect, Now: func() time.Time { return time.Now().Add(time.Hour) }}
		if at, err := ahead.Clock(ctx); err != nil || time.Since(at).Abs() > time.Minute { // the database is on this machine
			t.Errorf("the database's clock: %s %v", at, err)
		}
		one := symbolon.Run{ID: "one", Project: "default", Kind: "reconcile", State: symbolon.RunGoing, Checkpoint: []byte(`{"n":1}`), LeaseUntil: ends}
		if _, err := store.UnfinishedRun(ctx, "default", "reconcile"); !errors.Is(err, symbolon.ErrNotFound) {
			t.Error(err)
		}
		started := make(chan error)
		const racers = 8
		for i := range racers {
			go func() {
				r := one
				r.ID = fmt.Sprintf("run%d", i)
				started <- store.StartRun(ctx, r)
			}()
		}
		won := 0
		for range racers {
			if err := <-started; err == nil {
				won++
			} else if !errors.Is(err, symbolon.ErrConflict) {
				t.Error(err)
			}
		}
		if won != 1 {
			t.Fatalf("%d runs started at once", won)
		}
		for _, r := range []symbolon.Run{{ID: "other", Project: "default", Kind: "adopt", LeaseUntil: ends}, {ID: "there", Project: "another", Kind: "reconcile", LeaseUntil: ends}} {
			if err := store.StartRun(ctx, r); err != nil {
				t.Error(err)
			}
		}
		read, err := store.UnfinishedRun(ctx, "default", "reconcile")
		if err != nil || string(read.Checkpoint) != `{"n":1}` || !read.LeaseUntil.Equal(ends.Truncate(time.Microsecond)) || read.StartedAt.IsZero() {
			t.Fatalf("%+v %v", read, err)
		}
		taken := make(chan error)
		for i := range racers {
			go func() {
				mine := read
				mine.LeaseUntil = ends.Add(time.Duration(i+1) * time.Second)
				taken <- store.SaveRun(ctx, read, mine)
			}()
		}
		won = 0
		for range racers {
			if err := <-taken; err == nil {
				won++
			} else if !errors.Is(err, symbolon.ErrConflict) {
				t.Error(err)
			}
		}
		if won != 1 {
			t.Errorf("%d processes took one lease", won)
		}
		if read, err = store.UnfinishedRun(ctx, "default", "reconcile"); err != nil {
			t.Fatal(err)
		}
		over := read
		over.State, over.EndedAt, over.Detail = symbolon.RunFailed, now(), "given up"
		if err := store.SaveRun(ctx, read, over); err != nil {
			t.Error(err)
		}
		if err := store.SaveRun(ctx, over, read); !errors.Is(err, symbolon.ErrConflict) {
			t.Errorf("the run had ended: %v", err)
		}
		if _, err := store.UnfinishedRun(ctx, "default", "reconcile"); !errors.Is(err, symbolon.ErrNotFound) {
			t.Error(err)
		}
		if err := store.StartRun(ctx, one); err != nil {
			t.Error(err)
		}
	})
}
