package main

import (
	"context"
	"database/sql"
	"log/slog"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/createurl"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// system is the library, put together as the configuration says.
type system struct {
	config *config.Config
	db     *sql.DB
	store  *sqlstore.Store
	ory    *ory.Client
	linker *link.Linker

	creator *createurl.Client // nil: the users are in a table
}

// connect puts the library together. It returns only when the database answers.
func connect(ctx context.Context, c *config.Config, log *slog.Logger) (*system, error) {
	db, dialect, err := openDatabase(c, existing)
	if err != nil {
		return nil, err
	}
	if err := ping(ctx, db); err != nil {
		_ = db.Close()
		return nil, err
	}
	s := &system{config: c, db: db, store: newStore(c, db, dialect), ory: newClient(c)}
	s.linker = newLinker(c, s.ory, s.store, log)
	if s.creator = newCreator(c); s.creator != nil {
		s.linker.Creator = s.creator
	}
	return s, nil
}

// close is for commands that answer nobody.
func (s *system) close() {
	if s.creator != nil {
		s.creator.Close()
	}
	s.ory.CloseIdleConnections()
	_ = s.db.Close()
}

func newStore(c *config.Config, db *sql.DB, dialect sqlstore.Dialect) *sqlstore.Store {
	u := c.Users
	if u.CreateURL != "" {
		return &sqlstore.Store{DB: db, Dialect: dialect, Users: sqlstore.Users{NewID: sqlstore.ByApplication}}
	}
	users := sqlstore.Users{Table: u.Table, ID: u.ID, Identity: u.Identity, NewID: u.NewID, Columns: u.Columns,
		ReleaseColumns: u.ReleaseColumns, AnonymiseColumns: u.AnonymiseColumns}
	if c.Adopt.VerifiedEmail {
		users.Email, users.EmailVerified = c.EmailColumn(), c.Adopt.VerifiedColumn
	}
	return &sqlstore.Store{DB: db, Dialect: dialect, Users: users}
}

func newClient(c *config.Config) *ory.Client {
	load, _ := config.Percent(c.Reconcile.Load)
	return &ory.Client{PublicURL: c.Ory.PublicURL, AdminURL: c.Ory.AdminURL, Token: c.Ory.Token.Reveal(),
		Cookie: c.Ory.Cookie, EdgeCache: c.Ory.EdgeCache, Load: load}
}

func newLinker(c *config.Config, ory symbolon.Ory, store symbolon.Store, log *slog.Logger) *link.Linker {
	return &link.Linker{Ory: ory, Store: store, Project: c.Ory.Project, Secrets: c.Secrets(),
		BackReference: backReference(c), OnUserDeleted: c.Users.OnUserDeleted,
		OnIdentityDeleted: c.Users.OnIdentityDeleted, ProofGap: c.Deletion.ProofGap,
		AdoptVerifiedEmail: c.Adopt.VerifiedEmail, Log: log}
}

func backReference(c *config.Config) link.BackReference {
	return link.BackReference{Key: c.BackReferenceKey(), Write: c.BackReference.Write, ExternalID: c.BackReference.ExternalID}
}

// hookKeys are the configured keys, and the derived ones of the hooks that have
// none.
func hookKeys(c *config.Config) hooks.Keys {
	keys := hooks.DeriveKeys(c.Secrets())
	for _, k := range []struct {
		to         *[]string
		configured []config.Hidden
	}{{&keys.Reserve, c.Hooks.Keys.Reserve}, {&keys.Link, c.Hooks.Keys.Link}, {&keys.Sync, c.Hooks.Keys.Sync}} {
		if len(k.configured) > 0 {
			*k.to = nil
			for _, key := range k.configured {
				*k.to = append(*k.to, key.Reveal())
			}
		}
	}
	return keys
}

// newCreator makes what asks the application; nil where its users are in a table.
func newCreator(c *config.Config) *createurl.Client {
	if c.Users.CreateURL == "" {
		return nil
	}
	return &createurl.Client{URL: c.Users.CreateURL, Secrets: c.CreateSecrets(), Project: c.Ory.Project, Columns: c.Users.Columns}
}

// hookActions are the hooks as `actions print` prints them.
func hookActions(c *config.Config) hooks.Actions {
	return hooks.Actions{URL: c.Serve.URL, Keys: hookKeys(c), BackReference: backReference(c), Columns: c.Users.Columns, NewID: c.Users.IDSource()}
}
