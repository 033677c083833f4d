package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// Check says what is missing or wrong before the first person comes: in the
// description of the users table, in the table itself, and in Symbolon's own. It
// reports everything it finds, one sentence each, and nil where all is well.
// Programs call it when they start. It reads only.
func (s *Store) Check(ctx context.Context) error {
	if err := s.setup(); err != nil {
		return err
	}
	t, err := readTable(ctx, s.DB, s.Dialect, s.users().parts())
	if err != nil {
		return unavailable("read the shape of table "+s.users().table(), err)
	}
	_, faults := fitUsers(s.users(), s.Dialect, t)
	faults = append(faults, s.checkKey(t)...)
	faults = append(faults, s.checkIdentity(t)...)
	faults = append(faults, s.checkOthers(t)...)
	layout, err := s.checkLayout(ctx)
	if err != nil {
		return err
	}
	if len(layout)+len(faults) == 0 {
		return s.checkStrangers(ctx)
	}
	return errors.Join(append(layout, faults...)...)
}

// checkKey asks whether the key can take the IDs that it will be given.
func (s *Store) checkKey(t table) (faults []error) {
	u := s.users()
	c, ok := t.columns[u.id()]
	if !ok || !c.kind.key() {
		return nil // said already
	}
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("sqlstore: column %s.%s: "+format, append([]any{u.table(), u.id()}, args...)...))
	}
	if !slices.Contains(t.unique, c.name) {
		fault("a key must be unique: make it the primary key or give it a unique index")
	}
	switch u.newID() {
	case ByDatabase:
		if !c.preset && t.rowid != c.name {
			fault("new_id database needs a key that fills itself: a serial, an identity or a default, or set new_id to uuidv7")
		}
	case ByMint, ByIdentity:
		if c.kind.integer() {
			fault("new_id %s makes UUIDs, which type %s cannot hold: set new_id to database", u.newID(), c.declared)
		}
		if c.generated {
			fault("it is generated and cannot be given an ID: set new_id to database")
		}
	}
	return faults
}

// checkIdentity asks whether the identity column can hold each identity once, and
// none.
func (s *Store) checkIdentity(t table) (faults []error) {
	u := s.users()
	c, ok := t.columns[u.identity()]
	if !ok {
		return nil // said already
	}
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("sqlstore: column %s.%s: "+format, append([]any{u.table(), u.identity()}, args...)...))
	}
	if c.kind != text && c.kind != uuid {
		fault("type %s cannot hold an Ory identity's ID: make it uuid or text", c.declared)
	}
	if !slices.Contains(t.unique, c.name) {
		fault("it has no unique index, so that one identity could have two users: create unique index on %s (%s), without a condition",
			u.parts(), quote(c.name))
	}
	if c.notNull && !u.one() {
		fault("it must allow null: a user whose identity was taken away has none")
	}
	if c.generated {
		fault("it is generated and cannot be written")
	}
	return faults
}

// checkOthers finds the columns that no new row could do without.
func (s *Store) checkOthers(t table) (faults []error) {
	u := s.users()
	if t.columns[u.id()].name == "" || t.columns[u.identity()].name == "" {
		return nil // said already
	}
	projections, _ := symbolon.ParseProjections(u.columns())
	fills := map[string]bool{u.id(): true, u.identity(): true}
	for _, p := range projections {
		fills[p.Column] = p.Path != "" || p.Literal != nil
	}
	for name, c := range t.columns {
		if c.notNull && !c.preset && !c.generated && !fills[name] {
			faults = append(faults, fmt.Errorf(
				"sqlstore: column %s.%s is not null and has no default: give it one, or fill it in users.columns, from a path or with a constant", u.table(), name))
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return faults
}

// checkLayout compares Symbolon's own tables with the migrations.
func (s *Store) checkLayout(ctx context.Context) ([]error, error) {
	own, err := readTable(ctx, s.DB, s.Dialect, layoutTable(s.Dialect))
	if err != nil {
		return nil, unavailable("read the shape of Symbolon's tables", err)
	}
	if len(own.columns) == 0 {
		return []error{errors.New("sqlstore: Symbolon's tables are missing: run its migrations (symbolon migrate, or migrate.Up)")}, nil
	}
	var have int
	if err := s.DB.QueryRowContext(ctx, s.sql.fill(layoutVersion)).Scan(&have); err != nil {
		return nil, unavailable("read the version of Symbolon's tables", err)
	}
	switch want := newestMigration(s.Dialect); {
	case have < want:
		return []error{fmt.Errorf("sqlstore: Symbolon's tables are at version %d of %d: run its migrations (symbolon migrate, or migrate.Up)", have, want)}, nil
	case have > want:
		return []error{fmt.Errorf("sqlstore: Symbolon's tables are at version %d, but this program knows only %d: upgrade the program", have, want)}, nil
	}
	return nil, nil
}

func layoutTable(d Dialect) tableName {
	if d == SQLite {
		return tableName{table: "symbolon_layout"}
	}
	return tableName{schema: "symbolon", table: "layout"}
}

// newestMigration is the number of the last file.
func newestMigration(d Dialect) (n int) {
	files, _ := fs.ReadDir(Migrations, string(d)) // embedded
	for _, f := range files {
		number, _, _ := strings.Cut(f.Name(), "_")
		if i, err := strconv.Atoi(number); err == nil {
			n = max(n, i)
		}
	}
	return n
}
