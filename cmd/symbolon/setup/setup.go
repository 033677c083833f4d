// Package setup is `symbolon init`: it writes a configuration, and makes a users table fit.
package setup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/doctor"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/sqlstore"
)

type Cmd struct {
	Database          string   `placeholder:"DSN" help:"sqlite://path or postgres://user:password@host:5432/name. A password is better kept in SYMBOLON_DATABASE."`
	OryPublicURL      string   `name:"ory-public-url" placeholder:"URL" help:"Ory's public API."`
	OryAdminURL       string   `name:"ory-admin-url" placeholder:"URL" help:"Ory's admin API, or none."`
	URL               string   `name:"url" placeholder:"URL" help:"Where Ory reaches Symbolon."`
	Table             string   `placeholder:"NAME" help:"Your users table; symbolon_users is one that Symbolon makes."`
	ID                string   `name:"id" placeholder:"COLUMN" help:"Its primary key."`
	Identity          string   `placeholder:"COLUMN" help:"The column that holds the identity's ID; it is added where it is missing."`
	NewID             string   `name:"new-id" placeholder:"HOW" help:"Where new users get their ID: uuidv7, database or identity."`
	CreateURL         string   `name:"create-url" placeholder:"URL" help:"Where your application makes its users itself, whatever its database; the one above keeps the bonds then. docs/create-url.md"`
	Column            []string `placeholder:"NAME=PATH" sep:"none" help:"A column that is filled from the identity: email=traits.email. As often as needed, or none."`
	OnIdentityDeleted string   `name:"on-identity-deleted" placeholder:"POLICY" help:"What becomes of a row when Ory no longer has its identity: keep, deactivate, anonymise or delete."`
	ReleaseColumns    []string `placeholder:"NAME,…" help:"What is emptied then, so that what must be unique is free again; or none."`
	AnonymiseColumns  []string `placeholder:"NAME,…" help:"What anonymise empties. Default: all that comes from the identity."`

	For            string `default:"kratos.yml" placeholder:"kratos.yml|network" help:"Print Ory's configuration as a part of a kratos.yml, or as a script for Ory Network."`
	KratosConfig   string `placeholder:"FILE" help:"The present kratos.yml: its hooks stay, in their order."`
	WithoutReserve bool   `help:"Leave out the one hook that a sign-up waits for."`
	Yes            bool   `short:"y" help:"Take what is proposed wherever no flag answers."`
	Apply          bool   `help:"Run the SQL."`
	Force          bool   `help:"Write over a configuration that is there."`
}

func (Cmd) Help() string {
	return `Asks what it cannot find out, and writes symbolon.yaml (or what --config names) and, unless SYMBOLON_SECRET is set, symbolon.secret. It prints the SQL that gives your users table the column for the identity's ID and its unique index, and Ory's configuration. Both may be printed again; --apply runs the SQL.

Where there is no terminal every question has its flag; --yes takes what is proposed.

	symbolon init
	symbolon init --yes --database postgres://app@db:5432/app --table accounts --apply

Exit codes: 0 done, 1 it failed, 2 an answer is missing or cannot be right: nothing was written.`
}

// Run asks, checks, writes and prints.
func (c Cmd) Run(a *cli.App) error {
	if c.For != "kratos.yml" && c.For != "network" {
		return cli.Usage(errors.New("--for must be kratos.yml or network"))
	}
	p := &plan{App: a, flags: c, ask: newAsker(a, c.Yes), file: a.ConfigFile}
	if p.file == "" {
		p.file = config.DefaultFile
	}
	defer p.close()
	if err := p.mayWrite(); err != nil {
		return err
	}
	if err := p.answer(); err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}
	if err := p.sql(); err != nil {
		return err
	}
	if err := p.write(); err != nil {
		return err
	}
	return p.print()
}

// plan is a configuration in the making.
type plan struct {
	*cli.App
	flags Cmd
	ask   *asker
	file  string // the configuration's

	config *config.Config
	secret string // as it was read or made; empty: SYMBOLON_SECRET has it
	db     *system.System
	tables []sqlstore.Table

	todo, ran []string // SQL
}

func (p *plan) close() {
	if p.db != nil {
		p.db.Close()
	}
}

func (p *plan) mayWrite() error {
	if _, err := os.Lstat(p.file); err == nil && !p.flags.Force {
		return cli.Usage(cli.Hint(fmt.Errorf("%s is there already", p.file), "--force writes over it, --config FILE writes another; symbolon doctor says whether it is right"))
	}
	return nil
}

// check refuses what serve would refuse: every fault that the SQL does not mend.
func (p *plan) check() error {
	if err := p.readSecret(); err != nil {
		return err
	}
	p.config.Secret = config.Hidden(p.theSecret())
	if err := p.config.Check(); err != nil {
		return cli.Hint(err, "nothing was written")
	}
	if err := p.actions().Check(); err != nil {
		return cli.Usage(cli.Hint(err, "nothing was written"))
	}
	if p.db == nil {
		return nil // a database that is still to be made has Symbolon's own table
	}
	p.db.Store = system.NewStore(p.config, p.db.DB, p.db.Store.Dialect)
	p.db.Config = p.config
	faults, err := p.left(p.Ctx)
	if err != nil {
		return err
	}
	if len(faults) > 0 {
		return cli.Usage(cli.Hint(errors.Join(faults...), "nothing was written; alter the table, or answer otherwise: --column, --id, --identity, --new-id"))
	}
	return p.checkRelease()
}

