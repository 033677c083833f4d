package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon/internal/wait"
)

// A commit that gets no answer may have been carried out, and may still be: Postgres
// does what it has read, whether or not the connection or the process that sent it
// is there any more. Nobody may take that for a no.
//
// So a caller that gives up does not break a commit off, and where the connection breaks
// [Store.Write] and [Store.CreateAll] find out: whoever takes the lock of the same
// entry has waited until the transaction is over, and sees whether it is there as a
// whole. What is written beside the ledger can be written again.

// errVague: it is not known whether a transaction was committed.
var errVague = errors.New("the commit was not answered")

// transact runs f in a transaction and commits it. An error, and a panic, undo it; but
// for errVague, of which nothing is known.
func (s *Store) transact(ctx, waiting context.Context, f func(*Tx) error) error {
	conn, err := s.DB.Conn(waiting)
	if err != nil {
		return err
	}
	defer conn.Close()
	var options *sql.TxOptions
	if s.Dialect == Postgres {
		// Whatever the server's default is: a statement that waited for a lock must
		// see what the one before it wrote.
		options = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	whole, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	detach := context.AfterFunc(ctx, end)
	defer detach()
	tx, err := conn.BeginTx(whole, options)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing, after the commit
	if err := f(&Tx{conn: conn, tx: tx}); err != nil {
		return err
	}
	if !detach() {
		return ctx.Err()
	}
	defer context.AfterFunc(ctx, func() { endLater(whole, end) })()
	err = s.Dialect.committed(tx.Commit())
	if errors.Is(err, errVague) {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // nobody else gets it
	}
	return err
}

// lastPatience is how long a commit that is under way is waited for when the caller has
// given up.
const lastPatience = 2 * time.Second

func endLater(whole context.Context, end func()) {
	if !wait.Until(whole.Done(), lastPatience) {
		end()
	}
}

// committed judges the answer to a commit.
func (d Dialect) committed(err error) error {
	switch {
	case err == nil:
		return nil
	case d.answered(err):
		return d.bold(err) // a constraint that is checked at the end
	}
	return fmt.Errorf("%w: %w", errVague, err)
}

// answered reports whether the database itself says that it did not commit. What it
// says of itself, such as that it shuts down, it may say after the commit.
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

// resume looks for what an attempt before this one did, of which nothing is known. One
// that left the entry as it was cannot be told by that: it is made again, and finds
// nothing to do.
func (w *writer) resume() (done bool) {
	v := w.vague
	if v == nil || v.entry.equals(v.read.entry) || !v.entry.equals(w.before) {
		return false
	}
	w.plan, w.out = v.plan, v.out
	return true
}

// repeats reports whether an attempt that finds nothing to write does so because the
// one before it has done the same.
func (w *writer) repeats() bool {
	return w.vague != nil && w.plan.Action == w.vague.plan.Action && w.entry.equals(w.vague.entry)
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
