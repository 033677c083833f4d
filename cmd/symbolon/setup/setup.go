// Package setup is `symbolon init`. It writes a configuration and the hooks for Ory, and
// gives a users table the column that it needs. It asks no questions: every choice is a flag.
package setup

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
)

// Cmd is the command. A flag wins over the environment variable of its key.
type Cmd struct {
	Database          string   `placeholder:"DSN" help:"sqlite://path or postgres://user:password@host:5432/name. A password is better kept in SYMBOLON_DATABASE. Default: sqlite://symbolon.db."`
	OryPublicURL      string   `name:"ory-public-url" placeholder:"URL" help:"Ory's public API. Default: http://127.0.0.1:4433."`
	OryAdminURL       string   `name:"ory-admin-url" placeholder:"URL" help:"Ory's admin API. The word none means that Symbolon uses no admin API. Default: port 4434 if the public API is on 4433; on Ory Network the same address."`
	URL               string   `name:"url" placeholder:"URL" help:"The address at which Ory reaches Symbolon; not 127.0.0.1 if Ory runs in a container. Default: http://127.0.0.1:4460."`
	Table             string   `placeholder:"NAME" help:"Your users table. Default: symbolon_users, which Symbolon makes."`
	ID                string   `name:"id" placeholder:"COLUMN" help:"Its primary key. Default: the primary key in the database."`
	Identity          string   `placeholder:"COLUMN" help:"The column for the identity's ID. Default: an existing column named ory_identity_id, identity_id, kratos_identity_id, kratos_id, ory_id, ory_identity or ory; else ory_identity_id, which --apply adds."`
	NewID             string   `name:"new-id" placeholder:"HOW" help:"How new users get their ID: uuidv7, database, identity, or a template such as usr_{ulid}. Default: database if the database makes the key, else uuidv7, or {ulid} or {nanoid} if the key is too short for it."`
	CreateURL         string   `name:"create-url" placeholder:"URL" help:"The URL at which your application makes its users itself, in any database. The database of --database then holds only the links. docs/create-url.md"`
	Column            []string `placeholder:"NAME=PATH" sep:"none" help:"A column that is filled from the identity: email=traits.email. May be repeated. The word none means that no column is filled. Default: chosen by the names of the columns."`
	OnIdentityDeleted string   `name:"on-identity-deleted" placeholder:"POLICY" help:"What happens to a row when its identity is deleted at Ory: keep, deactivate, anonymise or delete. Default: deactivate if a column shows the identity's state (path active), else keep."`
	ReleaseColumns    []string `placeholder:"NAME" help:"Columns that are emptied when the identity is deleted, so that their values are free again. The word none means that no column is emptied. Default: the unique columns that are filled from the identity."`
	AnonymiseColumns  []string `placeholder:"NAME" help:"Columns that the policy anonymise empties besides those that are filled from traits or a verified address. Default: all columns that are filled from the identity."`

	Apply bool `help:"Run the SQL that the users table needs. If the database does not tell whether a trigger or a policy accepts new rows, also insert one and roll it back."`
	Force bool `help:"Replace existing files, except the secret."`
}

// Help is shown by --help.
func (Cmd) Help() string {
	return `Writes symbolon.yaml (or the file of --config), beside it symbolon-hooks.yml for Ory, and symbolon.secret unless SYMBOLON_SECRET is set. Only their owner may read them. Prints the SQL that adds the column for the identity's ID and its unique index to your users table; --apply runs it.

The hooks are those of "symbolon actions print", which has options for Ory Network and for a kratos.yml that has hooks already.

	symbolon init
	symbolon init --database postgres://app@db:5432/app --table accounts --apply

Exit codes: 0 done, 1 it failed, 2 a flag is wrong or the table does not fit: nothing was written.`
}

