// Package system builds the library's parts from the configuration: databases, store, Linker
// and Ory. It also has the JSON of people, erasures and runs, which the commands and the
// server share.
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

// System is the library, built from the configuration.
type System struct {
	Config *config.Config
	DB     *sql.DB
	Store  *sqlstore.Store
	Ory    *ory.Client
	Linker *link.Linker

	Creator *createurl.Client // nil if the users are in a table
}

// Close closes the connections.
func (s *System) Close() {
	if s.Creator != nil {
		s.Creator.Close()
	}
	s.Ory.CloseIdleConnections()
	if s.Store.DrawDB != nil {
		_ = s.Store.DrawDB.Close()
	}
	_ = s.DB.Close()
}

// Connect builds a System for a command. It fails if the database does not answer.
func Connect(ctx context.Context, c *config.Config, log *slog.Logger) (*System, error) {
	db, dialect, err := openDatabase(ctx, c, existing, commandLimits(c))
	if err != nil {
		return nil, err
	}
	return build(c, db, dialect, log), nil
}

// New builds a System for the server, without connecting to the database. Nothing may use
// the database before Prepare has succeeded.
func New(c *config.Config, log *slog.Logger) (*System, error) {
	db, dialect, err := openPool(c, created, requestLimits(c))
	if err != nil {
		return nil, err
	}
	s := build(c, db, dialect, log)
	if c.Draws() {
		if s.Store.DrawDB, err = openDraws(c); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

func build(c *config.Config, db *sql.DB, dialect sqlstore.Dialect, log *slog.Logger) *System {
	s := &System{Config: c, DB: db, Store: NewStore(c, db, dialect), Ory: NewClient(c)}
	s.Store.OnFaults = logFaults(log)
	s.Linker = newLinker(c, s.Ory, s.Store, log)
	if s.Creator = NewCreator(c); s.Creator != nil {
		s.Linker.Creator = s.Creator
	}
	return s
}

// NewStore returns the store of a database.
func NewStore(c *config.Config, db *sql.DB, dialect sqlstore.Dialect) *sqlstore.Store {
	u := c.Users
	if u.CreateURL != "" {
		return &sqlstore.Store{DB: db, Dialect: dialect, Users: sqlstore.Users{NewID: sqlstore.ByApplication}}
	}
	users := sqlstore.Users{Table: u.Table, ID: u.ID, Identity: u.Identity, NewID: u.NewID, Columns: u.Columns,
		ReleaseColumns: u.ReleaseColumns, AnonymiseColumns: u.AnonymiseColumns, Deny: u.Deny, Placeholder: u.Placeholder}
	if c.Adopt.VerifiedEmail {
		users.Email, users.EmailVerified = c.EmailColumn(), c.Adopt.VerifiedColumn
	}
	return &sqlstore.Store{DB: db, Dialect: dialect, Users: users}
}

// NewClient returns the client for Ory.
func NewClient(c *config.Config) *ory.Client {
	load, _ := config.Percent(c.Reconcile.Load)
	return &ory.Client{PublicURL: c.Ory.PublicURL, AdminURL: c.Ory.AdminURL, Token: c.Ory.Token.Reveal(),
		Cookie: c.Ory.Cookie, EdgeCache: c.Ory.EdgeCache, Load: load}
}

func newLinker(c *config.Config, ory symbolon.Ory, store symbolon.Store, log *slog.Logger) *link.Linker {
	return &link.Linker{Ory: ory, Store: store, Project: c.Ory.Project, Secrets: c.Secrets(),
		BackReference: backReference(c), OnUserDeleted: c.Users.OnUserDeleted, When: c.Users.When.Rule(),
		OnIdentityDeleted: c.Users.OnIdentityDeleted, OnReturn: c.Users.OnReturn, ProofGap: c.Deletion.ProofGap,
		AdoptVerifiedEmail: c.Adopt.VerifiedEmail, Log: log}
}

func backReference(c *config.Config) link.BackReference {
	return link.BackReference{Key: c.BackReferenceKey(), Write: c.BackReference.Write, ExternalID: c.BackReference.ExternalID}
}

// HookKeys are the configured keys, and the derived keys of the hooks without one.
func HookKeys(c *config.Config) hooks.Keys {
	configured, derived := c.Hooks.Keys, hooks.DeriveKeys(c.Secrets())
	return hooks.Keys{
		Reserve: config.OrDerived(configured.Reserve, derived.Reserve),
		Link:    config.OrDerived(configured.Link, derived.Link),
		Sync:    config.OrDerived(configured.Sync, derived.Sync),
	}
}

// NewCreator returns the client for users.create_url; nil if the users are in a table.
func NewCreator(c *config.Config) *createurl.Client {
	if c.Users.CreateURL == "" {
		return nil
	}
	return &createurl.Client{URL: c.Users.CreateURL, Secrets: c.CreateSecrets(), Project: c.Ory.Project, Columns: c.Users.Columns}
}

// Actions are the hooks that `actions print` prints.
func Actions(c *config.Config) hooks.Actions {
	return hooks.Actions{URL: c.Serve.URL, Keys: HookKeys(c), BackReference: backReference(c), Columns: c.Users.Columns, When: c.Users.When.Rule(),
		NewID: c.Users.IDSource(), Draws: c.Draws(), Invites: c.Hooks.Invites}
}
