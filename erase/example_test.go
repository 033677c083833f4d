package erase_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// Ada signed up and is erased by her identity's ID. The evidence of each step is kept.
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
	quiet := slog.New(slog.DiscardHandler)
	linker := &link.Linker{Ory: client, Store: store, Log: quiet, BackReference: link.BackReference{Write: link.WriteNone}}
	defer linker.Close(ctx)
	ada, err := fake.Register(ctx, "ada@example.com", "correct horse battery", "Ada")
	if err != nil {
		fmt.Println(err)
		return
	}
	identity := symbolon.IdentityID(ada.IdentityID)
	if _, err := linker.Refresh(ctx, identity, symbolon.FromOperator); err != nil {
		fmt.Println(err)
		return
	}

	erasures := &erase.Erasures{Linker: linker, Ory: client, Record: store, Users: store, Log: quiet}
	begun, err := erasures.Begin(ctx, erase.Request{ID: string(identity), Why: "ticket 8812"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("next step:", begun.Step)
	done, err := erasures.Finish(ctx, begun.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, note := range done.Evidence {
		fmt.Printf("%s: %s\n", note.Step, note.Outcome)
	}
	// Output:
	// next step: sessions
	// deny: the identity is denied, and the user's ID is retired
	// sessions: Ory has the identity and revoked its sessions
	// identity: Ory deleted the identity; read back: it is gone
	// row: the row is anonymised; read back: the columns are empty
	// scrub: texts (the details of events and findings), digests and back-references in Symbolon's own tables are cleared; kinds, times and IDs stay
}

// newDatabase is a SQLite database in memory with Symbolon's tables.
func newDatabase(ctx context.Context) (*sql.DB, error) {
	db, err := sql.Open("sqlite", sqlstore.SQLiteDSN("/erase_example", "vfs=memdb"))
	if err != nil {
		return nil, err
	}
	return db, migrate.Up(ctx, db, sqlstore.SQLite)
}
