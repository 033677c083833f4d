package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/condition"
)

const readUsersTable = "read the users table" // for errors

// Rows as an adoption reads them. {column}, {email} and {verified} are columns as text, or
// null if there is no such column.
const (
	userRow = `
select cast(u.{id} as text), cast(u.{identity} as text),
       (select o.identity_id from symbolon.links o where o.project = $1 and o.user_id = cast(u.{id} as text) and o.state = 'linked'),
       (select r.user_id from symbolon.retired r where r.project = $1 and r.user_id = cast(u.{id} as text)),
       {column}, {email}, {verified}
from {users} u `

	firstUserRows = userRow + `where u.{id} is not null order by u.{id} limit $2`
	nextUserRows  = userRow + `where u.{id} > $2 order by u.{id} limit $3`
	oneUserRow    = userRow + `where u.{id} = $2`

	// emailRows uses an index on the same expression, if there is one. In both databases it
	// converts only ASCII letters to lower case, as symbolon.NormalEmail does.
	emailRows = userRow + `where {folded} = $2 order by u.{id} limit 3`
)

// UserRows returns at most limit rows, ordered by key. The page holds the rows with keys
// greater than the parameter after; if after is empty, it begins with the first row. column
// is one more column to read, or empty. The e-mail address is read if Users.Email names its
// column. UserRows writes nothing. One page is one consistent read; different pages may show
// different states.
func (s *Store) UserRows(ctx context.Context, project string, after symbolon.UserID, column string, limit int) ([]symbolon.UserRow, error) {
	if limit < 1 {
		return nil, errors.New("sqlstore: user rows: the limit is not positive")
	}
	shape, err := s.people(ctx, project, column)
	if err != nil {
		return nil, err
	}
	text, args := firstUserRows, []any{project, limit}
	if after != "" {
		key, err := shape.rawKey(after)
		if err != nil {
			return nil, err
		}
		text, args = nextUserRows, []any{project, key, limit}
	}
	out, err := readAll(ctx, s, readUsersTable, shape.fillPeople(text, column), args, scanUserRow)
	return slices.DeleteFunc(out, keyless), err
}

// UserRow returns one row, or ErrNotFound.
func (s *Store) UserRow(ctx context.Context, project string, user symbolon.UserID, column string) (symbolon.UserRow, error) {
	shape, err := s.people(ctx, project, column)
	if err != nil {
		return symbolon.UserRow{}, err
	}
	var rows []symbolon.UserRow
	if _, key, ok := shape.key(user); ok {
		if rows, err = readAll(ctx, s, readUsersTable, shape.fillPeople(oneUserRow, column), []any{project, key}, scanUserRow); err != nil {
			return symbolon.UserRow{}, err
		}
	}
	if len(rows) != 1 { // a key without a unique index may be in two rows
		return symbolon.UserRow{}, notFound(fmt.Sprintf("user %q has no row", clip(string(user))))
	}
	return rows[0], nil
}

// CheckColumn returns an error if UserRows cannot read a column.
func (s *Store) CheckColumn(ctx context.Context, column string) error {
	_, err := s.people(ctx, "check", column)
	return err
}

// people checks the arguments of UserRows and UserRow.
func (s *Store) people(ctx context.Context, project, column string) (*shape, error) {
	if project == "" {
		return nil, errors.New("sqlstore: user rows: the project is empty")
	}
	shape, err := s.table(ctx)
	if err != nil {
		return nil, err
	}
	if column != "" && (shape.others[column].name == "" || !condition.IsName(column)) {
		return nil, fmt.Errorf("sqlstore: table %s has no column %q", s.Users.table(), clip(column))
	}
	return shape, nil
}

// fillPeople fills the names of the columns into one of the statements above.
func (t *shape) fillPeople(text, column string) string {
	asText := func(name string) string {
		if name == "" {
			return "null"
		}
		return "cast(u." + quote(name) + " as text)"
	}
	folded := "lower(u." + quote(t.users.Email) + ")"
	if t.dialect == Postgres {
		folded = "lower(" + asText(t.users.Email) + ` collate "C")`
	}
	return strings.NewReplacer("{column}", asText(column), "{email}", asText(t.users.Email), "{verified}", asText(t.users.EmailVerified),
		"{folded}", folded).Replace(text)
}

// rawKey is the parameter for a key that came from the database, at the end of a page. Such a
// key need not be canonical.
func (t *shape) rawKey(id symbolon.UserID) (any, error) {
	if t.id.kind.integer() {
		return id.Int64()
	}
	return string(id), nil
}

func scanUserRow(from scanner) (r symbolon.UserRow, err error) {
	var row scannedRow
	var column, email, verified sql.NullString
	err = from.Scan(&row.id, &row.identity, &row.linked, &row.retired, &column, &email, &verified)
	if found := row.row(); found != nil {
		r = symbolon.UserRow{Row: *found, Retired: row.retired.Valid, Column: column.String, Email: email.String, Checked: yes(verified)}
	}
	return r, err
}

// keyless reports whether the row's key is null, which SQLite allows. Such a row is not a
// user.
func keyless(r symbolon.UserRow) bool { return r.ID == "" }

// yes reads a column that says whether something was verified: a boolean, a number or a
// time. A value counts only if it clearly says so, because a person with a verified address
// gets the user. SQLite stores any text in any column, and a column may be altered while
// the program runs.
func yes(s sql.NullString) bool {
	switch strings.ToLower(s.String) {
	case "true", "t":
		return true
	}
	if n, err := strconv.ParseInt(s.String, 10, 64); err == nil {
		return n != 0
	}
	day, _, _ := strings.Cut(strings.Replace(s.String, "T", " ", 1), " ")
	at, err := time.Parse(time.DateOnly, day)
	return err == nil && at.Year() >= 1970 // programs write the years 0 and 1 for "never"
}

// readMatches finds the rows with the identity's e-mail addresses.
func (r *reader) readMatches(ctx context.Context, q symbolon.Query) error {
	if r.shape.users.Email == "" || len(q.Emails) == 0 {
		return nil
	}
	if err := r.mayBeHidden(ctx); err != nil { // a hidden row may have the address, too
		return err
	}
	for _, address := range q.Emails {
		rows, err := collect(ctx, r.db.query, r.shape.fillPeople(emailRows, ""), []any{q.Project, address}, scanUserRow)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if normal, ok := symbolon.NormalEmail(row.Email); ok && normal == address && !keyless(row) {
				r.held.Matches = append(r.held.Matches, symbolon.Match{Row: row.Row, Retired: row.Retired, Email: normal, Verified: row.Checked})
			}
		}
	}
	return nil
}

// checkEmail checks the types of the columns for adopting by e-mail.
func (u Users) checkEmail(t table) (faults []error) {
	if u.Email == "" {
		return nil
	}
	if c, ok := t.columns[u.Email]; !ok {
		faults = append(faults, u.missing(u.Email, false))
	} else if c.kind != text {
		faults = append(faults, u.faultOf(WrongType, u.Email, "is of type "+c.declared, "make it text, because it holds e-mail addresses"))
	}
	c, ok := t.columns[u.EmailVerified]
	declared := strings.ToLower(c.declared)
	switch {
	case !ok:
		faults = append(faults, u.missing(u.EmailVerified, false))
	case c.kind != boolean && !c.kind.integer() && !strings.Contains(declared, "time") && !strings.Contains(declared, "date"):
		faults = append(faults, u.faultOf(WrongType, u.EmailVerified, "is of type "+c.declared,
			"make it a boolean, an integer, or the time of the verification, because it says whether an e-mail address is verified"))
	}
	return faults
}
