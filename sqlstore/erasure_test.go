package sqlstore_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestErasures checks that each identity and user has at most one running erasure, and
// that a step is recorded once.
func TestErasures(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}
		ctx := t.Context()
		one := symbolon.Erasure{ID: "one", Project: "default", Identity: symbolon.IdentityID(newUUID()), User: "u1", Row: symbolon.DeleteRow,
			Why: "ticket", Step: "deny", RequestedAt: time.Now().UTC().Truncate(time.Microsecond)}
		open := func(e symbolon.Erasure, want string) symbolon.Erasure {
			t.Helper()
			got, err := store.OpenErasure(ctx, e)
			if err != nil || got.ID != want {
				t.Fatalf("%+v %v, want %s", got, err, want)
			}
			return got
		}
		first := open(one, "one")
		if first.Identity != one.Identity || first.User != "u1" || first.Row != one.Row || first.Why != "ticket" || !first.RequestedAt.Equal(one.RequestedAt) || first.Done() {
			t.Errorf("%+v", first)
		}
		byUser, byIdentity := one, one
		byUser.ID, byUser.Identity = "two", ""
		byIdentity.ID, byIdentity.User = "three", ""
		open(byUser, "one")
		open(byIdentity, "one")
		elsewhere := one
		elsewhere.ID, elsewhere.Project = "four", "another"
		open(elsewhere, "four")

		save := func(e symbolon.Erasure, from symbolon.ErasureStep, want bool) {
			t.Helper()
			if saved, err := store.SaveErasure(ctx, e, from); err != nil || saved != want {
				t.Fatalf("saved %t, %v; want %t", saved, err, want)
			}
		}
		next := first
		next.Step, next.UpdatedAt = "sessions", one.RequestedAt.Add(time.Second)
		next.Evidence = []symbolon.ErasureNote{{Step: "deny", At: next.UpdatedAt, Outcome: "denied", Counts: map[string]int{"n": 1}, Tries: 2}}
		save(next, "deny", true)
		save(next, "deny", false) // a slower process
		got, err := store.Erasure(ctx, "default", "one")
		if err != nil || got.Step != "sessions" || len(got.Evidence) != 1 || got.Evidence[0].Outcome != "denied" || got.Evidence[0].Counts["n"] != 1 || !got.Evidence[0].At.Equal(next.UpdatedAt) {
			t.Fatalf("%+v %v", got, err)
		}
		other := one
		other.RequestedAt = one.RequestedAt.Add(time.Minute)
		other.ID, other.Identity, other.User = "five", symbolon.IdentityID(newUUID()), ""
		fifth := open(other, "five")
		fifth.User = "u1"
		save(fifth, "deny", false) // u1 is being erased
		if list, err := store.UnfinishedErasures(ctx, "default"); err != nil || len(list) != 2 || list[0].ID != "one" {
			t.Fatalf("%+v %v", list, err)
		}
		next.Step, next.DoneAt = symbolon.EraseDone, next.UpdatedAt
		save(next, "sessions", true)
		next.Evidence = nil
		save(next, symbolon.EraseDone, false) // a finished erasure does not change
		if got, err = store.ErasureOf(ctx, "default", "", "u1"); err != nil || !got.Done() || len(got.Evidence) != 1 {
			t.Fatalf("%+v %v", got, err)
		}
		byUser.RequestedAt = one.RequestedAt.Add(-time.Hour)
		open(byUser, "two") // a running erasure comes before a finished one
		for _, err := range []error{second(store.Erasure(ctx, "another", "one")), second(store.Erasure(ctx, "default", "nobody's")), second(store.ErasureOf(ctx, "default", "", ""))} {
			if !errors.Is(err, symbolon.ErrNotFound) {
				t.Error(err)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

// TestScrubTouchesOnePerson checks that other people's notes do not change.
func TestScrubTouchesOnePerson(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}
		l := linkerOf(store)
		ids := map[string]symbolon.IdentityID{}
		users := map[string]symbolon.UserID{}
		for _, name := range []string{"gone", "stays"} {
			link, err := l.Link(t.Context(), symbolon.Reading{Identity: identityWith(fmt.Sprintf(`{"email":"%s@example.com"}`, name))})
			if err != nil {
				t.Fatal(err)
			}
			ids[name], users[name] = link.Identity, link.User
		}
		prefix := map[sqlstore.Dialect]string{sqlstore.SQLite: "symbolon_", sqlstore.Postgres: "symbolon."}[db.dialect]
		note := func(identity, user, detail string, open bool) {
			t.Helper()
			at := "2026-01-01T00:00:00.000000Z"
			closed := any(at)
			if open {
				closed = nil
			}
			if _, err := db.Exec(`insert into `+prefix+`findings (project, identity_id, kind, user_id, detail, opened_at, closed_at) values ('default', $1, 'moved', $2, $3, $4, $5)`,
				identity, user, detail, at, closed); err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(`insert into `+prefix+`events (project, at, kind, identity_id, before_id, detail, run, adopted)
				values ('default', $4, 'link.moved', $1, $2, $3, 'run', '{}')`,
				identity, user, detail, at); err != nil {
				t.Fatal(err)
			}
		}
		note(string(ids["gone"]), string(users["gone"]), "gone", false)
		note(string(ids["stays"]), string(users["stays"]), "stays", false)
		note(string(ids["stays"]), string(users["gone"]), "an open finding of another", true)
		for range 2 {
			if _, err := store.Scrub(t.Context(), "default", ids["gone"], users["gone"]); err != nil {
				t.Fatal(err)
			}
		}
		var left []string
		rows, err := db.Query(`select detail from ` + prefix + `findings where detail <> '' order by detail`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				t.Fatal(err)
			}
			left = append(left, s)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(left, []string{"an open finding of another", "stays"}) {
			t.Errorf("findings: %q", left)
		}
		var gone, stays int
		if err := db.QueryRow(`select count(*) from `+prefix+`events where detail || run || adopted <> '' and (identity_id = $1 or before_id = $2)`, string(ids["gone"]), string(users["gone"])).Scan(&gone); err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRow(`select count(*) from `+prefix+`events where detail || run || adopted <> '' and identity_id = $1`, string(ids["stays"])).Scan(&stays); err != nil {
			t.Fatal(err)
		}
		if gone != 0 || stays < 2 {
			t.Errorf("%d events of the person still have text, %d of the other person", gone, stays)
		}
		if some, err := store.SomeLinked(t.Context(), "default", 1); err != nil || len(some) != 1 {
			t.Errorf("%v %v", some, err)
		}
	})
}
