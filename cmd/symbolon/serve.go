package main

import (
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/server"
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
func (c serveCmd) Run(a *cli.App) error {
	level, err := cli.LogLevel(c.LogLevel, a.Env)
	if err != nil {
		return err
	}
	log := cli.NewLogger(a.Err, level)
	conf, warnings, err := config.Load(a.ConfigFile, a.Env)
	for _, w := range warnings {
		log.Warn("configuration", "doubt", w.String())
	}
	if err != nil {
		return err
	}
	if err := conf.Auth.JWT.CheckKeys(a.Ctx); err != nil {
		return cli.Usage(err)
	}
	return server.Serve(a.Ctx, conf, log)
}
