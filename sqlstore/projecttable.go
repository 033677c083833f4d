package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// A ledger names users by the keys of one users table. With another table the keys would mean
// other people, or nobody. So the ledger records the table of each project, and a program with
// another table does not start.

const (
	tableOfProject = `select users_table from symbolon.starts where project = $1`
	recordTable    = `update symbolon.starts set users_table = $1 where project = $2`

	// resolveTable is the table that Postgres finds by a name, with its schema.
	resolveTable = `
select quote_ident(n.nspname) || '.' || quote_ident(c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass(cast($1 as text))`
)

// CheckProject returns a *[Fault] of kind OtherTable if the links of a project belong to
// another users table. Begin does the same. CheckProject only reads. It returns nil if the
// project has not started yet, or if the ledger is older than the record.
func (s *Store) CheckProject(ctx context.Context, project string) error {
	if project == "" {
		return errNoProject
	}
	if err := s.setup(); err != nil {
		return err
	}
	if faults, err := s.checkLayout(ctx); err != nil || len(faults) > 0 {
		return err // Check reports the faults
	}
	_, err := retryRead(ctx, s, "read the project's users table", func(waiting context.Context) (bool, error) {
		_, err := s.compareTable(waiting, session{store: s}, project)
		return true, err
	})
	return asOtherTable(err)
}

// OwnTable is CheckProject for a program that is going to write. While the project has no
// entry, the record of an earlier start may be another table, for example the default table
// of a first try. OwnTable then records this one, as Begin does.
func (s *Store) OwnTable(ctx context.Context, project string) error {
	if err := s.CheckProject(ctx, project); err != nil {
		return err
	}
	if faults, err := s.checkLayout(ctx); err != nil || len(faults) > 0 {
		return err
	}
	recorded, err := readAll(ctx, s, "read the project's users table", tableOfProject, []any{project}, scanOne[string])
	if err != nil || len(recorded) == 0 || recorded[0] == "" { // the next start records it
		return err
	}
	now, err := s.tableInUse(ctx, session{store: s})
	if err != nil || now == "" || now == recorded[0] {
		return err
	}
	return asOtherTable(s.inTx(ctx, "record the users table", func(ctx context.Context, db session) error {
		return s.ownTable(ctx, db, project)
	}))
}

// asOtherTable returns the fault in an error without what was added to it. The fault is the
// answer of the database, and not an outage.
func asOtherTable(err error) error {
	if f, ok := errors.AsType[*Fault](err); ok && f.Kind == OtherTable {
		return f
	}
	return err
}

// TakeTable records that the links of a project belong to the users table of the field Users.
// Call it after the table was renamed or moved to another schema. It returns the table that
// was recorded before. If the project has not started yet, it returns ErrNotFound.
func (s *Store) TakeTable(ctx context.Context, project string) (before string, err error) {
	if project == "" {
		return "", errNoProject
	}
	if err := s.setup(); err != nil {
		return "", err
	}
	err = s.inTx(ctx, "record the users table", func(ctx context.Context, db session) error {
		now, err := s.tableInUse(ctx, db)
		if err != nil {
			return err
		}
		if now == "" {
			return notFound("there is no table " + s.users().table())
		}
		recorded, err := collect(ctx, db.query, tableOfProject, []any{project}, scanOne[string])
		switch {
		case err != nil:
			return err
		case len(recorded) == 0:
			return notFound("the project has not started yet")
		}
		before = recorded[0]
		return db.change(ctx, recordTable, now, project)
	})
	return before, err
}

// ownTable records the users table of a project if there is no other record. If there is
// another record and the project has links, it returns a *Fault.
func (s *Store) ownTable(ctx context.Context, db session, project string) error {
	now, err := s.compareTable(ctx, db, project)
	if err != nil || now == "" {
		return err
	}
	_, err = db.exec(ctx, recordTable, now, project)
	return err
}

// compareTable returns the name to record, or "" if it is recorded already.
func (s *Store) compareTable(ctx context.Context, db session, project string) (record string, err error) {
	recorded, err := collect(ctx, db.query, tableOfProject, []any{project}, scanOne[string])
	if err != nil || len(recorded) == 0 {
		return "", err
	}
	now, err := s.tableInUse(ctx, db)
	if err != nil || now == "" || recorded[0] == now {
		return "", err
	}
	if recorded[0] != "" {
		if used, err := scanOne[bool](db.queryRow(ctx, hasLinks, project)); err != nil {
			return "", err
		} else if used {
			return "", otherTable(project, recorded[0], now)
		}
	}
	return now, nil
}

// tableInUse is the users table with its schema; "": there is none, which Check reports.
func (s *Store) tableInUse(ctx context.Context, db session) (string, error) {
	name := s.users().parts()
	if s.Dialect == SQLite {
		return strings.ToLower(name.sqliteSchema() + "." + name.table), nil
	}
	found, err := collect(ctx, db.query, resolveTable, []any{name.String()}, scanOne[string])
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0], nil
}

func otherTable(project, recorded, now string) error {
	return &Fault{Kind: OtherTable, Is: fmt.Sprintf("the links of project %s belong to the users table %s, and this program uses %s", project, recorded, now),
		Fix: fmt.Sprintf("if %s is the table of another service, give that service an ory.project of its own, or a database of its own; if %s was renamed to %s, run symbolon migrate --renamed-table, or Store.TakeTable",
			now, recorded, now)}
}