// plan is the configuration that init makes, and the SQL.
type plan struct {
	*cli.App
	flags       Cmd
	env         config.Environ // the environment, with the flags and the secret
	file, hooks string         // paths: the configuration, and the hooks for Ory
	config      *config.Config
	secret      string         // from the file, or new; empty if SYMBOLON_SECRET is set
	newSecret   bool           // the secret has no file yet
	drafts      []*file        // the configuration is the last
	system      *system.System // nil if the database is a file that does not exist yet
	todo, ran   []string       // SQL
	maybe       []string       // columns that may hold the identity's ID; after survey, those with UUIDs
	denies      []string       // conditions that users.deny probably should have
	state       string         // the column that could show the identity's state, but has rows of yours
	proven      bool           // a row was inserted and rolled back
	unbound     int            // rows of your users table without an identity
}

// hooksSuffix ends the name of the file with the hooks.
const hooksSuffix = "-hooks.yml"

// Run checks everything, drafts the files, runs the SQL, gives the files their names, and says
// what to do next.
func (c Cmd) Run(a *cli.App) error {
	p := &plan{App: a, flags: c, file: cmp.Or(a.ConfigFile, config.DefaultFile)}
	if strings.HasPrefix(p.file, "-") {
		p.file = "./" + p.file // so that no printed command takes it for a flag
	}
	dir, name := filepath.Split(p.file)
	p.hooks = dir + cmp.Or(strings.TrimSuffix(name, filepath.Ext(name)), name) + hooksSuffix
	defer func() {
		p.removeDrafts()
		if p.system != nil {
			p.system.Close()
		}
	}()
	for _, step := range []func() error{p.mayWrite, p.readSecret, p.configure, p.connect, p.describe, p.check, p.survey, p.draft, p.sql, p.prove, p.place} {
		if err := step(); err != nil {
			return err
		}
	}
	return p.print()
}

// mayWrite refuses the names of init's other files, and files that are there already.
func (p *plan) mayWrite() error {
	secret, _ := os.Stat(p.secretFile())
	for _, path := range []string{p.file, p.hooks} {
		info, err := os.Stat(path)
		name := strings.ToLower(filepath.Base(path))
		switch {
		case name == secretName, err == nil && os.SameFile(info, secret):
			return cli.Usage(nothingWritten(fmt.Errorf("%s is the file of the secret", path), "give another name with --config FILE"))
		case path == p.file && strings.HasSuffix(name, hooksSuffix):
			return cli.Usage(nothingWritten(fmt.Errorf("--config %s: this is the name of a file with hooks", path), "leave out "+hooksSuffix))
		case err == nil && !info.Mode().IsRegular():
			return cli.Usage(nothingWritten(fmt.Errorf("%s is there already, and is no file", path), "give another name with --config FILE"))
		}
		if _, err := os.Lstat(path); err == nil && !p.flags.Force {
			return cli.Usage(cli.Hint(fmt.Errorf("%s is there already", path),
				"--force replaces the configuration and the hooks, but never the secret; --config FILE writes files with other names; symbolon doctor checks the existing configuration"))
		}
	}
	return nil
}

// print says what was written and which SQL there is, and, last, what to do next.
func (p *plan) print() error {
	var b strings.Builder
	fmt.Fprintf(&b, "wrote %s\nwrote %s: the hooks for Ory; they contain keys\n", p.file, p.hooks)
	command, conf, source := "symbolon", "", "in SYMBOLON_SECRET and was not written"
	if p.secret != "" {
		source = "in " + p.secretFile()
		command = "SYMBOLON_SECRET=$(cat " + shell(p.secretFile()) + ") symbolon"
	}
	fmt.Fprintf(&b, "the secret is %s: keep it, because no ID that Symbolon made can be verified without it\n", source)
	if p.file != config.DefaultFile {
		conf = " --config " + shell(p.file)
	}
	p.printSQL(&b)
	p.printRows(&b)
	p.printNext(&b, command, conf)
	_, err := io.WriteString(p.Out, b.String())
	return err
}

