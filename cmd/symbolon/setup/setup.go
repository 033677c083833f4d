// Package setup is `symbolon init`: it writes a configuration and the hooks for Ory, and
// gives a users table the column that it needs. It asks nothing: every choice is a flag.
package setup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/hooks"
)

// Cmd is the command.
type Cmd struct {
	Database          string   `placeholder:"DSN" help:"sqlite://path or postgres://user:password@host:5432/name. A password is better kept in SYMBOLON_DATABASE. Default: sqlite://symbolon.db."`
	OryPublicURL      string   `name:"ory-public-url" placeholder:"URL" help:"Ory's public API. Default: http://127.0.0.1:4433."`
	OryAdminURL       string   `name:"ory-admin-url" placeholder:"URL" help:"Ory's admin API, or none. Default: port 4434 beside a public API on 4433; Ory Network's one address."`
	URL               string   `name:"url" placeholder:"URL" help:"The address at which Ory reaches Symbolon; not 127.0.0.1 if Ory runs in a container. Default: http://127.0.0.1:4460."`
	Table             string   `placeholder:"NAME" help:"Your users table. Default: symbolon_users, which Symbolon makes."`
	ID                string   `name:"id" placeholder:"COLUMN" help:"Its primary key. Default: what the database says."`
	Identity          string   `placeholder:"COLUMN" help:"The column that holds the identity's ID. Default: a column with such a name, or ory_identity_id, which --apply adds."`
	NewID             string   `name:"new-id" placeholder:"HOW" help:"How new users get their ID: uuidv7, database or identity. Default: database if the key is a number, else uuidv7."`
	CreateURL         string   `name:"create-url" placeholder:"URL" help:"Your application's URL that makes its users itself, whatever its database; the one above keeps the bonds then. docs/create-url.md"`
	Column            []string `placeholder:"NAME=PATH" sep:"none" help:"A column that is filled from the identity: email=traits.email. As often as needed, or none. Default: by the names of the columns."`
	OnIdentityDeleted string   `name:"on-identity-deleted" placeholder:"POLICY" help:"What becomes of a row when Ory no longer has its identity: keep, deactivate, anonymise or delete. Default: deactivate if a column is filled from active, else keep."`
	ReleaseColumns    []string `placeholder:"NAME,…" help:"Columns that are emptied then, so that their values are free again; or none. Default: the unique ones."`
	AnonymiseColumns  []string `placeholder:"NAME,…" help:"Columns that anonymise empties. Default: all that come from the identity."`

	For            string `default:"kratos.yml" placeholder:"kratos.yml|network" help:"Write the hooks as a part of a kratos.yml, or as a script for Ory Network."`
	KratosConfig   string `placeholder:"FILE" help:"The present kratos.yml: its hooks stay, in their order."`
	WithoutReserve bool   `help:"Leave out the one hook that a sign-up waits for."`
	Apply          bool   `help:"Run the SQL that the users table needs."`
	Force          bool   `help:"Write over files that are there; the secret stays."`
}

// Help is shown by --help.
func (Cmd) Help() string {
	return `Writes symbolon.yaml (or what --config names) and, beside it, the hooks for Ory and, unless SYMBOLON_SECRET is set, symbolon.secret. Each is for its owner only. It prints the SQL that gives your users table the column for the identity's ID and its unique index; --apply runs it.

	symbolon init
	symbolon init --database postgres://app@db:5432/app --table accounts --apply

Exit codes: 0 done, 1 it failed, 2 a flag is wrong or the table does not fit: nothing was written.`
}

// plan is a configuration in the making.
type plan struct {
	*cli.App
	flags       Cmd
	file, hooks string // paths: the configuration, and the hooks for Ory
	config      *config.Config
	secret      string // as it was read or made; empty: SYMBOLON_SECRET has it
	actions     hooks.Actions
	system      *system.System // nil: the database is a file that is still to be made
	todo, ran   []string       // SQL
}

// Run checks everything, runs the SQL, writes the files, and says what is next.
func (c Cmd) Run(a *cli.App) error {
	if c.For != "kratos.yml" && c.For != "network" {
		return cli.Usage(errors.New("--for must be kratos.yml or network"))
	}
	p := &plan{App: a, flags: c, file: a.ConfigFile}
	if p.file == "" {
		p.file = config.DefaultFile
	}
	p.hooks = strings.TrimSuffix(p.file, filepath.Ext(p.file)) + "-hooks.yml"
	if c.For == "network" {
		p.hooks = strings.TrimSuffix(p.hooks, ".yml") + ".sh"
	}
	defer func() {
		if p.system != nil {
			p.system.Close()
		}
	}()
	for _, step := range []func() error{p.mayWrite, p.readSecret, p.configure, p.connect, p.describe, p.check, p.sql, p.write} {
		if err := step(); err != nil {
			return err
		}
	}
	return p.print()
}

func (p *plan) mayWrite() error {
	for _, file := range []string{p.file, p.hooks} {
		if _, err := os.Lstat(file); err == nil && !p.flags.Force {
			return cli.Usage(cli.Hint(fmt.Errorf("%s is there already", file), "--force writes over it, --config FILE writes another; symbolon doctor says whether it is right"))
		}
	}
	return nil
}

// print says what was written, what SQL there is, and, last, what is next.
func (p *plan) print() error {
	var b strings.Builder
	fmt.Fprintf(&b, "wrote %s\nwrote %s: the hooks for Ory; they hold keys\n", p.file, p.hooks)
	secret, conf := "", ""
	if p.secret != "" {
		fmt.Fprintf(&b, "the secret is in %s: keep it, because no ID can be proved without it\n", p.secretFile())
		secret = "SYMBOLON_SECRET=$(cat " + p.secretFile() + ") "
	}
	if p.file != config.DefaultFile {
		conf = " --config " + p.file
	}
	p.printSQL(&b)
	fmt.Fprintf(&b, "\nnext:\n  %ssymbolon serve%s\n", secret, conf)
	if p.flags.For == "network" {
		fmt.Fprintf(&b, "  PROJECT=your-project sh %s\n", p.hooks)
	} else {
		fmt.Fprintf(&b, "  kratos serve -c kratos.yml -c %s\n", p.hooks)
	}
	live := " --live"
	if p.config.Users.CreateURL != "" {
		fmt.Fprintf(&b, "  %ssymbolon actions print --for create_url%s > app.env\n", secret, conf)
		live = "" // it could not take back the user that the application makes
	}
	fmt.Fprintf(&b, "  %ssymbolon doctor%s%s\n", secret, live, conf)
	_, err := io.WriteString(p.Out, b.String())
	return err
}

func (p *plan) printSQL(b *strings.Builder) {
	table := p.config.Users.Table
	switch {
	case p.config.Users.CreateURL != "":
		b.WriteString("no SQL is needed: your application makes its users itself\n")
	case table == config.OwnTable:
		fmt.Fprintf(b, "no SQL is needed: symbolon serve makes %s itself\n", table)
	case len(p.ran) > 0:
		fmt.Fprintf(b, "this SQL was run on %s:\n", table)
	case len(p.todo) > 0:
		fmt.Fprintf(b, "run this SQL on %s before symbolon serve, statement by statement, outside of a transaction; or init again with --apply --force:\n", table)
	default:
		fmt.Fprintf(b, "no SQL is needed: %s has its column and its unique index\n", table)
	}
	for _, text := range append(p.ran, p.todo...) {
		fmt.Fprintf(b, "  %s;\n", text)
	}
}
