// Package system puts the library together as the configuration says: databases, store,
// Linker and Ory, and what both the commands and the server show of people, erasures and
// runs.
package system

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

// System is the library, put together as the configuration says.
type System struct {
	Config *config.Config
	DB     *sql.DB
	Store  *sqlstore.Store
	Ory    *ory.Client
	Linker *link.Linker

	Creator *createurl.Client // nil: the users are in a table
}

// Connect puts the library together. It returns only when the database answers.
func Connect(ctx context.Context, c *config.Config, log *slog.Logger) (*System, error) {
	db, dialect, err := openDatabase(c, existing)
	if err != nil {
		return nil, err
	}
	if err := ping(ctx, db); err != nil {
		_ = db.Close()
		return nil, err
	}
	s := &System{Config: c, DB: db, Store: NewStore(c, db, dialect), Ory: NewClient(c)}
	s.Linker = newLinker(c, s.Ory, s.Store, log)
	if s.Creator = NewCreator(c); s.Creator != nil {
		s.Linker.Creator = s.Creator
	}
	return s, nil
}

// Close is for commands that answer nobody.
func (s *System) Close() {
	if s.Creator != nil {
		s.Creator.Close()
	}
	s.Ory.CloseIdleConnections()
	_ = s.DB.Close()
}

// NewStore is the store of a database, with the users where the configuration says.
func NewStore(c *config.Config, db *sql.DB, dialect sqlstore.Dialect) *sqlstore.Store {
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

// NewClient is what asks Ory.
func NewClient(c *config.Config) *ory.Client {
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

// HookKeys are the configured keys, and the derived ones of the hooks that have
// none.
func HookKeys(c *config.Config) hooks.Keys {
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

// NewCreator makes what asks the application; nil where its users are in a table.
func NewCreator(c *config.Config) *createurl.Client {
	if c.Users.CreateURL == "" {
		return nil
	}
	return &createurl.Client{URL: c.Users.CreateURL, Secrets: c.CreateSecrets(), Project: c.Ory.Project, Columns: c.Users.Columns}
}

// Actions are the hooks as `actions print` prints them.
func Actions(c *config.Config) hooks.Actions {
	return hooks.Actions{URL: c.Serve.URL, Keys: HookKeys(c), BackReference: backReference(c), Columns: c.Users.Columns, NewID: c.Users.IDSource()}
}
