package reconcile_test

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"log/slog"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/reconcile"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// Ada was imported by the admin API, which calls no hook. A run without Repair reports
// the difference; a run with Repair gives Ada a user.
func Example() {
	ctx := context.Background()
	fake := fakeory.New(fakeory.Config{})
	defer fake.Close()
	client := &ory.Client{PublicURL: fake.PublicURL, AdminURL: fake.AdminURL}
	db, err := newDatabase(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	store := &sqlstore.Store{DB: db, Dialect: sqlstore.SQLite}
	linker := &link.Linker{Ory: client, Store: store, Log: slog.New(slog.DiscardHandler), BackReference: link.BackReference{Write: link.WriteNone}}
	defer linker.Close(ctx)
	_, err = fake.CreateIdentity(ctx, map[string]any{"schema_id": "default", "traits": map[string]any{"email": "ada@example.com"}})
	if err != nil {
		fmt.Println(err)
		return
	}

	r := &reconcile.Reconciler{Linker: linker, Ledger: store, Runs: store,
		Identities: func(ctx context.Context, from symbolon.IdentityID) iter.Seq2[symbolon.Identity, error] {
			return client.Identities(ctx, ory.ListOptions{From: from})
		}}
	for _, repair := range []bool{false, true} {
		report, err := r.Run(ctx, reconcile.Options{Repair: repair})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("repair %t: %d identity, found %v, repaired %v\n", repair, report.Identities, report.Found, report.Repaired)
	}
	// Output:
	// repair false: 1 identity, found map[unlinked_identity:1], repaired map[]
	// repair true: 1 identity, found map[], repaired map[unlinked_identity:1]
}

// newDatabase is a SQLite database in memory with Symbolon's tables.
func newDatabase(ctx context.Context) (*sql.DB, error) {
	db, err := sql.Open("sqlite", sqlstore.SQLiteDSN("/reconcile_example", "vfs=memdb"))
	if err != nil {
		return nil, err
	}
	return db, migrate.Up(ctx, db, sqlstore.SQLite)
}
