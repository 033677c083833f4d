package link_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
)

// oryInMemory is an Ory without an admin API. A program uses *ory.Client.
type oryInMemory struct{}

func (oryInMemory) HasAdmin() bool { return false }

func (oryInMemory) Identity(context.Context, symbolon.IdentityID) (symbolon.Identity, error) {
	return symbolon.Identity{}, symbolon.ErrNoAdmin
}

func (oryInMemory) AddPublicMetadata(context.Context, symbolon.IdentityID, string, string) (symbolon.Identity, error) {
	return symbolon.Identity{}, symbolon.ErrNoAdmin
}

// The first call of Link makes the user of an identity. Every later call returns the same
// user.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "symbolon")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	db := openApplication(ctx, filepath.Join(dir, "app.db"))
	defer db.Close()

	linker := &link.Linker{
		Ory:   oryInMemory{},
		Store: &sqlstore.Store{DB: db, Dialect: sqlstore.SQLite, Users: sqlstore.Users{Table: "accounts", NewID: sqlstore.ByDatabase}},
		Log:   slog.New(slog.DiscardHandler),
	}
	defer linker.Close(ctx)

	ada := symbolon.Reading{Source: symbolon.FromRequest,
		Identity: symbolon.Identity{ID: "3f1b6a52-8f3e-4a8b-9d67-5b1c2d3e4f50", State: symbolon.Active}}
	for range 2 {
		bond, err := linker.Link(ctx, ada)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("user", bond.User, "is", bond.State)
	}
	// Output:
	// user 1 is linked
	// user 1 is linked
}

// openApplication creates a database with the application's table and Symbolon's tables.
func openApplication(ctx context.Context, path string) *sql.DB {
	db, err := sql.Open("sqlite", sqlstore.SQLiteDSN(path))
	if err != nil {
		panic(err)
	}
	if err := migrate.Up(ctx, db, sqlstore.SQLite); err != nil {
		panic(err)
	}
	if _, err := db.ExecContext(ctx, `create table accounts (id integer primary key autoincrement, ory_identity_id text unique check (ory_identity_id = lower(ory_identity_id) and ory_identity_id like '________-____-____-____-____________'))`); err != nil {
		panic(err)
	}
	return db
}
