package migrate_test

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/adopt"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
	"github.com/symbolon-id/symbolon/symbolontest"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// oldEvent is an event of version 4, with the run and the link that the migration must
// read from its text.
type oldEvent struct {
	person  int // number of the identity and the user
	at      int // second
	kind    symbolon.EventKind
	way     symbolon.Source
	finding symbolon.FindingKind
	detail  string

	run  string
	bond *symbolon.AdoptedBond
}

// The history of version 4. Persons 1 to 5 are linked; all but 4 by run one-1.
var oldEvents = []oldEvent{
	{1, 1, symbolon.UserLinked, symbolon.FromAdopt, "", "adopt one-1: by external_id; its column was set", "one-1",
		&symbolon.AdoptedBond{By: symbolon.ByExternalID, ColumnSet: true}},
	{2, 2, symbolon.UserLinked, symbolon.FromAdopt, "", "adopt one-1: by identity_column", "one-1",
		&symbolon.AdoptedBond{By: symbolon.ByIdentityColumn}},
	{3, 3, symbolon.LinkHeld, symbolon.FromRequest, symbolon.RecreatedIdentity, "its user belongs to another identity", "", nil},
	{3, 4, symbolon.UserLinked, symbolon.FromAdopt, "", "adopt one-1: by column:legacy_id; its column was set; it was on hold: recreated_identity", "one-1",
		&symbolon.AdoptedBond{By: "column:legacy_id", ColumnSet: true, WasOnHold: symbolon.RecreatedIdentity}},
	{3, 4, symbolon.FindingClosed, symbolon.FromAdopt, symbolon.RecreatedIdentity, "", "one-1", nil},
	{4, 5, symbolon.UserLinked, symbolon.FromOperator, "", "adopt one-1: by external_id; its column was set", "", nil}, // an operator may write anything
	{5, 6, symbolon.UserLinked, symbolon.FromAdopt, "", "adopt one-1: by metadata_public.legacy; it was on hold: voucher_void", "one-1",
		&symbolon.AdoptedBond{By: "metadata_public.legacy", WasOnHold: symbolon.VoucherVoid}},
	{6, 7, symbolon.UserLinked, symbolon.FromAdopt, "", "adopt two: by verified_email; its column was set", "two",
		&symbolon.AdoptedBond{By: symbolon.ByVerifiedEmail, ColumnSet: true}},
	{6, 8, symbolon.UserUnlinked, symbolon.FromAdopt, "", "adopt two: undone", "two", nil},
	{7, 9, symbolon.UserLinked, symbolon.FromAdopt, "", "", "", nil}, // the person was erased
}

func identity(n int) symbolon.IdentityID {
	return symbolon.IdentityID(fmt.Sprintf("%08x-0000-4000-8000-000000000000", n))
}

func user(n int) symbolon.UserID {
	return symbolon.UserID(fmt.Sprintf("%08x-0000-7000-8000-000000000000", n))
}

func moment(second int) string { return fmt.Sprintf("2026-11-01T10:00:%02d.000000Z", second) }

// TestAdoptionsOfVersion4 checks that the migration reads the sentences that adopt
// recorded, so that a run from before the migration can be undone.
func TestAdoptionsOfVersion4(t *testing.T) {
	onBoth(t, func(t *testing.T, dialect sqlstore.Dialect, open func() *sql.DB) {
		db := open()
		upTo(t, db, dialect, 4)
		fillVersion4(t, db, dialect, oldEvents)
		before := oldColumns(t, db, dialect)
		if err := migrate.Up(t.Context(), db, dialect); err != nil {
			t.Fatal(err)
		}
		if after := oldColumns(t, db, dialect); !slices.Equal(after, before) {
			t.Errorf("the history is\n%q\nand was\n%q", after, before)
		}
		store := &sqlstore.Store{DB: db, Dialect: dialect}
		checkCarriedOver(t, store)
		undoVersion4(t, store)
	})
}

