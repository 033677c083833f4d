// Package sessionlock has the lock of programs that migrate a Postgres at the same time. It
// is an advisory lock, which belongs to a connection.
package sessionlock

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon/internal/wait"
)

// Vanished is how long the connection of a holder may be idle. Then Postgres ends the
// connection, because the holder's machine has probably vanished, and the next program gets
// the lock. Before Postgres 14 the lock lasts until TCP gives the connection up. A program
// that still runs can lose the lock as well. Its migration is safe nevertheless, because it
// runs in a transaction, and fails if another program was faster.
const Vanished = time.Minute

// unlockTimeout is the limit of giving the lock back. If it fails, the connection is dropped,
// and the lock ends with the connection.
const unlockTimeout = 3 * time.Second

const (
	limitIdle = `select set_config(name, $1, false) from pg_settings where name = 'idle_session_timeout'`
	resetIdle = `select set_config(name, reset_val || coalesce(unit, ''), false) from pg_settings where name = 'idle_session_timeout'`
)

// Lock waits for the lock with the number id until ctx ends. The parameter idle is mostly
// [Vanished].
func Lock(ctx context.Context, conn *sql.Conn, id int64, idle time.Duration) error {
	_, err := conn.ExecContext(ctx, limitIdle, fmt.Sprint(idle.Milliseconds()))
	if err == nil {
		_, err = conn.ExecContext(ctx, `select pg_advisory_lock($1)`, id)
	}
	if err != nil {
		drop(conn)
	}
	return err
}

// Unlock gives the lock back, even if ctx has ended.
func Unlock(ctx context.Context, conn *sql.Conn, id int64) error {
	ctx, cancel := wait.Detached(ctx, unlockTimeout)
	defer cancel()
	_, err := conn.ExecContext(ctx, `select pg_advisory_unlock($1)`, id)
	if err == nil {
		_, err = conn.ExecContext(ctx, resetIdle)
	}
	if err != nil {
		drop(conn)
	}
	return err
}

// drop removes the connection from its pool, which must not keep the lock or the limit.
func drop(conn *sql.Conn) { _ = conn.Raw(func(any) error { return driver.ErrBadConn }) }
