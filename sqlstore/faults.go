package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/wait"
)

// "Don't know" is never "no": only an error that is certainly about the data
// counts as the table's refusal of a row; everything else is unavailable, and a
// retry may find it mended. Drivers are told apart by what their errors can say,
// so that none has to be imported.

// unavailable marks an error of the database, what it was stays inside.
func unavailable(doing string, err error) error {
	if errors.Is(err, symbolon.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("sqlstore: %s: %w: %w", doing, symbolon.ErrUnavailable, err)
}

// sqlState is the SQLSTATE of a Postgres error, as pgx and lib/pq tell it.
func sqlState(err error) string {
	var e interface{ SQLState() string }
	if errors.As(err, &e) {
		return e.SQLState()
	}
	return ""
}

// sqliteCode is the primary result code of an SQLite error, as modernc.org/sqlite
// and others tell it.
func sqliteCode(err error) int { return extendedCode(err) & 0xff }

func extendedCode(err error) int {
	var e interface{ Code() int }
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// SQLite's primary result codes.
const (
	sqliteBusy       = 5
	sqliteLocked     = 6
	sqliteTooBig     = 18
	sqliteConstraint = 19
	sqliteMismatch   = 20
)

// refusedBy reports whether the error is the table's refusal of the data. An
// error that says nothing of itself is taken for one: whoever asks has a
// savepoint to go back to, and where going back fails it was none.
func (d Dialect) refusedBy(err error) bool {
	switch {
	case gone(err), errors.Is(err, errTaken):
		return false
	case d == SQLite && sqliteCode(err) != 0:
		return slices.Contains([]int{sqliteTooBig, sqliteConstraint, sqliteMismatch}, sqliteCode(err))
	case d == Postgres && len(sqlState(err)) == 5:
		// data exception, integrity constraint, check option, raised by a trigger
		return slices.Contains([]string{"22", "23", "44", "P0"}, sqlState(err)[:2])
	}
	return true
}

// gone says that the caller gave up or the connection is lost.
func gone(err error) bool {
	for _, e := range []error{context.Canceled, context.DeadlineExceeded, driver.ErrBadConn, sql.ErrConnDone, sql.ErrTxDone} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// outage reports whether an error of OnLink is the database's and none of the
// statement's: a retry may mend it.
func (d Dialect) outage(err error) bool {
	if d == SQLite {
		return sqliteCode(err) > 1 && !d.refusedBy(err)
	}
	state := sqlState(err)
	return state != "" && !strings.HasPrefix(state, "42") && !d.refusedBy(err)
}

// describe says why a table refused something, for the operator. Messages of
// constraints name the constraint; others may quote a value, and are left out.
func (d Dialect) describe(err error) string {
	const trigger = 1811 // SQLite's extended code
	state, code := sqlState(err), extendedCode(err)
	switch {
	case d == Postgres && strings.HasPrefix(state, "P0"), d == SQLite && code == trigger:
		return "a trigger of the table refused it"
	case d == Postgres && strings.HasPrefix(state, "23"), d == SQLite && code&0xff == sqliteConstraint:
		return err.Error()
	case d == Postgres && state != "":
		return "SQLSTATE " + state
	case d == SQLite && code != 0:
		return fmt.Sprintf("SQLite result code %d", code)
	}
	return "the driver does not say why"
}

// double reports whether a unique index refused the value.
func (d Dialect) double(err error) bool {
	const unique, primaryKey = 2067, 1555 // SQLite's extended codes
	code := extendedCode(err)
	return sqlState(err) == "23505" || d == SQLite && (code == unique || code == primaryKey)
}

// passing reports whether the same transaction may well succeed in a moment.
func (d Dialect) passing(err error) bool {
	var declined decideError
	if errors.As(err, &declined) {
		return false
	}
	if d == SQLite {
		code := sqliteCode(err)
		return code == sqliteBusy || code == sqliteLocked
	}
	state := sqlState(err)
	return state == "40001" || state == "40P01" // serialization failure, deadlock
}

// patience is how long writers of SQLite wait for each other, and how long a
// transaction is begun again.
const patience = 5 * time.Second

// patiently runs f again while it fails for reasons that pass. The context that
// f gets is for waiting on locks: on SQLite it ends with our patience.
func (s *Store) patiently(ctx context.Context, f func(waiting context.Context) error) error {
	until := time.Now().Add(patience)
	waiting := ctx
	if s.Dialect == SQLite {
		var cancel context.CancelFunc
		waiting, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := f(waiting)
		if err == nil || !s.Dialect.passing(err) || !time.Now().Before(until) {
			return err
		}
		jittered := pause/2 + rand.N(pause) //nolint:gosec // nobody gains by guessing it
		if ended := wait.For(waiting, jittered); ended != nil {
			return errors.Join(ended, err)
		}
	}
}

// turn waits until it is this writer's. SQLite has one writer at a time, and those
// who wait in memory are served in order and at once, while those who wait for
// the file's lock ask for it every now and then. On Postgres there is no queue.
func (s *Store) turn(ctx context.Context) (release func(), waited bool, err error) {
	if s.writer == nil {
		return func() {}, false, nil
	}
	release = func() { <-s.writer }
	select {
	case s.writer <- struct{}{}:
		return release, false, nil
	default:
	}
	select {
	case s.writer <- struct{}{}:
		return release, true, nil
	case <-ctx.Done():
		return nil, true, fmt.Errorf("wait for other writers: %w", ctx.Err())
	}
}
