package system

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/internal/wait"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// Configure reads the configuration and prints its warnings.
func Configure(a *cli.App) (*config.Config, error) {
	conf, warnings, err := config.Load(a.ConfigFile, a.Env)
	for _, w := range warnings {
		_, _ = fmt.Fprintf(a.Err, "symbolon: warning: %s\n", w)
	}
	return conf, err
}

// Open connects to a database that exists and is up to date. It is for commands, which do
// not log.
func Open(a *cli.App) (*System, error) {
	conf, err := Configure(a)
	if err != nil {
		return nil, err
	}
	s, err := Connect(a.Ctx, conf, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.current(a.Ctx), s.ownsTable(a.Ctx)); err != nil {
		s.Close()
		return nil, err
	}
	s.tellServers(a)
	return s, nil
}

// NeedsAdmin is an error if no admin URL is configured. why says what needs it.
func NeedsAdmin(o *ory.Client, why string) error {
	if o.HasAdmin() {
		return nil
	}
	return cli.Usage(cli.Hint(errors.New(why), "set ory.admin_url in the configuration, or SYMBOLON_ORY_ADMIN_URL=http://127.0.0.1:4434"))
}

// Use opens the system for a command. Before it closes the system, it waits for the last
// back-references, but not for long, since nothing depends on them.
func Use(a *cli.App, command func(*System) error) error {
	s, err := Open(a)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := wait.Detached(a.Ctx, OperatorTimeout)
		defer cancel()
		_ = s.Linker.Close(ctx)
		s.Close()
	}()
	return command(s)
}

// UseAdmin is Use for a command that needs Ory's admin API. why says what needs it.
func UseAdmin(a *cli.App, why string, command func(*System) error) error {
	return Use(a, func(s *System) error {
		if err := NeedsAdmin(s.Ory, why); err != nil {
			return err
		}
		return command(s)
	})
}

const tellTimeout = 2 * time.Second

// tellServers reports every link that a command changes to the servers on the same
// database. If that fails, they notice within auth.max_stale.
func (s *System) tellServers(a *cli.App) {
	shared := &sqlstore.Replicas{Store: s.Store, Project: s.Config.Ory.Project}
	s.Linker.Watch(func(id symbolon.IdentityID) {
		ctx, cancel := wait.Detached(a.Ctx, tellTimeout)
		defer cancel()
		if err := shared.Tell(ctx, []string{string(id)}); err != nil {
			_, _ = fmt.Fprintf(a.Err, "symbolon: warning: the running servers could not be notified: %v\n", err)
		}
	})
}
