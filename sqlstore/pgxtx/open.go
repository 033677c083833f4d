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
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/symbolon-id/symbolon/internal/pipeline"
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
//
// With this pool a [sqlstore.Store] also makes a new link in two round trips instead of
// seven.
func OpenDB(conf pgx.ConnConfig, l Limits) *sql.DB {
	return sql.OpenDB(connector{stdlib.GetConnector(conf), l.settings()})
}

// settings are the limits as statements.
type settings struct {
	after string // what follows BEGIN in the same text
	query string // one statement that does the same; empty without limits
}

func (l Limits) settings() (s settings) {
	var queries []string
	for _, limit := range []struct {
		name string
		d    time.Duration
	}{{"statement_timeout", l.Statement}, {"lock_timeout", l.Lock}, {"idle_in_transaction_session_timeout", l.Idle}} {
		if limit.d > 0 {
			value := strconv.FormatInt(max(1, limit.d.Milliseconds()), 10)
			s.after += "; set local " + limit.name + " = " + value
			queries = append(queries, "set_config('"+limit.name+"', '"+value+"', true)")
		}
	}
	if len(queries) > 0 {
		s.query = "select " + strings.Join(queries, ", ")
	}
	return s
}

type connector struct {
	driver.Connector
	limits settings
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
	return &conn{pgxConn: pg, limits: c.limits}, nil
}

// conn is a connection whose transactions have limits. It implements [pipeline.Conn].
type conn struct {
	*pgxConn
	limits settings
	tx     *tx // the open transaction
}

var _ pipeline.Conn = (*conn)(nil)

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
	pgTx, err := c.begin(ctx, begin)
	if err != nil {
		return nil, err // if the transaction has begun nevertheless, ResetSession drops the connection
	}
	c.tx = &tx{ctx: ctx, conn: c, tx: pgTx}
	return c.tx, nil
}

func (c *conn) begin(ctx context.Context, begin string) (pgx.Tx, error) {
	first := pipeline.First(ctx)
	if len(first) == 0 {
		return c.Conn().BeginTx(ctx, pgx.TxOptions{BeginQuery: begin + c.limits.after})
	}
	b := &pgx.Batch{}
	b.BeginTx(pgx.TxOptions{BeginQuery: begin})
	if c.limits.query != "" {
		b.Queue(c.limits.query)
	}
	queue(b, first)
	results := c.Conn().SendBatch(ctx, b)
	if err := results.Close(); err != nil {
		_ = results.Tx().Rollback(ctx)
		return nil, err
	}
	return results.Tx(), nil
}

func queue(b *pgx.Batch, statements []*pipeline.Statement) {
	for _, s := range statements {
		q := b.Queue(s.Text, s.Args...)
		s.Sent = true
		if s.Row != nil {
			q.QueryRow(func(row pgx.Row) error { return row.Scan(s.Row...) })
		}
	}
}

// Last implements [pipeline.Conn]. It refuses the statements if the transaction was rolled
// back, for example because its context has ended. They would then be executed outside of a
// transaction.
func (c *conn) Last(statements []*pipeline.Statement) error {
	if c.tx == nil {
		return sql.ErrTxDone
	}
	c.tx.last = statements
	return nil
}

// tx is a transaction for database/sql. Its context is the one of BeginTx.
type tx struct {
	ctx  context.Context
	conn *conn
	tx   pgx.Tx
	last []*pipeline.Statement // executed with the commit
}

// Commit implements driver.Tx.
func (t *tx) Commit() error {
	t.conn.tx = nil
	if len(t.last) == 0 {
		return t.tx.Commit(t.ctx)
	}
	b := &pgx.Batch{}
	queue(b, t.last)
	var tag pgconn.CommandTag
	b.Queue("commit").Exec(func(answer pgconn.CommandTag) error {
		tag = answer
		return nil
	})
	err := t.tx.SendBatch(t.ctx, b).Close()
	if err == nil && tag.String() == "ROLLBACK" {
		err = pipeline.RolledBack{Err: pgx.ErrTxCommitRollback}
	}
	if err != nil && t.conn.Conn().PgConn().TxStatus() != 'I' && t.tx.Rollback(t.ctx) == nil {
		err = pipeline.RolledBack{Err: err}
	}
	return err
}

// Rollback implements driver.Tx.
func (t *tx) Rollback() error {
	t.conn.tx = nil
	return t.tx.Rollback(t.ctx)
}
