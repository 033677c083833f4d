package main

import (
	"fmt"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
)

type migrateCmd struct{}

func (migrateCmd) Help() string {
	return `Makes Symbolon's own tables, or brings them up to date. Your own users table is never changed. serve does the same when it starts. If serve's database user may not make tables, run this command beforehand as another database user.

	symbolon migrate --config /etc/symbolon.yaml`
}

// Run migrates.
func (migrateCmd) Run(a *cli.App) error {
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
	return err
}