// TestOldProgramAfterVersion5: a program of version 4 writes during and after the migration.
// The first page of a run completes that run's events as the migration would have done, and
// no others. The run can be undone.
func TestOldProgramAfterVersion5(t *testing.T) {
	for _, before := range []int{0, 1, 5} { // the events before the migration
		t.Run(fmt.Sprint(before), func(t *testing.T) {
			onBoth(t, func(t *testing.T, dialect sqlstore.Dialect, open func() *sql.DB) {
				db := open()
				upTo(t, db, dialect, 4)
				fillVersion4(t, db, dialect, oldEvents[:before])
				if err := migrate.Up(t.Context(), db, dialect); err != nil {
					t.Fatal(err)
				}
				fillVersion4(t, db, dialect, oldEvents[before:])
				if _, err := db.ExecContext(t.Context(), `insert into `+table(dialect, "events")+` (project, at, kind, way, detail)
					values ('other', $1, 'user.linked', 'adopt', 'adopt one-1: by external_id')`, moment(50)); err != nil {
					t.Fatal(err)
				}
				runs := `select project || ' ' || run || ' ' || count(*) from ` + table(dialect, "events") + ` where run <> '' group by project, run order by project, run`
				store := &sqlstore.Store{DB: db, Dialect: dialect}
				for _, step := range []struct {
					run  string
					want []string
				}{
					{"one", nil},
					{"one-1", []string{"default one-1 5"}},
					{"two", []string{"default one-1 5", "default two 2"}},
				} {
					for range 2 {
						if _, err := store.AdoptEvents(t.Context(), "default", step.run, 0, 1); err != nil {
							t.Fatal(err)
						}
						if got := column(t, db, runs); before == 0 && !slices.Equal(got, step.want) {
							t.Errorf("after run %s: %q, want %q", step.run, got, step.want)
						}
					}
				}
				checkCarriedOver(t, store)
				undoVersion4(t, store)
			})
		})
	}
}

// TestRepairEqualsMigration: the rows are the same, whichever of the two completes them.
func TestRepairEqualsMigration(t *testing.T) {
	var rows [2][]string
	for i, version := range []int{4, 5} { // of the tables when the events are written
		onBoth(t, func(t *testing.T, dialect sqlstore.Dialect, open func() *sql.DB) {
			db := open()
			upTo(t, db, dialect, version)
			fillVersion4(t, db, dialect, oldEvents)
			if err := migrate.Up(t.Context(), db, dialect); err != nil {
				t.Fatal(err)
			}
			store := &sqlstore.Store{DB: db, Dialect: dialect}
			for _, run := range []string{"one-1", "two"} {
				if _, err := store.AdoptEvents(t.Context(), "default", run, 0, 1); err != nil {
					t.Fatal(err)
				}
			}
			rows[i] = append(rows[i], column(t, db, `select id || ' ' || detail || ' ' || run || ' ' || adopted from `+table(dialect, "events")+` order by id`)...)
		})
	}
	if !slices.Equal(rows[0], rows[1]) {
		t.Errorf("the migration made\n%q\nthe repair\n%q", rows[0], rows[1])
	}
}

