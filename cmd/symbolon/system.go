package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/createurl"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// system is the library, put together as the configuration says.
type system struct {
	config *Config
	db     *sql.DB
	store  *sqlstore.Store
	ory    *ory.Client
	linker *link.Linker

	creator *createurl.Client // nil: the users are in a table
}

// presence says whether a database may be made.
type presence bool

const (
	existing presence = false // a file that is not there is a wrong path
	created  presence = true  // for migrations
)

// configure reads the configuration and shows what is doubtful in it.
func (a *app) configure() (*Config, error) {
	config, warnings, err := loadConfig(a.config, a.env)
	for _, w := range warnings {
		_, _ = fmt.Fprintf(a.err, "symbolon: warning: %s\n", w)
	}
	return config, err
}

// open is for the commands that look at a database that is there, and log nothing.
func (a *app) open() (*system, error) {
	config, err := a.configure()
	if err != nil {
		return nil, err
	}
	s, err := connect(a.ctx, config, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	if err := s.current(a.ctx); err != nil {
		s.close()
		return nil, err
	}
	s.tellServers(a)
	return s, nil
}

// connect puts the library together. It returns only when the database answers.
func connect(ctx context.Context, c *Config, log *slog.Logger) (*system, error) {
	db, dialect, err := openDatabase(c, existing)
	if err != nil {
		return nil, err
	}
	if err := ping(ctx, db); err != nil {
		_ = db.Close()
		return nil, err
	}
	s := &system{config: c, db: db, store: c.store(db, dialect), ory: c.client()}
	s.linker = c.linker(s.ory, s.store, log)
	if s.creator = c.creator(); s.creator != nil {
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

func ping(ctx context.Context, db *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := db.PingContext(ctx); err != nil {
		return hint(fmt.Errorf("the database does not answer: %w", err), "is the address in `database` right, and is it up?")
	}
	return nil
}

func openDatabase(c *Config, p presence) (*sql.DB, sqlstore.Dialect, error) {
	var db *sql.DB
	var dialect sqlstore.Dialect
	var err error
	if path, ok := c.sqlitePath(); ok {
		dialect = sqlstore.SQLite
		db, err = openSQLite(path, p)
	} else {
		dialect = sqlstore.Postgres
		db, err = openPostgres(c)
	}
	if err != nil {
		return nil, "", err
	}
	limit := c.DatabasePool.Max
	if limit == 0 {
		limit = 10
	}
	db.SetMaxOpenConns(limit)
	db.SetMaxIdleConns(limit)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db, dialect, nil
}

func (c *Config) sqlitePath() (string, bool) {
	return strings.CutPrefix(c.Database.Reveal(), "sqlite://")
}

// openSQLite makes the file, where it may, readable by its owner only: it holds
// e-mail addresses.
func openSQLite(path string, p presence, more ...string) (*sql.DB, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && p == existing {
		return nil, hint(fmt.Errorf("there is no database at %s", path), "`symbolon serve` and `symbolon migrate` make one")
	}
	f, err := os.OpenFile(filepath.Clean(path), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return sql.Open("sqlite", sqlstore.SQLiteDSN(path, more...))
}

func openPostgres(c *Config) (*sql.DB, error) {
	config, err := pgx.ParseConfig(c.Database.Reveal())
	if err != nil {
		return nil, errors.New("open the database: its address cannot be read") // err quotes it
	}
	if d := c.DatabasePool.StatementTimeout; d > 0 {
		config.RuntimeParams["statement_timeout"] = strconv.FormatInt(d.Milliseconds(), 10)
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "symbolon"
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	return stdlib.OpenDB(*config), nil
}

func (c *Config) store(db *sql.DB, dialect sqlstore.Dialect) *sqlstore.Store {
	u := c.Users
	if u.CreateURL != "" {
		return &sqlstore.Store{DB: db, Dialect: dialect, Users: sqlstore.Users{NewID: sqlstore.ByApplication}}
	}
	users := sqlstore.Users{Table: u.Table, ID: u.ID, Identity: u.Identity, NewID: u.NewID, Columns: u.Columns,
		ReleaseColumns: u.ReleaseColumns, AnonymiseColumns: u.AnonymiseColumns}
	if c.Adopt.VerifiedEmail {
		users.Email, users.EmailVerified = c.emailColumn(), c.Adopt.VerifiedColumn
	}
	return &sqlstore.Store{DB: db, Dialect: dialect, Users: users}
}

func (c *Config) client() *ory.Client {
	load, _ := percent(c.Reconcile.Load)
	return &ory.Client{PublicURL: c.Ory.PublicURL, AdminURL: c.Ory.AdminURL, Token: c.Ory.Token.Reveal(),
		Cookie: c.Ory.Cookie, EdgeCache: c.Ory.EdgeCache, Load: load}
}

func (c *Config) linker(ory symbolon.Ory, store symbolon.Store, log *slog.Logger) *link.Linker {
	return &link.Linker{Ory: ory, Store: store, Project: c.Ory.Project, Secrets: c.secrets(),
		BackReference: c.backReference(), OnUserDeleted: c.Users.OnUserDeleted,
		OnIdentityDeleted: c.Users.OnIdentityDeleted, ProofGap: c.Deletion.ProofGap,
		AdoptVerifiedEmail: c.Adopt.VerifiedEmail, Log: log}
}

func (c *Config) backReference() link.BackReference {
	return link.BackReference{Key: c.backReferenceKey(), Write: c.BackReference.Write, ExternalID: c.BackReference.ExternalID}
}

// secrets are the current one and the previous ones.
func (c *Config) secrets() []symbolon.Secret {
	out := []symbolon.Secret{symbolon.Secret(c.Secret.Reveal())}
	for _, s := range c.PreviousSecrets {
		out = append(out, symbolon.Secret(s.Reveal()))
	}
	return out
}

// hookKeys are the configured keys, and the derived ones of the hooks that have
// none.
func (c *Config) hookKeys() hooks.Keys {
	keys := hooks.DeriveKeys(c.secrets())
	for _, k := range []struct {
		to         *[]string
		configured []Hidden
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