// printNext lists the next commands in the order in which they work.
func (p *plan) printNext(b *strings.Builder, command, conf string) {
	b.WriteString("\nnext:\n")
	admin := p.config.Ory.AdminURL != ""
	if p.unbound > 0 && admin { // symbolon adopt reads Symbolon's tables, which serve would make too late
		fmt.Fprintf(b, "  %s migrate%s\n  %s adopt%s\n", command, conf, command, conf)
	}
	fmt.Fprintf(b, "  %s serve%s\n", command, conf)
	if isNetwork(p.config.Ory.PublicURL) {
		fmt.Fprintf(b, "  %s actions print --for network%s > hooks.sh\n  PROJECT=your-project sh hooks.sh\n", command, conf)
	} else {
		fmt.Fprintf(b, "  kratos serve -c kratos.yml -c %s\n", shell(p.hooks))
	}
	live := ""
	if p.config.Users.CreateURL != "" {
		fmt.Fprintf(b, "  %s actions print --for create_url%s > app.env\n", command, conf)
	} else if admin {
		live = " --live" // it could not delete the user that an application makes, and it needs the admin API
	}
	fmt.Fprintf(b, "  %s doctor%s%s\n", command, live, conf)
}

// shell quotes a word for a POSIX shell, if necessary.
func shell(word string) string {
	if !strings.ContainsFunc(word, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-+:@%,", r)
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// printRows says what the rows need: columns that may hold the identity's ID, columns that may
// deny people, and an adoption.
func (p *plan) printRows(b *strings.Builder) {
	u := p.config.Users
	for _, column := range p.maybe {
		fmt.Fprintf(b, "%s.%s holds UUIDs: if it is Ory's identity ID, run init again with --force --identity %s", u.Table, column, shell(column))
		if len(p.ran) > 0 {
			fmt.Fprintf(b, ", and drop the new column %s", u.Identity)
		}
		b.WriteString("\n")
	}
	if p.state != "" {
		fmt.Fprintf(b, "%s has rows, so Symbolon does not write Ory's state into %s: it would let people in again whom your application has deactivated. If Ory is to decide, set users.columns in %s: %s: active\n",
			u.Table, p.state, p.file, p.state)
	}
	if len(p.denies) > 0 {
		fmt.Fprintf(b, "%s may say by itself that a person must not be let in. Symbolon reads that only if users.deny in %s says so: deny: {%s} (docs/deny.md)\n",
			u.Table, p.file, strings.Join(p.denies, ", "))
	}
	if p.config.Ory.AdminURL == "" && !p.given("ory.admin_url") {
		fmt.Fprintf(b, "%s has no ory.admin_url, because the public API is not on port 4433: without it symbolon adopt, reconcile and doctor --live do not work; run init again with --force --ory-admin-url URL\n", p.file)
	}
	if p.unbound > 0 {
		fmt.Fprintf(b, "%s has %s without an identity: until they are adopted, people who are at Ory already get no new user, because it may be their second (docs/already-have-users.md)\n",
			u.Table, cli.Count(p.unbound, "row"))
	}
}

func (p *plan) printSQL(b *strings.Builder) {
	table, first := p.config.Users.Table, "serve"
	if p.unbound > 0 {
		first = "adopt"
	}
	switch {
	case p.config.Users.CreateURL != "":
		b.WriteString("no SQL is needed: your application makes its users itself\n")
	case table == config.OwnTable:
		fmt.Fprintf(b, "no SQL is needed: symbolon serve makes %s itself\n", table)
	case len(p.ran) > 0:
		fmt.Fprintf(b, "this SQL was run on %s:\n", table)
	case len(p.todo) > 0:
		fmt.Fprintf(b, "run this SQL on %s before symbolon %s, statement by statement, outside of a transaction; or run init again with --apply --force:\n", table, first)
	default:
		fmt.Fprintf(b, "no SQL is needed: %s has its column and its unique index\n", table)
	}
	for _, text := range append(p.ran, p.todo...) {
		fmt.Fprintf(b, "  %s;\n", text)
	}
	if p.proven {
		fmt.Fprintf(b, "%s took a row, which was rolled back; it took a number from a sequence and ran triggers, if there are any\n", table)
	}
}
