package adopt_test

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"log/slog"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/adopt"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// The application has users 1 and 2. Ory has one identity, whose metadata names user 1.
// The plan links these two, and user 2 stays without an identity.
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
	store := &sqlstore.Store{DB: db, Dialect: sqlstore.SQLite,
		Users: sqlstore.Users{Table: "accounts", NewID: sqlstore.ByDatabase}}
	linker := &link.Linker{Ory: client, Store: store, Log: slog.New(slog.DiscardHandler), BackReference: link.BackReference{Write: link.WriteNone}}
	defer linker.Close(ctx)
	_, err = fake.CreateIdentity(ctx, map[string]any{"schema_id": "default", "metadata_public": map[string]any{"legacy_id": "1"},
		"traits": map[string]any{"email": "ada@example.com"}})
	if err != nil {
		fmt.Println(err)
		return
	}

	a := &adopt.Adopter{Linker: linker, Ledger: store, Users: store, Sessions: client.Sessions,
		Identities: func(ctx context.Context) iter.Seq2[symbolon.Identity, error] {
			return client.Identities(ctx, ory.ListOptions{})
		}}
	var plan []adopt.Line
	_, err = a.Plan(ctx, adopt.Options{By: []symbolon.Proof{"metadata_public.legacy_id"}}, func(l adopt.Line) error {
		fmt.Printf("user %s is %s, do %q\n", l.User, l.Class, l.Do)
		plan = append(plan, l)
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	applied, err := a.Apply(ctx, plan, adopt.Options{})
	fmt.Println("linked:", applied.Done, "refused:", len(applied.Refused), err)
	undone, err := a.Undo(ctx, applied.Run, adopt.Options{})
	fmt.Println("undone:", undone.Done, err)
	// Output:
	// user 1 is named, do "bind"
	// user 2 is alone, do ""
	// linked: 1 refused: 0 <nil>
	// undone: 1 <nil>
}

// newDatabase returns a SQLite database in memory with Symbolon's tables and the
// application's two users.
func newDatabase(ctx context.Context) (*sql.DB, error) {
	db, err := sql.Open("sqlite", sqlstore.SQLiteDSN("/adopt_example", "vfs=memdb"))
	if err != nil {
		return nil, err
	}
	if err := migrate.Up(ctx, db, sqlstore.SQLite); err != nil {
		return nil, err
	}
	_, err = db.ExecContext(ctx, `
		create table accounts (id integer primary key autoincrement, ory_identity_id text unique check (ory_identity_id = lower(ory_identity_id) and ory_identity_id like '________-____-____-____-____________'));
		insert into accounts (id) values (1), (2)`)
	return db, err
}
