package system

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/internal/wait"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/pgxtx"
)

// presence says whether a database must exist.
type presence bool

const (
	existing presence = false // a missing file is an error, because its path is probably wrong
	created  presence = true  // a missing file is created
)

// openDatabase opens a database that answers. l are the limits of its connections.
func openDatabase(ctx context.Context, c *config.Config, p presence, l limits) (*sql.DB, sqlstore.Dialect, error) {
	db, dialect, err := openPool(c, p, l)
	if err != nil {
		return nil, "", err
	}
	if err := ping(ctx, db); err != nil {
		_ = db.Close()
		return nil, "", err
	}
	return db, dialect, nil
}

// connectTimeout is the limit of one attempt to connect. On Postgres the address may have
// another limit, as connect_timeout.
const connectTimeout = 5 * time.Second

// ping connects to a database. On SQLite the first connection changes the journal of a new
// file. SQLite refuses this at once while another connection writes, without the timeout for
// locks, so ping itself tries again.
func ping(ctx context.Context, db *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	err := db.PingContext(ctx)
	for locked(err) && wait.For(ctx, 20*time.Millisecond) == nil {
		err = db.PingContext(ctx)
	}
	if _, answered := errors.AsType[*pgconn.PgError](err); answered {
		return cli.Hint(fmt.Errorf("the database refuses the connection: %w", err), "check the user, the password and the name of the database in `database`")
	}
	if err != nil {
		return cli.Hint(fmt.Errorf("the database does not answer: %w", err), "check that the address in `database` is right, and that the database is running")
	}
	return nil
}

// locked reports whether another connection has the lock of a SQLite file.
func locked(err error) bool {
	failure, ok := errors.AsType[*sqlite.Error](err)
	return ok && failure.Code()&0xff == sqlite3.SQLITE_BUSY
}

// openPool opens a database without connecting to it.
func openPool(c *config.Config, p presence, l limits) (db *sql.DB, dialect sqlstore.Dialect, err error) {
	if path, ok := c.SQLitePath(); ok {
		dialect = sqlstore.SQLite
		db, err = openSQLite(path, p)
	} else {
		dialect = sqlstore.Postgres
		db, err = openPostgres(c, l)
	}
	if err != nil {
		return nil, "", err
	}
	limit := cmp.Or(c.DatabasePool.Max, 10)
	db.SetMaxOpenConns(limit)
	db.SetMaxIdleConns(limit)
	db.SetConnMaxIdleTime(5 * time.Minute)
	if dialect == sqlstore.Postgres {
		db.SetConnMaxLifetime(connLifetime)
	}
	return db, dialect, nil
}

// connLifetime is the longest life of a connection to Postgres, so that no connection stays
// for long with a server that changed its role or its address.
const connLifetime = 10 * time.Minute

// openSQLite opens or creates a file. Only its owner may read it, because it contains e-mail
// addresses.
//
// Danger: only SQLite may open a file that exists. By POSIX, a process loses all its locks of
// a file when it closes any descriptor of it. Without SQLite's locks, another process that
// closes the database deletes the write-ahead log and the commits in it.
func openSQLite(path string, p presence, more ...string) (*sql.DB, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if p == existing {
			return nil, cli.Hint(fmt.Errorf("there is no database at %s", path), "`symbolon serve` and `symbolon migrate` make one")
		}
		err = createPrivate(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return sql.Open("sqlite", sqlstore.SQLiteDSN(path, more...))
}

// createPrivate creates an empty file.
func createPrivate(path string) error {
	f, err := os.OpenFile(filepath.Clean(path), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func openPostgres(c *config.Config, l limits) (*sql.DB, error) {
	conf, err := pgx.ParseConfig(c.Database.Reveal())
	if err != nil {
		return nil, errors.New("open the database: its address cannot be read") // err quotes it
	}
	if d := c.DatabasePool.StatementTimeout; d > 0 {
		conf.RuntimeParams["statement_timeout"] = strconv.FormatInt(d.Milliseconds(), 10)
	}
	conf.RuntimeParams["application_name"] = cmp.Or(conf.RuntimeParams["application_name"], "symbolon")
	conf.DialFunc = dialer(l.silence)
	conf.ConnectTimeout = cmp.Or(conf.ConnectTimeout, connectTimeout)
	return pgxtx.OpenDB(*conf, l.Limits), nil
}

// drawConnections is the largest number of connections for the reserve hook on Postgres. They
// come on top of database_pool.max, and there are none unless the database makes the IDs.
const drawConnections = 4

// openDraws opens the pool from which the reserve hook draws IDs.
func openDraws(c *config.Config) (*sql.DB, error) {
	db, err := openPostgres(c, drawLimits())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(drawConnections)
	db.SetMaxIdleConns(drawConnections)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(connLifetime)
	return db, nil
}

// workConnections is the number of connections of the background work on Postgres. They come on top of
// database_pool.max.
const workConnections = 4

// OpenWork connects for the background work, without a statement timeout.
func OpenWork(c *config.Config) (db *sql.DB, err error) { return openWork(c, workLimits()) }

func openWork(c *config.Config, l limits) (db *sql.DB, err error) {
	unlimited, limit := *c, workConnections
	unlimited.DatabasePool.StatementTimeout = 0
	if path, ok := c.SQLitePath(); ok {
		limit = 1
		db, err = openSQLite(path, created, "_txlock=immediate")
	} else {
		db, err = openPostgres(&unlimited, l)
	}
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(limit)
	db.SetMaxIdleConns(limit)
	if _, file := c.SQLitePath(); !file {
		db.SetConnMaxLifetime(connLifetime)
	}
	return db, nil
}
