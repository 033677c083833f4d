package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/wait"
)

// "Don't know" is never a refusal. Only an error that is certainly about the data is
// treated as the table's refusal of a row. Every other error is ErrUnavailable, because a
// retry may succeed. The drivers are recognised by the methods of their errors, so that no
// driver is imported.

// unavailable wraps an error of the database as ErrUnavailable.
func unavailable(doing string, err error) error {
	if errors.Is(err, symbolon.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("sqlstore: %s: %w: %w", doing, symbolon.ErrUnavailable, err)
}

// sqlState returns the SQLSTATE of an error of pgx or lib/pq.
func sqlState(err error) string {
	var e interface{ SQLState() string }
	if errors.As(err, &e) {
		return e.SQLState()
	}
	return ""
}

// sqliteCode returns the primary result code of an error of modernc.org/sqlite or another
// SQLite driver.
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
	sqliteError      = 1
	sqliteBusy       = 5
	sqliteLocked     = 6
	sqliteConstraint = 19
)

// The following errors say nothing about the data. Every other error that a database returns
// for a row is a refusal of the row: a constraint, a trigger with its own SQLSTATE, a value
// that is too long for an index.

// outages are SQLSTATEs, or classes of them, that tell of the database's own condition: no
// connection, a read-only server, a conflict with another transaction, no resources, an
// operator's action, a fault of the system.
var outages = []string{"08", "25", "26", "28", "3D", "40", "53", "57", "58", "XX", "55P03", "55006", "42P05"}

// refusals are the outages that are the database's answer to a new connection: a wrong
// password, no such role, no such database.
var refusals = []string{"28", "3D"}

// setups are the SQLSTATEs of a fault of the setup: a table, a trigger or a right is not as it
// was when the program started.
var setups = []string{"42", "55000"}

// sqliteOutages are the primary result codes of SQLite's own condition: BUSY, LOCKED, NOMEM,
// READONLY, INTERRUPT, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, SCHEMA, NOTADB.
var sqliteOutages = []int{sqliteBusy, sqliteLocked, 7, 8, 9, 10, 11, 13, 14, 15, 17, 26}

// ofClass reports whether an SQLSTATE is in a list of classes and whole SQLSTATEs.
func ofClass(state string, list []string) bool {
	return slices.ContainsFunc(list, func(class string) bool { return strings.HasPrefix(state, class) })
}

// outage reports whether the error means that the database cannot answer now, so that a
// retry may succeed.
func (d Dialect) outage(err error) bool {
	if d == SQLite {
		return slices.Contains(sqliteOutages, sqliteCode(err))
	}
	const integrity = "40002"
	state := sqlState(err)
	return d.planChanged(err) || ofClass(state, outages) && state != integrity
}

// setup reports whether the error means that a table or a right is not as it was.
func (d Dialect) setup(err error) bool {
	if d == Postgres {
		return ofClass(sqlState(err), setups)
	}
	return d.misshapen(err)
}

// shapes are the SQLSTATEs and the texts of SQLite for a missing table, a missing column and
// a generated column.
var (
	shapes       = []string{"42P01", "42703", "428C9"}
	sqliteShapes = []string{"no such table", "no such column", "has no column named", "cannot INSERT into generated column", "cannot UPDATE generated column"}
)

// misshapen reports whether the error means that a table has another shape than it had.
func (d Dialect) misshapen(err error) bool {
	if d == Postgres {
		return ofClass(sqlState(err), shapes) || d.stale(err)
	}
	return sqliteCode(err) == sqliteError && slices.ContainsFunc(sqliteShapes, func(text string) bool { return strings.Contains(err.Error(), text) })
}

// stale reports whether the error may be caused by a plan that a connection of Postgres has
// prepared for a column of another type: no such operator or function, or a value of another
// type. The driver drops the plan after the error.
func (d Dialect) stale(err error) bool {
	if d != Postgres {
		return false
	}
	state := sqlState(err)
	return state == "42883" || state == "42804" || d.planChanged(err)
}

func (d Dialect) planChanged(err error) bool {
	const notSupported = "0A000"
	return sqlState(err) == notSupported && strings.Contains(err.Error(), "cached plan must not change result type")
}

// Unreachable reports whether err, of a driver, means that the database cannot answer now:
// nothing listens at its address, it is silent, starts or stops, or another program holds
// its lock. A wrong password, a database that does not exist and a broken SQLite file are
// answers. A program that starts may wait for an unreachable database. If the error is an
// answer, the program should report the error to its operator.
func (d Dialect) Unreachable(err error) bool {
	if d == SQLite {
		const protocol = 15
		code := sqliteCode(err)
		return gone(err) || code == sqliteBusy || code == sqliteLocked || code == protocol
	}
	if state := sqlState(err); state != "" {
		return d.outage(err) && !ofClass(state, refusals)
	}
	return gone(err) || broken(err)
}

// refusedBy reports whether the error is the table's refusal of the data. An error without
// a code is treated as a refusal. This is safe: the caller rolls back to a savepoint, and
// if the rollback fails too, it treats the error as an outage.
func (d Dialect) refusedBy(err error) bool {
	return !gone(err) && !broken(err) && !errors.Is(err, errTaken) && !d.outage(err) && !d.setup(err)
}

// gone reports whether the caller gave up or the connection is lost.
func gone(err error) bool {
	return isAny(err, context.Canceled, context.DeadlineExceeded, driver.ErrBadConn, sql.ErrConnDone, sql.ErrTxDone)
}

