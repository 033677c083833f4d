package setup

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// check refuses everything that serve would refuse, except the faults that the SQL repairs.
func (p *plan) check() error {
	if err := p.config.Check(); err != nil {
		return nothingWritten(err)
	}
	if err := system.Actions(p.config).Check(); err != nil {
		return cli.Usage(nothingWritten(err))
	}
	if p.system == nil {
		return nil // a new database has Symbolon's own table
	}
	faults, err := p.left()
	if err != nil {
		return err
	}
	if len(faults) > 0 {
		return cli.Usage(nothingWritten(errors.Join(faults...), "alter the table, or use --column, --id, --identity or --new-id"))
	}
	kept, err := p.keptValues()
	if err != nil || len(kept) == 0 {
		return err
	}
	return cli.Usage(nothingWritten(fmt.Errorf("the row of a deleted identity would keep its unique %s, so that the next sign-up with the same value gets no row", strings.Join(kept, ", ")),
		fmt.Sprintf("add --release-columns %s, or --on-identity-deleted delete", shell(strings.Join(append(p.config.Users.ReleaseColumns, kept...), ",")))))
}

// left are the faults of the table that neither the SQL nor a migration can repair.
func (p *plan) left() (left []error, err error) {
	faults, err := p.system.Store.Examine(p.Ctx)
	if err != nil {
		return nil, err
	}
	u := p.config.Users
	for _, err := range faults {
		f, ok := errors.AsType[*sqlstore.Fault](err)
		repaired := ok && (f.Kind == sqlstore.NoLayout && !strings.Contains(f.Fix, "upgrade") ||
			f.Kind == sqlstore.NoTable && u.Table == config.OwnTable ||
			f.Column == u.Identity && (f.Kind == sqlstore.NoColumn || f.Kind == sqlstore.NotUnique || f.Kind == sqlstore.Spelling))
		if !repaired {
			left = append(left, err)
		}
	}
	return left, nil
}

// survey looks at the rows that exist.
func (p *plan) survey() (err error) {
	u := p.config.Users
	if p.system == nil || u.CreateURL != "" || u.Table == config.OwnTable {
		return nil
	}
	if p.unbound, err = p.system.Store.CountUnbound(p.Ctx); err != nil {
		return nothingWritten(err)
	}
	var found []string
	for _, column := range p.maybe {
		values, err := p.system.Store.Sample(p.Ctx, column)
		if err != nil {
			return nothingWritten(err)
		}
		isUUID := func(value string) bool { _, err := symbolon.ParseIdentityID(value); return err == nil }
		if len(values) > 0 && !slices.ContainsFunc(values, func(value string) bool { return !isUUID(value) }) {
			found = append(found, column)
		}
	}
	p.maybe = found
	return nil
}

// sql plans the SQL for the table, and runs it with --apply.
func (p *plan) sql() (err error) {
	if p.system == nil || p.config.Users.Table == config.OwnTable {
		return nil // Symbolon's own migration makes it whole
	}
	if p.todo, err = p.system.Store.IdentityColumn(p.Ctx); err == nil && p.flags.Apply {
		p.ran, err = p.system.Store.AddIdentityColumn(p.Ctx)
		p.todo = slices.DeleteFunc(p.todo, func(text string) bool { return slices.Contains(p.ran, text) })
	}
	var doubled *sqlstore.DoubledError
	switch {
	case errors.As(err, &doubled):
		return nothingWritten(err, "leave each identity's ID only in the row of its user, set it to null in the other rows, and run this again")
	case errors.Is(err, sqlstore.ErrTableBusy):
		return nothingWritten(err, "run this again when the table is less busy")
	case err != nil:
		return p.stopped(err, "remove the cause and run this again, which runs the rest; without --apply the SQL is printed, and somebody else may run it")
	}
	return nil
}

// prove inserts a row and rolls it back, with --apply, if the catalogue cannot tell whether the
// table takes new rows.
func (p *plan) prove() error {
	if p.system == nil || !p.flags.Apply || p.config.Users.Table == config.OwnTable || p.config.Users.CreateURL != "" {
		return nil
	}
	s := *p.system
	s.Store = system.NewStore(p.config, s.DB, s.Store.Dialect) // it reads the table as it is now
	table := system.UsersTable{System: &s}
	doubts, err := table.Doubts(p.Ctx)
	if err != nil || len(doubts) == 0 {
		return err
	}
	proof, err := table.Prove(p.Ctx, json.RawMessage(`{"email":"`+strings.ToLower(rand.Text())+`@doctor.invalid"}`))
	switch {
	case err != nil:
		return p.stopped(err, "run this again")
	case proof.Refused == "":
		p.proven = true
	case len(proof.Sampled) == 0:
		return p.stopped(fmt.Errorf("%s; the table refused a row, which was rolled back: %s", strings.Join(doubts, "; "), proof.Refused), "alter the table, or use --column or --new-id")
	}
	return nil
}

// stopped adds a hint to an error. The hint lists the statements that were run and the statements
// that were not, and says what to do. The statements have no transaction around them, because
// Postgres builds an index concurrently only outside of a transaction.
func (p *plan) stopped(err error, advice string) error {
	if !p.flags.Apply || len(p.ran)+len(p.todo) == 0 {
		return nothingWritten(err, advice)
	}
	list := func(sql []string) string { return cmp.Or(strings.Join(sql, "; "), "none") }
	return cli.Hint(err, "no file was written; SQL that was run on %s and stays: %s; SQL that failed or was not begun: %s; %s",
		p.config.Users.Table, list(p.ran), list(p.todo), advice)
}
