package main

import "github.com/symbolon-id/symbolon/cmd/symbolon/setup"

const description = `Keeps Ory identities and your application's users matched.

Without a configuration file it runs on SQLite in ./symbolon.db; all it must be told is a secret, always the same one:

	openssl rand -base64 32 > symbolon.secret
	SYMBOLON_SECRET=$(cat symbolon.secret) SYMBOLON_ORY_PUBLIC_URL=http://127.0.0.1:4433 symbolon serve`

// commandLine is the command line. What a command does is in the file of its name.
type commandLine struct {
	Config string `short:"c" placeholder:"FILE" help:"Configuration file; otherwise symbolon.yaml where it exists. Each key is an environment variable as well: ory.admin_url is SYMBOLON_ORY_ADMIN_URL."`

	Init      setup.Cmd    `cmd:"" help:"Write a configuration and the hooks for Ory, and make a users table fit."`
	Serve     serveCmd     `cmd:"" help:"Run the server."`
	Migrate   migrateCmd   `cmd:"" help:"Bring the database up to date."`
	Actions   actionsCmd   `cmd:"" help:"Print the hooks that Ory has to be configured with."`
	Show      showCmd      `cmd:"" help:"Show all that is known of one person."`
	Bind      bindCmd      `cmd:"" help:"Bind an identity to an existing user."`
	Adopt     adoptCmd     `cmd:"" help:"Match identities and users that were both there before."`
	Voucher   voucherCmd   `cmd:"" help:"Print what an identity for an existing user has to carry."`
	Reconcile reconcileCmd `cmd:"" help:"Compare all identities with the users, and repair what can be repaired."`
	Doctor    doctorCmd    `cmd:"" help:"Prove that the setup works, and say what fixes it."`
	Erase     eraseCmd     `cmd:"" help:"Erase a person: both halves, for good, with evidence."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}