// broken reports whether the connection broke during a statement. gone does not include such
// an error, because OnLink may return it for a connection of its own.
func broken(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || isAny(err, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed)
}

func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// describe tells the operator why a table refused a value. It repeats only messages of
// constraints, because other messages may quote a value.
func (d Dialect) describe(err error) string {
	const trigger = 1811 // SQLite's extended code
	state, code := sqlState(err), extendedCode(err)
	switch {
	case errors.Is(err, errIgnored):
		return errIgnored.Error()
	case errors.Is(err, errUndone):
		return errUndone.Error()
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

// setupWords has the meanings of the usual faults of the setup, and their fixes. %s is the
// table. The message of the database is not shown, because a trigger may have written it.
var setupWords = map[string]struct{ is, fix string }{
	"42501": {"the database user has no right to do it, or a row-level policy refuses it", "grant select, insert, update, delete on %s to the database user, or change the policy"},
	"42P01": {"a table is missing, perhaps one that a trigger or a view uses", "add it, or change what uses it"},
	"42703": {"a column is missing, perhaps one that a trigger or a view uses", "add it, or change what uses it"},
	"428C9": {"a column is generated", "make it an ordinary column, or fill another one"},
}

// describeSetup tells the operator which fault of the setup an error means, and how to fix
// it.
func (d Dialect) describeSetup(err error, table string) (is, fix string) {
	state := sqlState(err)
	words, ok := setupWords[state]
	switch {
	case d == SQLite:
		return "a table or a column is missing, perhaps one that a trigger or a view uses", "add it, or change what uses it"
	case ok && strings.Contains(words.fix, "%s"):
		return words.is + " (SQLSTATE " + state + ")", fmt.Sprintf(words.fix, table)
	case ok:
		return words.is + " (SQLSTATE " + state + ")", words.fix
	}
	return "SQLSTATE " + state, "correct the table, its triggers, or the rights of the database user; the log of the database has the statement"
}

// leftNull reports whether a column that may not be null had no value.
func (d Dialect) leftNull(err error) bool {
	const notNull = 1299 // SQLite's extended code
	return d == Postgres && sqlState(err) == "23502" || d == SQLite && extendedCode(err) == notNull
}

// duplicate reports whether a unique index refused the value.
func (d Dialect) duplicate(err error) bool {
	const unique, primaryKey = 2067, 1555 // SQLite's extended codes
	code := extendedCode(err)
	return sqlState(err) == "23505" || d == SQLite && (code == unique || code == primaryKey)
}

// temporary reports whether the same transaction may succeed a moment later.
func (d Dialect) temporary(err error) bool {
	if _, declined := errors.AsType[decideError](err); declined {
		return false
	}
	if d == SQLite {
		code := sqliteCode(err)
		return code == sqliteBusy || code == sqliteLocked
	}
	state := sqlState(err)
	return state == "40001" || state == "40P01" // serialization failure, deadlock
}

// readOnly reports whether the connection's server refuses all writes. A server that was
// demoted to a standby keeps its connections, while new ones may reach the new primary.
func (d Dialect) readOnly(err error) bool { return d == Postgres && sqlState(err) == "25006" }

// demotions is how often one call may get a connection to a demoted server from the pool. The
// pool may have many such connections.
const demotions = 10

// lockTimeout is how long writers of SQLite wait for each other, and for how long a
// transaction is tried again.
const lockTimeout = 5 * time.Second

// retry calls f again while its error is temporary. The context given to f is for waiting
// on locks; on SQLite it ends after lockTimeout.
func (s *Store) retry(ctx context.Context, f func(waiting context.Context) error) error {
	until := time.Now().Add(lockTimeout)
	waiting := ctx
	if s.Dialect == SQLite {
		var cancel context.CancelFunc
		waiting, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	demoted, stale := 0, 0
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := f(waiting)
		if s.Dialect.readOnly(err) && demoted < demotions {
			demoted++ // the connection was dropped, and the next one may be a new one
			continue
		}
		if s.Dialect.stale(err) && stale < s.state.stalePlans() {
			stale++ // each connection may have a plan of its own
			continue
		}
		if err == nil || !s.Dialect.temporary(err) || !time.Now().Before(until) {
			return err
		}
		jittered := pause/2 + rand.N(pause) //nolint:gosec // it is not a secret
		if ended := wait.For(waiting, jittered); ended != nil {
			return errors.Join(ended, err)
		}
	}
}

// places returns the queue of a transaction that writes users' rows.
//
// On Postgres such a transaction may wait for a row that a transaction of the application
// has locked, and it occupies a connection meanwhile. So all transactions except those of
// requests share half of the pool, and leave the other half to the requests.
func (s *Store) places(source symbolon.Source) chan struct{} {
	if source == symbolon.FromRequest {
		return s.writer
	}
	return s.behind
}

// turn waits for a place in a queue; nil is no queue. SQLite has one writer at a time. The
// queue in memory serves waiting writers in order and at once, while SQLite polls for its
// file lock.
func turn(ctx context.Context, queue chan struct{}) (release func(), waited bool, err error) {
	if queue == nil {
		return func() {}, false, nil
	}
	release = func() { <-queue }
	select {
	case queue <- struct{}{}:
		return release, false, nil
	default:
	}
	select {
	case queue <- struct{}{}:
		return release, true, nil
	case <-ctx.Done():
		return nil, true, fmt.Errorf("wait for other writers: %w", ctx.Err())
	}
}
