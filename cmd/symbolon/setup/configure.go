package setup

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/doctor"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// none is the value of a flag that leaves something out.
const none = "none"

// nothingWritten adds to an error that no file was written, and what to do about it.
func nothingWritten(err error, advice ...string) error {
	return cli.Hint(err, "%s", strings.Join(append([]string{"nothing was written"}, advice...), "; "))
}

// configure makes the configuration of the environment and the flags.
func (p *plan) configure() (err error) {
	f := p.flags
	columns, err := f.columns()
	if err != nil {
		return err
	}
	table := map[string]string{"users.table": f.Table, "users.id": f.ID, "users.identity": f.Identity, "users.new_id": f.NewID,
		"users.on_identity_deleted": f.OnIdentityDeleted, "users.release_columns": strings.Join(f.ReleaseColumns, ","),
		"users.anonymise_columns": strings.Join(f.AnonymiseColumns, ",")}
	for path, value := range table {
		if cmp.Or(f.CreateURL, p.Env[config.EnvName("users.create_url")]) != "" && (value != "" || f.Apply) {
			return cli.Usage(fmt.Errorf("--create-url: leave out --apply and the flags of a users table, such as the flag for %s: Symbolon writes no users table then", path))
		}
	}
	maps.Copy(table, map[string]string{"secret": p.secret, "database": f.Database, "ory.public_url": f.OryPublicURL, "ory.admin_url": f.OryAdminURL,
		"serve.url": f.URL, "users.create_url": f.CreateURL, "users.columns": columns})
	p.env = config.Environ{}
	maps.Copy(p.env, p.Env)
	for path, value := range table {
		if value != "" {
			p.env[config.EnvName(path)] = value
		}
	}
	if p.config, err = config.FromEnvironment(p.env); err != nil {
		return nothingWritten(err)
	}
	c := p.config
	switch c.Ory.AdminURL {
	case "":
		c.Ory.AdminURL = adminOf(c.Ory.PublicURL)
	case none:
		c.Ory.AdminURL = ""
	}
	c.Users.ReleaseColumns = slices.DeleteFunc(c.Users.ReleaseColumns, func(column string) bool { return column == none })
	return nil
}

// isNetwork reports whether a URL is one of Ory Network.
func isNetwork(url string) bool { return strings.Contains(url, ".oryapis.com") }

// adminOf guesses the admin API. Ory Network has one address for both APIs, and Kratos
// serves the admin API on the next port.
func adminOf(public string) string {
	if isNetwork(public) {
		return public
	}
	if base, ok := strings.CutSuffix(strings.TrimSuffix(public, "/"), ":4433"); ok {
		return base + ":4434"
	}
	return ""
}

// columns is users.columns as a JSON object, or empty without the flag.
func (f Cmd) columns() (string, error) {
	columns := map[string]string{}
	for _, c := range f.Column {
		column, expression, ok := strings.Cut(c, "=")
		switch {
		case ok:
			columns[column] = expression
		case c != none || len(f.Column) > 1:
			return "", cli.Usage(fmt.Errorf("--column %s: it must be NAME=PATH, such as email=traits.email, or the word none", cli.Plain(c)))
		}
	}
	if len(f.Column) == 0 {
		return "", nil
	}
	text, err := json.Marshal(columns)
	return string(text), err
}

// connect opens the database, unless it is a file that does not exist yet.
func (p *plan) connect() (err error) {
	if err := p.config.CheckDatabase(); err != nil {
		return nothingWritten(err)
	}
	if path, ok := p.config.SQLitePath(); ok {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	p.system, err = system.Connect(p.Ctx, p.config, slog.New(slog.DiscardHandler))
	return err
}

// describe sets the keys that neither a flag nor a variable sets, by looking at the users
// table.
func (p *plan) describe() error {
	u := &p.config.Users
	if u.CreateURL == "" && u.Table != config.OwnTable {
		table, err := p.table()
		if err != nil {
			return err
		}
		p.propose(table)
		if _, exists := table.Column(u.Identity); !exists && !p.given("users.identity") {
			p.maybe = maybeIdentities(table)
		}
	}
	p.config.Complete()
	if p.system == nil {
		return nil
	}
	p.system.Store = system.NewStore(p.config, p.system.DB, p.system.Store.Dialect)
	kept, err := p.keptValues()
	if !p.given("users.release_columns") {
		u.ReleaseColumns = kept
	}
	return err
}

// given reports whether a flag or a variable sets a key.
func (p *plan) given(path string) bool { return p.env[config.EnvName(path)] != "" }

func (p *plan) table() (sqlstore.Table, error) {
	name := p.config.Users.Table
	if p.system == nil {
		return sqlstore.Table{}, cli.Usage(nothingWritten(fmt.Errorf("there is no table %s, because the database does not exist yet", cli.Plain(name))))
	}
	tables, err := sqlstore.Tables(p.Ctx, p.system.DB, p.system.Store.Dialect)
	if err != nil {
		return sqlstore.Table{}, err
	}
	if t, err := sqlstore.Describe(p.Ctx, p.system.DB, p.system.Store.Dialect, name); err == nil && t.Is != "" {
		return sqlstore.Table{}, cli.Usage(nothingWritten(fmt.Errorf("%s is %s", cli.Plain(name), t.Is), t.Instead))
	}
	var names []string
	for _, t := range tables {
		if t.Name == name {
			return t, nil
		}
		names = append(names, t.Name)
	}
	return sqlstore.Table{}, cli.Usage(nothingWritten(fmt.Errorf("there is no table %s; there are: %s", cli.Plain(name), strings.Join(names, ", "))))
}

// keptValues are the unique columns whose values the row of a deleted identity would keep.
func (p *plan) keptValues() ([]string, error) {
	unique, err := system.UsersTable{System: p.system}.UniqueColumns(p.Ctx)
	u := p.config.Users
	return doctor.Stuck(u.OnIdentityDeleted, unique, u.ReleaseColumns), err
}
