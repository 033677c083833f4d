package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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

// configure takes what the environment and the flags say.
func (p *plan) configure() (err error) {
	if p.config, err = config.FromEnvironment(p.Env); err != nil {
		return nothingWritten(err)
	}
	c, u, f := p.config, &p.config.Users, p.flags
	c.Secret = config.Hidden(p.theSecret())
	for _, flag := range []struct {
		to    *string
		value string
	}{
		{(*string)(&c.Database), f.Database}, {&c.Ory.PublicURL, f.OryPublicURL}, {&c.Ory.AdminURL, f.OryAdminURL}, {&c.Serve.URL, f.URL},
		{&u.Table, f.Table}, {&u.ID, f.ID}, {&u.Identity, f.Identity}, {(*string)(&u.NewID), f.NewID}, {&u.CreateURL, f.CreateURL},
		{(*string)(&u.OnIdentityDeleted), f.OnIdentityDeleted},
	} {
		if flag.value != "" {
			*flag.to = flag.value
		}
	}
	switch c.Ory.AdminURL {
	case "":
		c.Ory.AdminURL = adminOf(c.Ory.PublicURL)
	case none:
		c.Ory.AdminURL = ""
	}
	if f.ReleaseColumns != nil {
		u.ReleaseColumns = slices.DeleteFunc(slices.Clone(f.ReleaseColumns), func(column string) bool { return column == none })
	}
	if f.AnonymiseColumns != nil {
		u.AnonymiseColumns = f.AnonymiseColumns
	}
	if err := p.columns(); err != nil {
		return err
	}
	return p.withoutTable()
}

// adminOf guesses the admin API: Ory Network has one address for both, Kratos the next port.
func adminOf(public string) string {
	if strings.Contains(public, ".oryapis.com") {
		return public
	}
	if base, ok := strings.CutSuffix(strings.TrimSuffix(public, "/"), ":4433"); ok {
		return base + ":4434"
	}
	return ""
}

func (p *plan) columns() error {
	if len(p.flags.Column) == 0 {
		return nil
	}
	columns := map[string]string{}
	for _, c := range p.flags.Column {
		column, expression, ok := strings.Cut(c, "=")
		switch {
		case ok:
			columns[column] = expression
		case c != none || len(p.flags.Column) > 1:
			return cli.Usage(fmt.Errorf("--column %s: it must be NAME=PATH, as email=traits.email, or none", cli.Plain(c)))
		}
	}
	p.config.Users.Columns = columns
	return nil
}

// withoutTable refuses flags that describe a users table beside an application that makes
// its users itself.
func (p *plan) withoutTable() error {
	f := p.flags
	if p.config.Users.CreateURL == "" {
		return nil
	}
	for flag, given := range map[string]bool{"table": f.Table != "", "id": f.ID != "", "identity": f.Identity != "", "new-id": f.NewID != "", "apply": f.Apply,
		"on-identity-deleted": f.OnIdentityDeleted != "", "release-columns": f.ReleaseColumns != nil, "anonymise-columns": f.AnonymiseColumns != nil} {
		if given {
			return cli.Usage(fmt.Errorf("--%s is of no use with --create-url: Symbolon writes no users table then", flag))
		}
	}
	return nil
}

// connect opens the database, unless it is a file that is still to be made.
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

// describe completes what neither flags nor the environment say, by the users table.
func (p *plan) describe() error {
	u := &p.config.Users
	if u.CreateURL == "" && u.Table != config.OwnTable {
		table, err := p.table()
		if err != nil {
			return err
		}
		p.propose(table)
	}
	p.config.Complete()
	if p.system == nil {
		return nil
	}
	p.system.Store = system.NewStore(p.config, p.system.DB, p.system.Store.Dialect)
	stuck, err := p.stuck()
	if p.flags.ReleaseColumns == nil {
		u.ReleaseColumns = append(u.ReleaseColumns, stuck...)
	}
	return err
}

func (p *plan) table() (sqlstore.Table, error) {
	name := p.config.Users.Table
	if p.system == nil {
		return sqlstore.Table{}, cli.Usage(nothingWritten(fmt.Errorf("there is no database yet that could have the table %s", cli.Plain(name))))
	}
	tables, err := sqlstore.Tables(p.Ctx, p.system.DB, p.system.Store.Dialect)
	if err != nil {
		return sqlstore.Table{}, err
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

// stuck are the unique columns that the row of a deleted identity would keep.
func (p *plan) stuck() ([]string, error) {
	unique, err := system.UsersTable{System: p.system}.UniqueColumns(p.Ctx)
	u := p.config.Users
	return doctor.Stuck(u.OnIdentityDeleted, unique, u.ReleaseColumns, u.AnonymiseColumns), err
}
