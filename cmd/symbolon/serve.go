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
	return `Listens on two addresses: serve.public (:4460) for Ory, proxies and applications, and serve.admin (127.0.0.1:4461) for the operator. It migrates the database first. If the database does not answer, it serves only the reserve hook, and tries again by itself. Ory need not be running.

SIGTERM stops it. /readyz then answers 503, and everything else is answered for serve.drain (5 s), so that proxies can choose another server. Then it refuses connections. It ends within 10 seconds: requests are cut off 8 seconds after the signal, and jobs after 5. SIGINT (Ctrl-C) stops it without a drain. A second signal ends it at once.

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
		log.Warn("configuration", "warning", w.String())
	}
	if err != nil {
		return err
	}
	if config.NoFile(a.ConfigFile) {
		log.Info("no configuration file was found, so the defaults and the environment are used", "file", config.DefaultFile)
	}
	if err := conf.Auth.JWT.CheckKeys(a.Ctx); err != nil {
		return cli.Usage(err)
	}
	return server.Serve(a.Ctx, conf, log)
}
