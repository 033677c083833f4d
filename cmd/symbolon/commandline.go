package main

import "github.com/symbolon-id/symbolon/cmd/symbolon/setup"

const description = `Keeps Ory identities and your application's users matched.

Without a configuration file it uses SQLite in ./symbolon.db. It needs only a secret, always the same one:

	openssl rand -base64 32 > symbolon.secret
	SYMBOLON_SECRET=$(cat symbolon.secret) SYMBOLON_ORY_PUBLIC_URL=http://127.0.0.1:4433 symbolon serve`

// commandLine is the command line. Each command is in the file of its name.
type commandLine struct {
	Config string `short:"c" placeholder:"FILE" help:"Configuration file. Default: symbolon.yaml if it exists. Environment variables that are not empty override its keys: SYMBOLON_ORY_ADMIN_URL overrides ory.admin_url."`

	Init      setup.Cmd    `cmd:"" help:"Write a configuration and the hooks for Ory, and prepare a users table."`
	Serve     serveCmd     `cmd:"" help:"Run the server."`
	Migrate   migrateCmd   `cmd:"" help:"Migrate the database."`
	Actions   actionsCmd   `cmd:"" help:"Print the configuration of Ory's hooks."`
	Show      showCmd      `cmd:"" help:"Show everything about one person."`
	Bind      bindCmd      `cmd:"" help:"Bind an identity to an existing user."`
	Unlink    unlinkCmd    `cmd:"" help:"Take a further identity from its user."`
	Merge     mergeCmd     `cmd:"" help:"Unite two users of one person."`
	Adopt     adoptCmd     `cmd:"" help:"Match identities and users that existed before Symbolon."`
	Voucher   voucherCmd   `cmd:"" help:"Print the metadata of a new identity for an existing user."`
	Invite    inviteCmd    `cmd:"" help:"Print an invite, with which a person signs up as an existing user."`
	Reconcile reconcileCmd `cmd:"" help:"Compare all identities with the users, and repair differences."`
	Doctor    doctorCmd    `cmd:"" help:"Check the setup, and say what fixes it."`
	Erase     eraseCmd     `cmd:"" help:"Erase a person permanently, at Ory and in the users table."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}