// TestRepairWaitsForErasure: the repair writes nothing back that an erasure has cleared, even
// if it began before the erasure was committed. SQLite has one writer at a time.
func TestRepairWaitsForErasure(t *testing.T) {
	db := open(t, "pgx", symbolontest.SharedPostgres(t).NewDatabase(t))
	if err := migrate.Up(t.Context(), db, sqlstore.Postgres); err != nil {
		t.Fatal(err)
	}
	fillVersion4(t, db, sqlstore.Postgres, oldEvents)
	erasure, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = erasure.Rollback() }()
	if _, err := erasure.ExecContext(t.Context(), `update symbolon.events set detail = '', run = '', adopted = '' where identity_id = $1`, string(identity(3))); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := (&sqlstore.Store{DB: db, Dialect: sqlstore.Postgres}).AdoptEvents(t.Context(), "default", "one-1", 0, 1)
		done <- err
	}()
	const waiting = `select pid::text from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
	for until := time.Now().Add(time.Minute); len(column(t, db, waiting)) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the repair does not wait for the erasure")
		}
	}
	if err := erasure.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want := []string{string(identity(1)), string(identity(2)), string(identity(5))}
	if got := column(t, db, `select identity_id from symbolon.events where run <> '' or adopted <> '' order by id`); !slices.Equal(got, want) {
		t.Errorf("the events of %q are complete, want %q", got, want)
	}
}

// fillVersion4 writes events as version 4 did, without the columns that are new.
func fillVersion4(t *testing.T, db *sql.DB, dialect sqlstore.Dialect, events []oldEvent) {
	t.Helper()
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
			t.Fatal(query, err)
		}
	}
	for _, e := range events {
		exec(`insert into `+table(dialect, "events")+` (project, at, kind, identity_id, user_id, way, finding, detail)
			values ('default', $1, $2, $3, $4, $5, $6, $7)`,
			moment(e.at), string(e.kind), string(identity(e.person)), string(user(e.person)), string(e.way), string(e.finding), e.detail)
		if e.kind != symbolon.UserLinked || e.person > 5 {
			continue
		}
		exec(`insert into `+table(dialect, "links")+` (project, identity_id, user_id, state, way, linked_at)
			values ('default', $1, $2, 'linked', $3, $4)`, string(identity(e.person)), string(user(e.person)), string(e.way), moment(e.at))
		exec(`insert into symbolon_users (id, ory_identity_id) values ($1, $2)`, string(user(e.person)), string(identity(e.person)))
	}
}

// oldColumns returns the events without the new columns.
func oldColumns(t *testing.T, db *sql.DB, dialect sqlstore.Dialect) []string {
	t.Helper()
	return column(t, db, `select id || ' ' || kind || ' ' || identity_id || ' ' || user_id || ' ' || way || ' ' || finding || ' ' || detail
		from `+table(dialect, "events")+` order by id`)
}

func column(t *testing.T, db *sql.DB, query string) (lines []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func checkCarriedOver(t *testing.T, store *sqlstore.Store) {
	t.Helper()
	var got []symbolon.Event
	for n := range 7 {
		r, err := store.Record(t.Context(), "default", string(identity(n+1)))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.Events...)
	}
	if len(got) != len(oldEvents) {
		t.Fatalf("%d events of %d", len(got), len(oldEvents))
	}
	for i, want := range oldEvents {
		e := got[i]
		same := (e.Adopted == nil) == (want.bond == nil) && (e.Adopted == nil || *e.Adopted == *want.bond)
		if e.Kind != want.kind || e.Detail != want.detail || e.Run != want.run || !same {
			t.Errorf("%q: %+v, bond %+v; want run %q, bond %+v", want.detail, e, e.Adopted, want.run, want.bond)
		}
	}
	for run, n := range map[string]int{"one-1": 5, "two": 2, "one": 0, "one-%": 0, "": 0} {
		events, err := store.AdoptEvents(t.Context(), "default", run, 0, 100)
		if err != nil || len(events) != n {
			t.Errorf("run %q: %d events, want %d, %v", run, len(events), n, err)
		}
	}
}

// undoVersion4 undoes both runs and checks the result.
func undoVersion4(t *testing.T, store *sqlstore.Store) {
	t.Helper()
	fake := fakeory.Start(t, fakeory.Config{InMemory: true}) // an Ory without identities
	client := &ory.Client{PublicURL: fake.PublicURL, AdminURL: fake.AdminURL, HTTP: &http.Client{Transport: fake}}
	a := &adopt.Adopter{
		Linker: &link.Linker{Ory: client, Store: store, Log: slog.New(slog.DiscardHandler),
			Secrets: []symbolon.Secret{symbolon.Secret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e")}},
		Ledger: store, Users: store, Sessions: client.Sessions,
		Identities: func(ctx context.Context) iter.Seq2[symbolon.Identity, error] {
			return client.Identities(ctx, ory.ListOptions{})
		},
	}
	for run, want := range map[string]adopt.Report{"one-1": {Run: "one-1", Done: 4}, "two": {Run: "two", Before: 1}} {
		got, err := a.Undo(t.Context(), run, adopt.Options{})
		if err != nil || got.Done != want.Done || got.Before != want.Before || len(got.Refused) > 0 || got.Failed > 0 {
			t.Errorf("%+v, want %+v, %v", got, want, err)
		}
	}
	links := column(t, store.DB, `select identity_id || ' ' || state || ' ' || reason || ' ' || coalesce(user_id, '') from `+table(store.Dialect, "links")+` order by 1`)
	if want := []string{fmt.Sprintf("%s held adopt_ambiguous ", identity(1)), fmt.Sprintf("%s held recreated_identity ", identity(3)), fmt.Sprintf("%s linked  %s", identity(4), user(4)),
		fmt.Sprintf("%s held voucher_void ", identity(5))}; !slices.Equal(links, want) {
		t.Errorf("the ledger is %q, want %q", links, want)
	}
	users := column(t, store.DB, `select id || ' ' || coalesce(cast(ory_identity_id as text), 'null') from symbolon_users order by id`)
	var want []string
	for n, holds := range map[int]string{1: "null", 2: string(identity(2)), 3: "null", 4: string(identity(4)), 5: string(identity(5))} {
		want = append(want, string(user(n))+" "+holds)
	}
	if slices.Sort(want); !slices.Equal(users, want) {
		t.Errorf("the users are %q, want %q", users, want)
	}
}
