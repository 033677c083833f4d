package main

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

// configure reads the configuration and shows what is doubtful in it.
func configure(a *cli.App) (*config.Config, error) {
	conf, warnings, err := config.Load(a.ConfigFile, a.Env)
	for _, w := range warnings {
		_, _ = fmt.Fprintf(a.Err, "symbolon: warning: %s\n", w)
	}
	return conf, err
}

// open is for the commands that look at a database that is there, and log nothing.
func open(a *cli.App) (*system, error) {
	conf, err := configure(a)
	if err != nil {
		return nil, err
	}
	s, err := connect(a.Ctx, conf, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	if err := s.current(a.Ctx); err != nil {
		s.close()
		return nil, err
	}
	s.tellServers(a)
	return s, nil
}

// tellServers makes a command tell servers on the same database whose bond it
// changed. Should that fail they learn it within auth.max_stale.
func (s *system) tellServers(a *cli.App) {
	shared := &sqlstore.Replicas{Store: s.store, Project: s.config.Ory.Project}
	s.linker.Watch(func(id symbolon.IdentityID) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(a.Ctx), 2*time.Second)
		defer cancel()
		if err := shared.Tell(ctx, []string{string(id)}); err != nil {
			_, _ = fmt.Fprintf(a.Err, "symbolon: warning: servers that run could not be told at once: %v\n", err)
		}
	})
}

// fits reports everything about the users table that would keep people out.
func (s *system) fits(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := s.store.Check(ctx)
	if err == nil || errors.Is(err, symbolon.ErrUnavailable) {
		return err
	}
	return cli.Usage(cli.Hint(err, "the users table must be as the section users of the configuration says"))
}

// start brings the tables up to date, connects and proves that the users table fits.
func start(ctx context.Context, c *config.Config, log *slog.Logger) (*system, error) {
	from, to, err := migrateAll(ctx, c)
	if err != nil {
		return nil, err
	}
	if from != to {
		log.Info("the database was migrated", "from", from, "to", to)
	}
	s, err := connect(ctx, c, log)
	if err != nil {
		return nil, err
	}
	if err := s.fits(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}
