package system

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/sqlstore/pgxtx"
)

// A database that vanishes without closing its connections never answers, and a statement
// without a deadline would hold its connection for ever. Therefore each connection of the
// server has a limit: a read or a write that takes longer breaks the connection. The pool
// then opens a new one, to wherever the database is now.

// limits are how long a pool of connections to Postgres waits. Zero is no limit.
type limits struct {
	pgxtx.Limits               // of each transaction; Postgres enforces them
	silence      time.Duration // of a read or a write on a connection
}

const (
	// lockTimeout is how long a transaction waits for a row that another one has locked.
	lockTimeout = 5 * time.Second

	// idleTimeout is how long a transaction of a program that has vanished keeps its locks.
	// Only such a transaction is idle for long, because a program that has a transaction
	// open waits for nothing but Postgres.
	idleTimeout = 10 * time.Second

	// workTimeout is the limit of the background work's statements. It is longer than the
	// longest statement of the queue's own maintenance, see package work.
	workTimeout = 17 * time.Second
)

// commandLimits are the limits of a command. Its connections have no limit of silence,
// because only the person who started them waits.
func commandLimits(c *config.Config) limits {
	return limits{Limits: limited(cmp.Or(c.DatabasePool.StatementTimeout, 10*time.Second))}
}

// requestLimits are the limits of the pool that serves requests.
func requestLimits(c *config.Config) limits { return commandLimits(c).orSilent() }

// workLimits are the limits of the background work's pool.
func workLimits() limits { return limits{Limits: limited(workTimeout)}.orSilent() }

// migrationLimits are the limits of a migration, whose statements may take any time. A
// migration whose program has vanished must not keep the tables locked.
func migrationLimits() limits { return limits{Limits: pgxtx.Limits{Idle: idleTimeout}} }

// drawLimits are the limits of the pool that the reserve hook uses. A draw has a second.
func drawLimits() limits { return limits{Limits: limited(time.Second)}.orSilent() }

func limited(statement time.Duration) pgxtx.Limits {
	return pgxtx.Limits{Statement: statement, Lock: min(statement, lockTimeout), Idle: idleTimeout}
}

// orSilent adds the limit of the connections. Postgres cancels a statement earlier.
func (l limits) orSilent() limits {
	l.silence = l.Statement + 3*time.Second
	return l
}

// doubt is a shorter limit. After one connection of a pool fell silent, it applies to each
// connection of the pool that has received nothing since. All of them have probably lost
// their server, and the pool must not find that out one connection after another.
const doubt = time.Second

// dialer opens connections of one pool that break after a silence; 0 is no limit.
func dialer(silence time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	var fellSilent atomic.Int64
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil || silence <= 0 {
			return conn, err
		}
		c := &impatient{Conn: conn, silence: silence, fellSilent: &fellSilent}
		c.answered.Store(time.Now().UnixNano())
		return c, nil
	}
}

// impatient is a connection on which a read or a write that takes longer than the limit
// fails. A deadline that the connection's user sets replaces the limit, until the user
// removes the deadline.
type impatient struct {
	net.Conn
	silence    time.Duration
	fellSilent *atomic.Int64 // when a connection of the pool last fell silent, in Unix nanoseconds
	answered   atomic.Int64  // when this connection last received something

	mu  sync.Mutex
	set bool // the user has set a deadline
}

func (c *impatient) Read(b []byte) (int, error) {
	own := c.limit(c.Conn.SetReadDeadline)
	n, err := c.Conn.Read(b)
	c.learn(n, err, own)
	return n, err
}

func (c *impatient) Write(b []byte) (int, error) {
	own := c.limit(c.Conn.SetWriteDeadline)
	n, err := c.Conn.Write(b)
	c.learn(0, err, own)
	return n, err
}

// limit sets the deadline of a read or a write, unless the user has set one.
func (c *impatient) limit(set func(time.Time) error) (own bool) {
	limit := c.silence
	if c.fellSilent.Load() > c.answered.Load() {
		limit = min(limit, doubt)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set {
		return false
	}
	_ = set(time.Now().Add(limit)) // fails only on a closed connection
	return true
}

func (c *impatient) learn(received int, err error, own bool) {
	switch {
	case received > 0:
		c.answered.Store(time.Now().UnixNano())
	case own && errors.Is(err, os.ErrDeadlineExceeded) && !c.deadlineSet():
		c.fellSilent.Store(time.Now().UnixNano())
	}
}

func (c *impatient) deadlineSet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.set
}

func (c *impatient) SetDeadline(t time.Time) error { return c.user(c.Conn.SetDeadline, t) }

func (c *impatient) SetReadDeadline(t time.Time) error { return c.user(c.Conn.SetReadDeadline, t) }

func (c *impatient) SetWriteDeadline(t time.Time) error { return c.user(c.Conn.SetWriteDeadline, t) }

func (c *impatient) user(set func(time.Time) error, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set = !t.IsZero()
	return set(t)
}
