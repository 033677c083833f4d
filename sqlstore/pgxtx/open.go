package pgxtx

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// Limits end the transactions of a pool that wait too long, and those whose program has
// vanished. Postgres enforces them. Zero is the server's own limit.
type Limits struct {
	Statement time.Duration // statement_timeout
	Lock      time.Duration // lock_timeout
	Idle      time.Duration // idle_in_transaction_session_timeout
}

// OpenDB opens a pool like [stdlib.OpenDB]. Each transaction of the pool sets the limits for
// itself, in the round trip of its BEGIN. So they are valid behind every pooler. Parameters of
// the connection would not be.
func OpenDB(conf pgx.ConnConfig, l Limits) *sql.DB {
	return sql.OpenDB(connector{stdlib.GetConnector(conf), l.statements()})
}

// statements returns the text after the BEGIN.
func (l Limits) statements() string {
	var b strings.Builder
	for _, limit := range []struct {
		name string
		d    time.Duration
	}{{"statement_timeout", l.Statement}, {"lock_timeout", l.Lock}, {"idle_in_transaction_session_timeout", l.Idle}} {
		if limit.d > 0 {
			b.WriteString("; set local " + limit.name + " = " + strconv.FormatInt(max(1, limit.d.Milliseconds()), 10))
		}
	}
	return b.String()
}

type connector struct {
	driver.Connector
	limits string
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	opened, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	pg, ok := opened.(*stdlib.Conn)
	if !ok {
		return nil, fmt.Errorf("pgxtx: a connection is %T, not pgx's", opened)
	}
	return &conn{pg, c.limits}, nil
}

// conn is a connection whose transactions have limits.
type conn struct {
	*pgxConn
	limits string
}

// pgxConn is a name for embedding: a field named Conn would hide the method Conn.
type pgxConn = stdlib.Conn

// BeginTx implements driver.ConnBeginTx.
func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	pg := c.Conn()
	if pg.IsClosed() {
		return nil, driver.ErrBadConn
	}
	begin := "begin"
	switch level := sql.IsolationLevel(o.Isolation); level {
	case sql.LevelDefault:
	case sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable:
		begin += " isolation level " + strings.ToLower(level.String())
	default:
		return nil, fmt.Errorf("pgxtx: Postgres has no isolation level %q", level)
	}
	if o.ReadOnly {
		begin += " read only"
	}
	pgTx, err := pg.BeginTx(ctx, pgx.TxOptions{BeginQuery: begin + c.limits})
	if err != nil {
		return nil, err // if the transaction has begun nevertheless, ResetSession drops the connection
	}
	return tx{ctx, pgTx}, nil
}

// tx is a transaction for database/sql. Its context is the one of BeginTx.
type tx struct {
	ctx context.Context
	tx  pgx.Tx
}

// Commit implements driver.Tx.
func (t tx) Commit() error { return t.tx.Commit(t.ctx) }

// Rollback implements driver.Tx.
func (t tx) Rollback() error { return t.tx.Rollback(t.ctx) }
