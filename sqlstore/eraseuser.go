package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// An erasure finds the row by the user and not by the identity, because the user may have
// no identity, or its identity column may be empty now. A row that holds another identity
// is never changed.
const (
	nobodyElses = ` and ({identity} is null or lower(cast({identity} as text)) in ('', `

	eraseRow = `delete from {users} where {id} = $1` + nobodyElses + `$2))`

	linkedUser = `select count(*) from symbolon.links where project = $1 and user_id = $2 and state = 'linked'`

	freeRow = `update {users} set {identity} = null where {id} = $1` + nobodyElses + `$2))`
)

// User returns everything known about a user: its row, the identity that the ledger links to
// it, and whether its ID is retired.
func (s *Store) User(ctx context.Context, project string, user symbolon.UserID) (symbolon.Claimed, error) {
	shape, err := s.table(ctx)
	if err != nil {
		return symbolon.Claimed{}, err
	}
	r := reader{db: session{store: s}, shape: shape, now: s.now(), shows: true}
	return retryRead(ctx, s, "read user "+string(user), func(waiting context.Context) (symbolon.Claimed, error) {
		return r.claimed(waiting, project, user, map[symbolon.UserID]symbolon.Claimed{})
	})
}

// EraseUser retires a user's ID, whether or not the user has an identity, and applies the row
// policy to the user's row. An empty policy leaves the row for a later call. It erases rows
// that [link.Linker.Erase] does not reach, because Erase finds rows by the identity. refused
// says what the table refused; the ID is retired all the same, and the next call tries again.
// EraseUser is idempotent. If the parameter identity is empty, it erases only a user that no
// identity has. If the user was linked meanwhile, nothing is changed, and the error is
// ErrUnavailable.
func (s *Store) EraseUser(ctx context.Context, project string, user symbolon.UserID, identity symbolon.IdentityID, row symbolon.RowPolicy, why string) (refused string, err error) {
	err = s.withShape(ctx, func(shape *shape) (err error) {
		refused, err = s.eraseUser(ctx, shape, project, user, identity, row, why)
		return err
	})
	return refused, err
}

func (s *Store) eraseUser(ctx context.Context, shape *shape, project string, user symbolon.UserID, identity symbolon.IdentityID, row symbolon.RowPolicy, why string) (refused string, err error) {
	canonical, key, ok := shape.key(user)
	if !ok {
		return "", fmt.Errorf("sqlstore: user ID %q cannot be a key of table %s", clip(string(user)), shape.users.table())
	}
	run := func(row symbolon.RowPolicy) error {
		return s.inRowsTx(ctx, "erase user "+string(user), func(ctx context.Context, db session) (err error) {
			u := rowEraser{writer: writer{store: s, shape: shape, db: db, mode: columnByColumn}, key: key, identity: identity}
			u.now, u.q.Project, u.plan.User = s.now().UTC(), project, canonical
			refused, err = u.end(ctx, row, why)
			return err
		})
	}
	if err = run(row); !errors.Is(err, errRefused) {
		return refused, err
	}
	late := fmt.Sprintf("the row of user %s could not be changed: %s", user, s.Dialect.describe(err)) // the table refused only at the commit
	return late, run("")
}

// rowEraser erases the row of one user, found by the user and not by the identity.
type rowEraser struct {
	writer
	key      any
	identity symbolon.IdentityID // the identity that the row may hold; an empty column is allowed too
}

func (u *rowEraser) end(ctx context.Context, row symbolon.RowPolicy, why string) (refused string, err error) {
	fresh, err := u.db.exec(ctx, retire, u.q.Project, string(u.plan.User), moment{u.now})
	if err != nil {
		return "", err
	}
	if err := u.unlinked(ctx); err != nil {
		return "", err
	}
	if err := u.constraints(ctx, "immediate"); err != nil {
		return "", err
	}
	switch row {
	case symbolon.DeleteRow:
		refused, err = u.attempt(ctx, "the row", eraseRow, u.key, string(u.identity))
	case symbolon.AnonymiseRow:
		refused, err = u.anonymise(ctx)
	}
	if err != nil || fresh == 0 && !u.wrote {
		return refused, err
	}
	err = u.db.recordEvent(ctx, u.q.Project, moment{u.now}, symbolon.Event{Kind: symbolon.UserErased, Identity: u.identity, User: u.plan.User,
		Source: symbolon.FromOperator, Detail: withPolicy(why, row)})
	return refused, err
}

