// Package server is `symbolon serve`: two listeners, their routes, the operator's API,
// metrics and the background work. Every route is in routes.go.
package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/cmd/symbolon/work"
	"github.com/symbolon-id/symbolon/forwardauth"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/internal/wait"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// Serve runs a server until the context ends.
func Serve(ctx context.Context, c *config.Config, log *slog.Logger) error {
	p, err := New(ctx, c, log)
	if err != nil {
		return err
	}
	defer collectLess()()
	if err := p.Start(ctx); err != nil || ctx.Err() != nil {
		if errors.Is(err, work.ErrShared) {
			err = cli.Usage(err)
		}
		return errors.Join(err, p.Close(ctx))
	}
	log.Info("starting", "version", cli.ThisBuild().Version, "database", p.Store.Dialect, "users", c.Users.Where(),
		"ory", c.Ory.PublicURL, "ory_admin", c.Ory.AdminURL, "project", c.Ory.Project)
	err = p.listeners.run(ctx, listener{"public", c.Serve.Public, p.Public()}, listener{"operator", c.Serve.Admin, p.Operator()})
	return errors.Join(err, p.closeBefore(ctx, p.listeners.end()))
}

// New makes a server that does not listen and has not used the database yet. Start takes the
// database into use.
func New(ctx context.Context, c *config.Config, log *slog.Logger) (*Server, error) {
	s, err := system.New(c, log)
	if err != nil {
		return nil, err
	}
	p, err := newServer(s, log)
	if err != nil {
		s.Close()
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, errors.Join(cli.Usage(err), p.Close(ctx))
	}
	return p, nil
}

// Server is the system with everything that answers requests. docs/goroutines.md lists its
// goroutines.
type Server struct {
	*system.System
	log      *slog.Logger
	metrics  *metrics
	hooks    *hooks.Handler
	verifier *session.Verifier
	purges   *purgeListener
	startup  *startup

	forwardAuth *forwardauth.ForwardAuth
	hydrate     *forwardauth.Hydrate

	listeners *listeners
	repairs   *repairs
	work      *background
}

func newServer(s *system.System, log *slog.Logger) (p *Server, err error) {
	p = &Server{System: s, log: log, metrics: newMetrics(), listeners: &listeners{log: log, drain: s.Config.Serve.Drain}}
	s.Linker.AfterLink = p.metrics.linked
	if s.Creator != nil {
		s.Creator.Observe = p.metrics.creation
	}
	p.startup = &startup{server: p}
	p.metrics.registry.MustRegister(&openFindings{store: s.Store, project: s.Config.Ory.Project, ready: &p.startup.done}, tableFaults{s.Store})
	p.repairs = newRepairs(s.Reconciler(), s.Ory.Load, p.metrics, log)
	p.hooks = &hooks.Handler{Linker: s.Linker, Keys: system.HookKeys(s.Config), Observe: p.metrics.hook, Log: log}
	p.purges = listenForPurges(s.Config, log)
	shared := &sqlstore.Replicas{Store: s.Store, Project: s.Config.Ory.Project, Wake: p.purges.received} // the sessions and purges of all replicas
	p.verifier = &session.Verifier{Linker: s.Linker, Ory: s.Ory, MaxStale: s.Config.Auth.MaxStale, Log: log,
		OutageGrace: s.Config.Auth.OutageGrace, TrustedProxies: s.Config.TrustedProxies(), Memory: shared, Broadcast: afterStart{shared, &p.startup.done}, Tokens: s.Config.Auth.JWT.Tokens()}
	p.forwardAuth = s.Config.ForwardAuth(p.verifier, s.Config.Signer())
	p.hydrate = &forwardauth.Hydrate{ForwardAuth: p.forwardAuth}
	p.hydrate.User, p.hydrate.Passwords = s.Config.HydrateLogin()
	p.metrics.registry.MustRegister(&sessionMetrics{p.verifier, p.purges})
	if p.work, err = p.newBackground(); err != nil {
		p.purges.close()
	}
	return p, err
}

// check finds wrong fields of the library's structs before the first request comes.
func (p *Server) check() error {
	return errors.Join(p.Ory.Check(), p.hooks.Check(), p.forwardAuth.Check())
}

// Close ends the background work, waits for every goroutine of the server and closes the
// connections. It takes nine seconds at most.
func (p *Server) Close(ctx context.Context) error {
	return p.closeBefore(ctx, time.Now().Add(lastMoment))
}

// closeBefore is Close with the deadline in the parameter end. Goroutines that have not
// ended by then, for example because the database is silent, end with the process. Nothing
// is lost by that, because all acknowledged work is committed.
func (p *Server) closeBefore(ctx context.Context, end time.Time) error {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), end)
	defer cancel()
	if !wait.Ended(ctx, func() { p.closeAll(ctx) }) {
		p.log.Warn("the server stopped before its goroutines had ended")
	}
	p.log.Info("stopped")
	return nil
}

func (p *Server) closeAll(ctx context.Context) {
	p.startup.close()
	p.work.stop(ctx, p.log)
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	p.repairs.close()
	p.verifier.Close()
	p.purges.close()
	if err := p.Linker.Close(ctx); err != nil {
		p.log.Warn("the server stopped before all back-references were written", "error", err)
	}
	p.System.Close()
}

// Start takes the database into use and begins the background work. If the database does
// not answer, Start returns nil, and the server tries again by itself; see startup.
func (p *Server) Start(ctx context.Context) error { return p.startup.begin(ctx) }
