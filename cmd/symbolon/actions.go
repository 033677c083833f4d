package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
)

type actionsCmd struct {
	Print actionsPrintCmd `cmd:"" help:"Print the configuration of Ory's hooks."`
}

type actionsPrintCmd struct {
	For            string   `default:"kratos.yml" placeholder:"kratos.yml|network|create_url|oathkeeper" help:"kratos.yml prints the hooks' part of a kratos.yml; network, a script that calls Ory Network's CLI; create_url, the variables for the application behind users.create_url; oathkeeper, the configuration of Oathkeeper's hydrator. Default: kratos.yml."`
	WithoutReserve bool     `help:"Leave out the reserve hook, the only hook that a sign-up waits for. Ory then does not get the user's ID, unless back_reference.write is create or repair."`
	KratosConfig   string   `placeholder:"FILE" help:"The current kratos.yml. The hooks that it has already are kept, in their order."`
	Methods        []string `placeholder:"password,oidc" help:"The methods to configure. Default: all methods of Ory."`
}

func (actionsPrintCmd) Help() string {
	return `The output contains the keys with which Ory calls serve.url. Treat it as a secret.

	symbolon actions print > hooks.yml                        # then: kratos serve -c kratos.yml -c hooks.yml
	symbolon actions print --kratos-config kratos.yml --methods password,oidc
	symbolon actions print --for network > hooks.sh
	symbolon actions print --for create_url > app.env         # the secret that verifies Symbolon's POST
	symbolon actions print --for oathkeeper > hydrator.yml    # the hydrator, with its password

The command reads the configuration only. It uses neither Ory nor the database.`
}

// Run prints the hooks.
func (c actionsPrintCmd) Run(a *cli.App) error {
	if c.For != "kratos.yml" && c.For != "network" && c.For != "create_url" && c.For != "oathkeeper" {
		return cli.Usage(errors.New("--for must be kratos.yml, network, create_url or oathkeeper"))
	}
	conf, err := system.Configure(a)
	if err != nil {
		return err
	}
	switch c.For {
	case "create_url":
		return writeCreate(conf, a.Out)
	case "oathkeeper":
		return writeOathkeeper(conf, a.Out)
	}
	actions := system.Actions(conf)
	actions.WithoutReserve, actions.Methods = c.WithoutReserve, c.Methods
	if c.KratosConfig != "" {
		if actions.Existing, err = os.ReadFile(c.KratosConfig); err != nil {
			return cli.Usage(fmt.Errorf("read the Kratos configuration: %w", err))
		}
	}
	if err := actions.Check(); err != nil {
		return cli.Usage(err)
	}
	if c.For == "network" {
		return actions.WriteNetwork(a.Out)
	}
	return actions.WriteKratos(a.Out)
}

// writeCreate writes the environment variables for the application.
func writeCreate(c *config.Config, w io.Writer) error {
	if c.Users.CreateURL == "" {
		return cli.Usage(errors.New("users.create_url is not set: Symbolon writes the users table itself"))
	}
	var b strings.Builder
	b.WriteString("# For the application behind users.create_url. With this secret it verifies that a POST\n" +
		"# comes from Symbolon (Standard Webhooks; docs/create-url.md). Keep it secret.\n")
	secrets := c.CreateSecrets()
	fmt.Fprintf(&b, "SYMBOLON_WEBHOOK_SECRET=%s\n", secrets[0])
	for _, other := range secrets[1:] {
		fmt.Fprintf(&b, "# Symbolon also signs with this secret, because the secret is being changed: %s\n", other)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeOathkeeper writes the part of Oathkeeper's configuration for the hydrator.
func writeOathkeeper(c *config.Config, w io.Writer) error {
	user, passwords := c.HydrateLogin()
	_, err := fmt.Fprintf(w, `mutators:
  hydrator:
    enabled: true
    config:
      api:
        url: %s/hydrate
        auth: {basic: {username: %q, password: %q}}
`, c.Serve.URL, user, passwords[0])
	return err
}
