package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon/internal/pipeline"
	"github.com/symbolon-id/symbolon/internal/wait"
)

// A commit without an answer may have been executed, or may be executed later: Postgres
// executes what it has received, even if the connection or the sending process is gone. So
// a commit without an answer is never treated as failed.
//
// For the same reason a caller that gives up does not cancel a commit. If the connection
// breaks, [Store.Write] and [Store.CreateAll] find out: they take the lock of the same
// entry, which waits until the transaction is over, and then see whether it was committed.
// The other transactions do not find out. They return [symbolon.ErrUnavailable], and the
// caller can repeat them.

// errCommitUnknown: it is not known whether a transaction was committed.
var errCommitUnknown = errors.New("the commit was not answered")

// transact runs f in a transaction and commits it. An error or a panic rolls it back, except
// errCommitUnknown. The statements in first are sent with the BEGIN if the connection can do
// that. Otherwise f executes them.
func (s *Store) transact(ctx, waiting context.Context, first []*pipeline.Statement, f func(*Tx) error) error {
	conn, err := s.DB.Conn(waiting)
	if err != nil {
		return err
	}
	defer conn.Close()
	var options *sql.TxOptions
	if s.Dialect == Postgres {
		// The server's default may be different. A statement that waited for a lock must see
		// what the previous holder wrote.
		options = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	whole, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	detach := context.AfterFunc(ctx, end)
	defer detach()
	tx, err := conn.BeginTx(pipeline.WithFirst(whole, first...), options)
	if err != nil {
		s.dropReadOnly(conn, err)
		return err
	}
	defer func() { _ = tx.Rollback() }() // no effect after the commit
	if err := f(&Tx{conn: conn, tx: tx}); err != nil {
		if s.Dialect.readOnly(err) {
			_ = tx.Rollback()
		}
		s.dropReadOnly(conn, err)
		return err
	}
	if !detach() {
		return ctx.Err()
	}
	defer context.AfterFunc(ctx, func() { endLater(whole, end) })()
	defer time.AfterFunc(commitLimit, end).Stop()
	err = s.Dialect.committed(tx.Commit())
	if errors.Is(err, errCommitUnknown) {
		drop(conn)
	}
	return err
}

func (s *Store) dropReadOnly(conn *sql.Conn, err error) {
	if s.Dialect.readOnly(err) {
		drop(conn)
	}
}

// drop removes the connection from its pool.
func drop(conn *sql.Conn) { _ = conn.Raw(func(any) error { return driver.ErrBadConn }) }

// commitLimit is how long a commit may last if its caller does not give up. A commit that
// waits for a synchronous standby takes seconds. A server that has vanished never answers.
const commitLimit = 10 * time.Second

// commitTimeout is how long a running commit may last after its caller gave up.
const commitTimeout = 2 * time.Second

func endLater(whole context.Context, end func()) {
	if !wait.Until(whole.Done(), commitTimeout) {
		end()
	}
}

// committed returns the error that the answer to a commit means.
func (d Dialect) committed(err error) error {
	switch {
	case err == nil:
		return nil
	case d.answered(err), errors.As(err, &pipeline.RolledBack{}):
		return d.refusalAs(errRefused, err) // a deferred constraint
	}
	return fmt.Errorf("%w: %w", errCommitUnknown, err)
}

// answered reports whether the database itself says that it did not commit. An error about
// the database's own state, such as a shutdown, may come after the commit.
func (d Dialect) answered(err error) bool {
	if d == SQLite {
		return sqliteCode(err) != 0
	}
	state := sqlState(err)
	for _, open := range []string{"08", "40003", "57P", "58", "XX"} {
		if strings.HasPrefix(state, open) {
			return false
		}
	}
	return state != ""
}

// resume checks whether the previous attempt, whose commit is unknown, was committed. If the
// attempt did not change the entry, the entry cannot show whether it was committed. The
// attempt is then repeated, and finds nothing to do if it was committed.
func (w *writer) resume() (done bool) {
	v := w.commitUnknown
	if v == nil || v.entry.equals(v.read.entry) || !v.entry.equals(w.before) {
		return false
	}
	w.plan, w.out = v.plan, v.out
	return true
}

// repeats reports whether this attempt has nothing to write because the previous one was
// committed.
func (w *writer) repeats() bool {
	return w.commitUnknown != nil && w.plan.Action == w.commitUnknown.plan.Action && w.entry.equals(w.commitUnknown.entry)
}

func (e entry) equals(other entry) bool {
	if e.none() || other.none() {
		return e.none() && other.none()
	}
	if !e.At.Equal(other.At) {
		return false
	}
	other.At = e.At
	return e == other
}