// unlinked returns an error if the erasure found no identity of the user, and the user has one
// now. The caller has to find the person again.
func (u *rowEraser) unlinked(ctx context.Context) error {
	if u.identity != "" {
		return nil
	}
	var n int
	err := u.db.queryRow(ctx, linkedUser, u.q.Project, string(u.plan.User)).Scan(&n)
	if err == nil && n > 0 {
		err = errors.New("an identity has the user now")
	}
	return err
}

func (u *rowEraser) anonymise(ctx context.Context) (refused string, err error) {
	var words []string
	for _, c := range u.shape.anonymised(symbolon.AnonymiseRow, u.plan.User) {
		if c.unfit != "" {
			words = append(words, fmt.Sprintf("column %s of user %s was left: %s", c.name, u.plan.User, c.unfit))
			continue
		}
		text := `update {users} set ` + quote(c.name) + ` = $1 where {id} = $2` + nobodyElses + `$3))`
		word, err := u.attempt(ctx, "column "+c.name, text, c.param, u.key, string(u.identity))
		if err != nil {
			return "", err
		}
		if word != "" {
			words = append(words, word)
		}
	}
	if len(words) == 0 && !u.shape.users.one() {
		word, err := u.attempt(ctx, "column "+u.shape.identity.name, freeRow, u.key, string(u.identity))
		if err != nil || word == "" {
			return "", err
		}
		words = append(words, word)
	}
	return strings.Join(words, "; "), nil
}

// attempt sets a savepoint and runs one statement.
func (u *rowEraser) attempt(ctx context.Context, what, text string, args ...any) (refused string, err error) {
	refusal, err := u.try(ctx, func() error {
		err := u.changeRow(ctx, u.key, []symbolon.IdentityID{"", u.identity}, text, args...)
		u.wrote = u.wrote || err == nil
		if errors.Is(err, errTaken) {
			return nil // the row is deleted, or somebody else's
		}
		return err
	})
	if err != nil || refusal == nil {
		return "", err
	}
	return fmt.Sprintf("%s of user %s was refused: %s", what, u.plan.User, u.store.Dialect.describe(refusal)), nil
}

// LeftInRow names the columns of a user's row that anonymising empties and that still hold
// personal data. It also names a column that cannot be read, because the table does not have
// it. The identity column is one of the columns if identity is not empty. exists says whether
// there is a row. It writes nothing.
func (s *Store) LeftInRow(ctx context.Context, user symbolon.UserID, identity symbolon.IdentityID) (exists bool, columns []string, err error) {
	err = s.withShape(ctx, func(shape *shape) (err error) {
		exists, columns, err = s.leftInRow(ctx, shape, user, identity)
		return err
	})
	return exists, columns, err
}

func (s *Store) leftInRow(ctx context.Context, shape *shape, user symbolon.UserID, identity symbolon.IdentityID) (exists bool, columns []string, err error) {
	canonical, key, ok := shape.key(user)
	if !ok {
		return false, nil, nil
	}
	var cells []cell
	text := `select lower(cast({identity} as text))`
	for _, c := range shape.anonymised(symbolon.AnonymiseRow, canonical) {
		if c.unfit != "" { // its data may be in a column of another name
			columns = append(columns, c.name)
			continue
		}
		cells = append(cells, c)
		text += `, cast(` + quote(c.name) + ` as text)`
	}
	values := make([]*string, len(cells)+1)
	into := make([]any, len(values))
	for i := range values {
		into[i] = &values[i]
	}
	err = s.retry(ctx, func(waiting context.Context) error {
		return session{store: s}.queryRow(waiting, text+` from {users} where {id} = $1`, key).Scan(into...)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil, nil
	}
	if err != nil {
		return false, nil, unavailable("read the row of user "+string(user), err)
	}
	for i, c := range cells {
		if c.holds(values[i+1]) {
			columns = append(columns, c.name)
		}
	}
	if held := values[0]; held != nil && identity != "" && *held == string(identity) && !shape.users.one() {
		columns = append(columns, shape.identity.name)
	}
	return true, columns, nil
}

// holds reports whether the column still contains personal data, that is, another value
// than the anonymised one. In NOT NULL numeric and JSON columns the anonymised value may
// also be real data; then it returns false.
func (c cell) holds(value *string) bool {
	switch {
	case c.param == nil:
		return value != nil
	case value == nil:
		return false
	}
	return (c.kind == text || c.kind == other) && *value != c.raw
}
