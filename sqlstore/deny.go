package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon/internal/condition"
)

// The application denies its users by conditions on their rows. The database judges a row in
// the statement that reads it anyway, so a denial costs no round trip, and the answer can
// never be older than the row's own reading. A column that is missing, has another type or
// may not be read fails the whole statement, which is "don't know".
//
// SQLite stores any value in any column. There a value of another kind than the condition
// needs is "don't know", too: the text 'true' in a boolean column is not false.

// Denies reports whether the application may deny users by Users.Deny.
func (s *Store) Denies() bool { return len(s.Users.Deny) > 0 }

// denial says what the conditions say about a row.
type denial struct {
	code  string // of the condition that the row meets; empty: none
	odd   string // the column whose value cannot be judged; empty: none
	shown bool   // the row is only shown, so that a value that cannot be judged is no error
}

// unreadable marks the name of a column whose value cannot be judged.
const unreadable = "!"

// Scan reads the result of Users.denied.
func (d *denial) Scan(src any) error {
	text := ""
	switch v := src.(type) {
	case nil:
	case string:
		text = v
	case []byte:
		text = string(v)
	default:
		return fmt.Errorf("%T is not the code of a condition", src)
	}
	d.code, d.odd = text, ""
	column, odd := strings.CutPrefix(text, unreadable)
	if !odd {
		return nil
	}
	if d.code, d.odd = "", column; !d.shown {
		return fmt.Errorf("users.deny: column %s of the row holds a value of another type than its condition needs, so nobody knows whether the person is denied: correct the value", column)
	}
	return nil
}

// codes are the codes of the conditions, in the order in which they are judged.
func (u Users) codes() []string { return slices.Sorted(maps.Keys(u.Deny)) }

// checkDeny returns the errors in the codes and in the texts of the conditions.
func (u Users) checkDeny() (faults []error) {
	for _, code := range u.codes() {
		if err := condition.CheckCode(code); err != nil {
			faults = append(faults, fmt.Errorf("deny %q: %w", clip(code), err))
		}
		if _, err := condition.Parse(u.Deny[code]); err != nil {
			faults = append(faults, fmt.Errorf("deny %s: %q: %w", clip(code), clip(u.Deny[code]), err))
		}
	}
	return faults
}

// denied is the SQL of the code of the first condition that the row with the alias meets. It
// is null if the row meets none.
func (u Users) denied(dialect Dialect, alias string) string {
	if len(u.Deny) == 0 {
		return "null"
	}
	var odd, met strings.Builder
	for _, code := range u.codes() {
		c, _ := condition.Parse(u.Deny[code])
		for _, use := range c.Uses() {
			if types := sqliteTypes[use.Kind]; dialect == SQLite && types != "" {
				odd.WriteString(" when typeof(" + alias + "." + quote(use.Column) + ") not in (" + types + ") then '" + unreadable + use.Column + "'")
			}
		}
		met.WriteString(" when " + c.SQL(alias) + " then '" + code + "'")
	}
	return "case" + odd.String() + met.String() + " end"
}

// sqliteTypes are the types of values that SQLite compares as the condition means it.
var sqliteTypes = map[condition.Kind]string{
	condition.Boolean: "'integer', 'null'",
	condition.Number:  "'integer', 'real', 'null'",
	condition.Text:    "'text', 'null'",
}

// deniedBond is denied for the row of the identity $3.
func (u Users) deniedBond(dialect Dialect) string {
	if len(u.Deny) == 0 {
		return "null"
	}
	return "(select " + u.denied(dialect, "u") + " from " + u.parts().String() + " u where u." + quote(u.identity()) + " = $3)"
}

// fitDeny checks the columns of the conditions.
func (u Users) fitDeny(dialect Dialect, t table) (faults []error) {
	var missing []string
	for _, code := range u.codes() {
		c, _ := condition.Parse(u.Deny[code])
		for _, use := range c.Uses() {
			column, ok := t.columns[use.Column]
			if !ok {
				if !slices.Contains(missing, use.Column) {
					missing = append(missing, use.Column)
					faults = append(faults, &Fault{Kind: NoColumn, Column: use.Column,
						Is:  "table " + u.table() + " has no column " + use.Column + ", which the condition users.deny." + code + " reads",
						Fix: "add it, or correct the condition"})
				}
				continue
			}
			if fix := misfit(dialect, use.Kind, column.kind); fix != "" {
				faults = append(faults, u.faultOf(WrongType, use.Column, "is of type "+column.declared+", which does not fit the condition users.deny."+code, "%s", fix))
			}
		}
	}
	return faults
}

// misfit says how to correct a test that does not fit the column's type. It returns "" if the
// test fits.
func misfit(dialect Dialect, use condition.Kind, k kind) string {
	number := k.integer() || k == float
	switch {
	case use == condition.Boolean && k != boolean && (dialect != SQLite || !k.integer()):
		return "compare it with a value of its type, write is null or is not null, or make it a boolean"
	case use == condition.Number && !number && (dialect != SQLite || k != boolean):
		return "compare it with a value of its type, or write is null or is not null"
	case use == condition.Text && (number || k == boolean || k == jsonDoc):
		return "compare it with a value of its type, or write is null or is not null"
	}
	return ""
}

// probeDeny runs the conditions once, over no row. It finds what the types do not show: a
// value that an enum does not have, and a column that the database user may not read.
func (s *Store) probeDeny(ctx context.Context) ([]error, error) {
	if !s.Denies() {
		return nil, nil
	}
	var none denial
	err := s.DB.QueryRowContext(ctx, s.sql.fill(`select {denied u} from {users} u where 1 = 0`)).Scan(&none)
	const noRight = "42501"
	switch state := sqlState(err); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case state == noRight:
		return []error{&Fault{Kind: Forbidden, Is: "the database user may not read a column that users.deny needs",
			Fix: "grant select on " + s.users().parts().String() + " to the database user"}}, nil
	case gone(err) || broken(err) || s.Dialect.outage(err):
		return nil, unavailable("try the conditions of users.deny", err)
	}
	return s.misjudged(ctx, err)
}

// misjudged finds the conditions that the database cannot judge. all is its error about all of
// them together.
func (s *Store) misjudged(ctx context.Context, all error) (faults []error, err error) {
	const fix = "compare each column with values of its type; an enum must have the value"
	u := s.users()
	for _, code := range u.codes() {
		c, _ := condition.Parse(u.Deny[code])
		var met bool
		err := s.DB.QueryRowContext(ctx, s.sql.fill(`select true from {users} u where 1 = 0 and (`)+c.SQL("u")+")").Scan(&met)
		switch {
		case err == nil || errors.Is(err, sql.ErrNoRows):
		case gone(err) || broken(err) || s.Dialect.outage(err):
			return nil, unavailable("try the condition users.deny."+code, err)
		default:
			faults = append(faults, &Fault{Kind: WrongType, Is: "the database cannot judge the condition users.deny." + code + ", " + u.Deny[code] + ": " + s.Dialect.describe(err), Fix: fix})
		}
	}
	if len(faults) == 0 {
		faults = []error{&Fault{Kind: WrongType, Is: "the database cannot judge the conditions of users.deny: " + s.Dialect.describe(all), Fix: fix}}
	}
	return faults, nil
}
