package sqlstore_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
)

// An application with a users table of its own. Every new user needs an organisation: the
// row, the link and the organisation are written together or not at all.
func Example() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "symbolon")
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", sqlstore.SQLiteDSN(filepath.Join(dir, "app.db")))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	if err := migrate.Up(ctx, db, sqlstore.SQLite); err != nil { // Symbolon's tables
		fmt.Println(err)
		return
	}
	_, err = db.Exec(`
		create table accounts (id integer primary key autoincrement, email text unique, plan text not null,
			ory_identity_id text unique check (ory_identity_id = lower(ory_identity_id) and ory_identity_id like '________-____-____-____-____________'));
		create table orgs (owner integer not null references accounts (id), name text not null)`)
	if err != nil {
		fmt.Println(err)
		return
	}

	store := &sqlstore.Store{
		DB:      db,
		Dialect: sqlstore.SQLite,
		Users: sqlstore.Users{
			Table:   "accounts",
			NewID:   sqlstore.ByDatabase,
			Columns: map[string]string{"email": "traits.email", "plan": "'free'"},
		},
		OnLink: func(ctx context.Context, tx *sqlstore.Tx, link symbolon.Link) error {
			_, err := tx.SQL().ExecContext(ctx, `insert into orgs (owner, name) values ($1, 'My first organisation')`, string(link.User))
			return err
		},
	}
	if err := store.Check(ctx); err != nil { // reports every fault as a sentence
		fmt.Println(err)
		return
	}

	linker := &link.Linker{Ory: noOry, Store: store, Log: slog.New(slog.DiscardHandler)}
	seen := symbolon.Reading{Source: symbolon.FromRequest, Identity: symbolon.Identity{
		ID: "9f425a8d-7efc-4768-8f23-7647a74fdf13", Traits: json.RawMessage(`{"email":"ada@example.com"}`)}}
	for range 2 {
		link, err := linker.Link(ctx, seen)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("user", link.User, link.State)
	}
	var email, plan, org string
	row := db.QueryRow(`select email, plan, name from accounts join orgs on owner = id`)
	fmt.Println(row.Scan(&email, &plan, &org), email, plan, org)
	// Output:
	// user 1 linked
	// user 1 linked
	// <nil> ada@example.com free My first organisation
}