// left are the faults of the table that neither the SQL nor a migration mends.
func (p *plan) left(ctx context.Context) (left []error, err error) {
	faults, err := p.db.Store.Examine(ctx)
	if err != nil {
		return nil, err
	}
	u := p.config.Users
	for _, err := range faults {
		var f *sqlstore.Fault
		switch {
		case errors.As(err, &f) && f.Kind == sqlstore.NoLayout && !strings.Contains(f.Mend, "upgrade"):
		case f != nil && f.Kind == sqlstore.NoTable && u.Table == config.OwnTable:
		case f != nil && f.Column == u.Identity && (f.Kind == sqlstore.NoColumn || f.Kind == sqlstore.NotUnique):
		default:
			left = append(left, err)
		}
	}
	return left, nil
}

func (p *plan) checkRelease() error {
	unique, err := system.UsersTable{System: p.db}.UniqueColumns(p.Ctx)
	if err != nil {
		return err
	}
	u := p.config.Users
	stuck := doctor.Stuck(u.OnIdentityDeleted, unique, u.ReleaseColumns, u.AnonymiseColumns)
	if len(stuck) == 0 {
		return nil
	}
	return cli.Usage(cli.Hint(fmt.Errorf("the row of a deleted identity would keep its unique %s, so that the next who signs up with it gets none", strings.Join(stuck, ", ")),
		"nothing was written; add --release-columns %s, or --on-identity-deleted delete", strings.Join(append(u.ReleaseColumns, stuck...), ",")))
}

// sql plans the change of the table, and makes it where that was asked for.
func (p *plan) sql() (err error) {
	if p.db == nil || p.config.Users.Table == config.OwnTable {
		return nil // Symbolon's own migration makes it whole
	}
	if p.todo, err = p.db.Store.IdentityColumn(p.Ctx); err == nil && len(p.todo) > 0 && p.runs() {
		p.ran, err = p.db.Store.AddIdentityColumn(p.Ctx)
		p.todo = nil
	}
	var doubled *sqlstore.DoubledError
	switch {
	case errors.As(err, &doubled):
		return cli.Hint(err, "nothing was written; leave each identity in the one row that is its user's, empty it in the others, and run this again")
	case errors.Is(err, sqlstore.ErrTableBusy):
		return cli.Hint(err, "nothing was written; run this again when it is quiet")
	case err != nil:
		return cli.Hint(err, "nothing was written; without --apply the SQL is printed for whoever may run it")
	}
	return nil
}

// runs reports whether the SQL is to be run: by the flag, or by a word at the terminal.
func (p *plan) runs() bool {
	if p.flags.Apply || !p.ask.terminal || p.ask.yes {
		return p.flags.Apply
	}
	_, _ = fmt.Fprintf(p.Err, "%s needs this:\n  %s;\n", p.config.Users.Table, strings.Join(p.todo, ";\n  "))
	answer, err := p.ask.get(question{"apply", "", "Run it now: yes or no", "no", oneOf("yes", "no")})
	return err == nil && answer == "yes"
}

func (p *plan) actions() hooks.Actions {
	a := system.Actions(p.config)
	a.WithoutReserve = p.flags.WithoutReserve
	return a
}

// print says what was written and what is left to do.
func (p *plan) print() error {
	a := p.actions()
	var err error
	if p.flags.KratosConfig != "" {
		if a.Existing, err = os.ReadFile(p.flags.KratosConfig); err != nil {
			return cli.Usage(fmt.Errorf("read the Kratos configuration: %w", err))
		}
	}
	p.printSQL()
	if p.flags.For == "network" {
		err = a.WriteNetwork(p.Out)
	} else {
		err = a.WriteKratos(p.Out)
	}
	if err != nil {
		return err
	}
	p.printNext()
	return nil
}

func (p *plan) printSQL() {
	table := p.config.Users.Table
	switch {
	case p.config.Users.CreateURL != "":
		_, _ = fmt.Fprintf(p.Out, "-- No SQL is needed: your application makes its users itself.\n\n")
		return
	case table == config.OwnTable:
		_, _ = fmt.Fprintf(p.Out, "-- No SQL is needed: symbolon serve makes %s itself.\n\n", config.OwnTable)
		return
	case len(p.ran) > 0:
		_, _ = fmt.Fprintf(p.Out, "-- This SQL was run on %s:\n", table)
	case len(p.todo) > 0:
		_, _ = fmt.Fprintf(p.Out, "-- SQL for %s: run it before symbolon serve, statement by statement, outside of a transaction.\n", table)
	default:
		_, _ = fmt.Fprintf(p.Out, "-- No SQL is needed: %s has its column and its unique index.\n", table)
	}
	for _, text := range append(p.ran, p.todo...) {
		_, _ = fmt.Fprintf(p.Out, "%s;\n", text)
	}
	_, _ = fmt.Fprintln(p.Out)
}

// printNext goes to the other stream, so that what was printed can be kept in a file.
func (p *plan) printNext() {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(p.Err, "symbolon: "+format+"\n", args...) }
	say("wrote %s", p.file)
	secret, conf := "", ""
	if p.secret != "" {
		say("the secret is in %s: keep it, and keep it to yourself; without it no ID can be proved and every key is another", p.secretFile())
		secret = "SYMBOLON_SECRET=$(cat " + p.secretFile() + ") "
	}
	if p.file != config.DefaultFile {
		conf = " --config " + p.file
	}
	if len(p.todo) > 0 {
		say("next: run the SQL above, or this again with --apply --force")
	}
	live := " --live"
	if p.config.Users.CreateURL != "" {
		say("next: %ssymbolon actions print --for create_url%s prints the secret by which your application knows Symbolon", secret, conf)
		live = "" // it could not take back the user that the application makes
	}
	say("next: %ssymbolon serve%s", secret, conf)
	say("next: merge the hooks above into Ory's configuration and restart it; they hold keys")
	say("next: %ssymbolon doctor%s%s", secret, live, conf)
}
