package system

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// Configure reads the configuration and shows what is doubtful in it.
func Configure(a *cli.App) (*config.Config, error) {
	conf, warnings, err := config.Load(a.ConfigFile, a.Env)
	for _, w := range warnings {
		_, _ = fmt.Fprintf(a.Err, "symbolon: warning: %s\n", w)
	}
	return conf, err
}

// Open is for the commands that look at a database that is there, and log nothing.
func Open(a *cli.App) (*System, error) {
	conf, err := Configure(a)
	if err != nil {
		return nil, err
	}
	s, err := Connect(a.Ctx, conf, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	if err := s.current(a.Ctx); err != nil {
		s.Close()
		return nil, err
	}
	s.tellServers(a)
	return s, nil
}

// tellServers makes a command tell servers on the same database whose bond it
// changed. Should that fail they learn it within auth.max_stale.
func (s *System) tellServers(a *cli.App) {
	shared := &sqlstore.Replicas{Store: s.Store, Project: s.Config.Ory.Project}
	s.Linker.Watch(func(id symbolon.IdentityID) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(a.Ctx), 2*time.Second)
		defer cancel()
		if err := shared.Tell(ctx, []string{string(id)}); err != nil {
			_, _ = fmt.Fprintf(a.Err, "symbolon: warning: servers that run could not be told at once: %v\n", err)
		}
	})
}

// fits reports everything about the users table that would keep people out.
func (s *System) fits(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := s.Store.Check(ctx)
	if err == nil || errors.Is(err, symbolon.ErrUnavailable) {
		return err
	}
	return cli.Usage(cli.Hint(err, "the users table must be as the section users of the configuration says"))
}

// Start brings the tables up to date, connects and proves that the users table fits.
func Start(ctx context.Context, c *config.Config, log *slog.Logger) (*System, error) {
	from, to, err := Migrate(ctx, c)
	if err != nil {
		return nil, err
	}
	if from != to {
		log.Info("the database was migrated", "from", from, "to", to)
	}
	s, err := Connect(ctx, c, log)
	if err != nil {
		return nil, err
	}
	if err := s.fits(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}
