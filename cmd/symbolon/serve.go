package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/forwardauth"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/session"
)

type serveCmd struct {
	LogLevel string `placeholder:"LEVEL" help:"debug, info, warn or error; debug logs every request. Default: SYMBOLON_LOG_LEVEL, else info."`
}

func (serveCmd) Help() string {
	return `Listens twice: for Ory, proxies and applications on serve.public (:4460), for the operator on serve.admin (127.0.0.1:4461). The tables are made or brought up to date first. Ory need not be up; the database must.

SIGTERM and SIGINT stop it: /readyz says so, and what was begun is finished, for 8 seconds at most.

	SYMBOLON_SECRET=$(cat symbolon.secret) SYMBOLON_ORY_ADMIN_URL=http://127.0.0.1:4434 symbolon serve
	symbolon serve --config /etc/symbolon.yaml --log-level debug`
}

// Run serves until the context ends.
func (c serveCmd) Run(a *app) error {
	level, err := logLevel(c.LogLevel, a.env)
	if err != nil {
		return err
	}
	log := newLogger(a.err, level)
	config, warnings, err := loadConfig(a.config, a.env)
	for _, w := range warnings {
		log.Warn("configuration", "doubt", w.String())
	}
	if err != nil {
		return err
	}
	if err := config.Auth.JWT.checkKeys(a.ctx); err != nil {
		return usage(err)
	}
	s, err := start(a.ctx, config, log)
	if err != nil {
		return err
	}
	defer s.close()
	defer collectLess()()
	p, err := newParts(s, log)
	if err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return errors.Join(usage(err), p.close(a.ctx))
	}
	if err := p.work.Start(a.ctx); err != nil {
		return errors.Join(err, p.close(a.ctx))
	}
	log.Info("starting", "version", thisBuild().version, "database", s.store.Dialect, "users", config.Users.where(),
		"ory", config.Ory.PublicURL, "ory_admin", config.Ory.AdminURL, "project", config.Ory.Project)
	err = p.server.run(a.ctx, listener{"public", config.Serve.Public, p.public()}, listener{"operator", config.Serve.Admin, p.operator()})
	return errors.Join(err, p.close(a.ctx))
}

// start brings the tables up to date, connects and proves that the users table fits.
func start(ctx context.Context, c *Config, log *slog.Logger) (*system, error) {
	from, to, err := c.migrate(ctx)
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

// fits reports everything about the users table that would keep people out.
func (s *system) fits(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := s.store.Check(ctx)
	if err == nil || errors.Is(err, symbolon.ErrUnavailable) {
		return err
	}
	return usage(hint(err, "the users table must be as the section users of the configuration says"))
}

// parts are what answers requests.
type parts struct {
	*system
	log      *slog.Logger
	metrics  *metrics
	hooks    *hooks.Handler
	verifier *session.Verifier
	ear      *ear

	forwardAuth *forwardauth.ForwardAuth
	hydrate     *forwardauth.Hydrate

	server  *server
	passes  *passes  // the schedule's
	repairs *repairs // the operator's
	work    *background
}

func newParts(s *system, log *slog.Logger) (p *parts, err error) {
	p = &parts{system: s, log: log, metrics: newMetrics(), server: &server{log: log}}
	s.linker.AfterLink = p.metrics.linked
	if s.creator != nil {
		s.creator.Observe = p.metrics.creation
	}
	p.metrics.countFindings(s.store, s.config.Ory.Project)
	reconciler := s.reconciler()
	p.passes = &passes{reconciler: reconciler, metrics: p.metrics, log: log}
	p.repairs = newRepairs(reconciler, s.ory.Load, p.metrics, log)
	p.hooks = &hooks.Handler{Linker: s.linker, Keys: s.config.hookKeys(), Observe: p.metrics.hook, Log: log}
	p.ear = s.config.newEar(log)
	shared := s.replicas(p.ear)
	p.verifier = &session.Verifier{Linker: s.linker, Ory: s.ory, MaxStale: s.config.Auth.MaxStale, Log: log,
		OutageGrace: s.config.Auth.OutageGrace, Memory: shared, Broadcast: shared,
		Tokens: s.config.Auth.JWT.tokens()}
	p.forwardAuth = s.config.forwardAuth(p.verifier, s.config.signer())
	p.hydrate = &forwardauth.Hydrate{ForwardAuth: p.forwardAuth}
	p.hydrate.User, p.hydrate.Passwords = s.config.hydrateLogin()
	p.metrics.sessions(p.verifier, p.ear)
	if p.work, err = p.newBackground(); err != nil {
		p.ear.close()
	}
	return p, err
}

// check proves that nothing is wired wrongly before the first request comes.
func (p *parts) check() error {
	return errors.Join(p.ory.Check(), p.hooks.Check(), p.forwardAuth.Check())
}

// close finishes what no request waits for: questions to Ory, and back-references
// that are still to be written.
func (p *parts) close(ctx context.Context) error {
	p.work.stop(ctx, p.log)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	p.repairs.close()
	p.verifier.Close()
	p.ear.close()
	if err := p.linker.Close(ctx); err != nil {
		p.log.Warn("stopped before everything was written", "error", err)
	}
	p.log.Info("stopped")
	return nil
}
