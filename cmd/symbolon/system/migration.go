package system

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/work"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
)

// migrationTimeout is the limit of a migration and of the wait for another program that
// migrates.
const migrationTimeout = 10 * time.Minute

// Migrate brings the tables up to date, and returns the versions before and after. It uses
// its own connections, because a statement timeout must not interrupt a migration or the
// wait for another program that migrates.
func Migrate(ctx context.Context, c *config.Config) (from, to int64, err error) {
	unlimited := *c
	unlimited.DatabasePool.StatementTimeout = 0
	if c.DatabaseListen != "" {
		unlimited.Database = c.DatabaseListen // a lock belongs to a session, which a pooler shares
	}
	db, dialect, err := openDatabase(ctx, &unlimited, created, migrationLimits())
	if err != nil {
		return 0, 0, err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, migrationTimeout)
	defer cancel()
	if from, to, err = migrate.Current(ctx, db, dialect); err == nil {
		err = migrate.Up(ctx, db, dialect)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("migrate the database: %w", err)
	}
	jobs, err := openWork(&unlimited, migrationLimits())
	if err != nil {
		return 0, 0, err
	}
	defer jobs.Close()
	return from, to, work.Migrate(ctx, jobs, dialect)
}

// current refuses tables of another version of the program.
func (s *System) current(ctx context.Context) error {
	have, want, err := migrate.Current(ctx, s.DB, s.Store.Dialect)
	switch {
	case err != nil:
		return fmt.Errorf("read the version of the database's tables: %w", err)
	case have > want:
		return migrate.ErrNewer
	case have < want:
		return cli.Hint(errors.New("the database is not up to date"), "run symbolon migrate, or start symbolon serve, to bring it up to date")
	}
	return nil
}
