package system

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/work"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/sqlstore/migrate"
)

// checking limits each step of Prepare that only reads.
const checking = 10 * time.Second

// Prepare makes the database ready for the server: it connects, migrates the tables and
// checks the users table, and records the project's start. After an error it may be called
// again.
func (s *System) Prepare(ctx context.Context, log *slog.Logger) error {
	if err := ping(ctx, s.DB); err != nil {
		return err
	}
	current, err := s.upToDate(ctx)
	if err == nil && !current {
		err = s.migrate(ctx, log)
	}
	if err != nil {
		return err
	}
	if err := s.fits(ctx); err != nil {
		return err
	}
	s.warnOfRights(ctx, log)
	return s.begin(ctx, log)
}

// warnOfRights logs the rights that the database user lacks. People who have their rows already
// can sign in without them, so the server starts.
func (s *System) warnOfRights(ctx context.Context, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, checking)
	defer cancel()
	lacks, err := s.Store.Rights(ctx, s.Config.Users.OnIdentityDeleted)
	if err != nil {
		return // the first request finds out
	}
	for _, f := range lacks {
		log.Warn("a right is missing, and new people will get no user", "fault", f.Is, "fix", f.Fix)
	}
}

// upToDate reports whether there is nothing to migrate on Postgres. It uses the connections
// that serve requests. Such a connection breaks if it falls silent. The connections of a
// migration have no such limit, because nobody knows how long its statements take.
func (s *System) upToDate(ctx context.Context) (bool, error) {
	if s.Store.Dialect == sqlstore.SQLite {
		return false, nil // no connection to it falls silent
	}
	ctx, cancel := context.WithTimeout(ctx, checking)
	defer cancel()
	have, want, err := migrate.Current(ctx, s.DB, s.Store.Dialect)
	if err != nil || have != want {
		return false, err
	}
	return work.Current(ctx, s.DB, s.Store.Dialect)
}

func (s *System) migrate(ctx context.Context, log *slog.Logger) error {
	from, to, err := Migrate(ctx, s.Config)
	if err != nil {
		return err
	}
	if from != to {
		log.Info("the database was migrated", "from", from, "to", to)
	}
	return nil
}

// fits reports every fault of the users table that would deny people access.
func (s *System) fits(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checking)
	defer cancel()
	err := s.Store.Check(ctx)
	if err == nil || errors.Is(err, symbolon.ErrUnavailable) {
		return err
	}
	return cli.Usage(cli.Hint(err, "the users table must match the section users of the configuration"))
}
