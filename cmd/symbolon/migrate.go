package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
)

type migrateCmd struct {
	RenamedTable bool `help:"You renamed your users table, or moved it to another schema: record users.table as the table that the ledger of ory.project belongs to."`
}

func (migrateCmd) Help() string {
	return `Makes Symbolon's own tables, or brings them up to date. Your own users table is never changed. serve does the same when it starts. If serve's database user may not make tables, run this command beforehand as another database user.

	symbolon migrate --config /etc/symbolon.yaml
	symbolon migrate --renamed-table            # after "alter table people rename to members" and users.table: members`
}

// Run migrates.
func (c migrateCmd) Run(a *cli.App) error {
	config, err := system.Configure(a)
	if err != nil {
		return err
	}
	from, to, err := system.Migrate(a.Ctx, config)
	switch {
	case err != nil:
		return err
	case from == to:
		_, err = fmt.Fprintf(a.Out, "the database is up to date at version %d\n", to)
	case from == 0:
		_, err = fmt.Fprintf(a.Out, "the tables were made, version %d\n", to)
	default:
		_, err = fmt.Fprintf(a.Out, "the database was migrated from version %d to %d\n", from, to)
	}
	if err != nil || !c.RenamedTable {
		return err
	}
	return takeTable(a, config)
}

// takeTable records the users table after it was renamed.
func takeTable(a *cli.App, conf *config.Config) error {
	s, err := system.Connect(a.Ctx, conf, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer s.Close()
	before, err := s.Store.TakeTable(a.Ctx, conf.Ory.Project)
	switch {
	case errors.Is(err, symbolon.ErrNotFound):
		return cli.Usage(cli.Hint(err, "set users.table to a table that exists; before the first start nothing is recorded"))
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(a.Out, "the ledger of project %s belongs to the users table %s now; before: %s\n", conf.Ory.Project, conf.Users.Table, cmp.Or(before, "not recorded"))
	return err
}
