package setup

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// check refuses what serve would refuse: every fault that the SQL does not repair.
func (p *plan) check() error {
	if err := p.config.Check(); err != nil {
		return nothingWritten(err)
	}
	p.actions = system.Actions(p.config)
	p.actions.WithoutReserve = p.flags.WithoutReserve
	if p.flags.KratosConfig != "" {
		present, err := os.ReadFile(p.flags.KratosConfig)
		if err != nil {
			return cli.Usage(nothingWritten(fmt.Errorf("read the Kratos configuration: %w", err)))
		}
		p.actions.Existing = present
	}
	if err := p.actions.Check(); err != nil {
		return cli.Usage(nothingWritten(err))
	}
	if p.system == nil {
		return nil // a database that is still to be made has Symbolon's own table
	}
	faults, err := p.left()
	if err != nil {
		return err
	}
	if len(faults) > 0 {
		return cli.Usage(nothingWritten(errors.Join(faults...), "alter the table, or say otherwise: --column, --id, --identity, --new-id"))
	}
	stuck, err := p.stuck()
	if err != nil || len(stuck) == 0 {
		return err
	}
	return cli.Usage(nothingWritten(fmt.Errorf("the row of a deleted identity would keep its unique %s, so that the next who signs up with it gets none", strings.Join(stuck, ", ")),
		fmt.Sprintf("add --release-columns %s, or --on-identity-deleted delete", strings.Join(append(p.config.Users.ReleaseColumns, stuck...), ","))))
}

// left are the faults of the table that neither the SQL nor a migration repairs.
func (p *plan) left() (left []error, err error) {
	faults, err := p.system.Store.Examine(p.Ctx)
	if err != nil {
		return nil, err
	}
	u := p.config.Users
	for _, err := range faults {
		var f *sqlstore.Fault
		switch {
		case errors.As(err, &f) && f.Kind == sqlstore.NoLayout && !strings.Contains(f.Fix, "upgrade"):
		case f != nil && f.Kind == sqlstore.NoTable && u.Table == config.OwnTable:
		case f != nil && f.Column == u.Identity && (f.Kind == sqlstore.NoColumn || f.Kind == sqlstore.NotUnique):
		default:
			left = append(left, err)
		}
	}
	return left, nil
}

// sql plans the change of the table, and makes it where that was asked for.
func (p *plan) sql() (err error) {
	if p.system == nil || p.config.Users.Table == config.OwnTable {
		return nil // Symbolon's own migration makes it whole
	}
	if p.todo, err = p.system.Store.IdentityColumn(p.Ctx); err == nil && len(p.todo) > 0 && p.flags.Apply {
		p.ran, err = p.system.Store.AddIdentityColumn(p.Ctx)
		p.todo = nil
	}
	var doubled *sqlstore.DoubledError
	switch {
	case errors.As(err, &doubled):
		return nothingWritten(err, "leave each identity in the one row that is its user's, empty it in the others, and run this again")
	case errors.Is(err, sqlstore.ErrTableBusy):
		return nothingWritten(err, "run this again when it is quiet")
	case err != nil:
		return nothingWritten(err, "without --apply the SQL is printed for somebody who may run it")
	}
	return nil
}
