// Package pgxtx is for programs that use pgx instead of database/sql. [From] finds the pgx
// connection of Symbolon's transaction, and [Execer] makes a pgx transaction usable for
// Symbolon:
//
//	store.OnLink = func(ctx context.Context, tx *sqlstore.Tx, link symbolon.Link) error {
//		pg, err := pgxtx.From(tx)
//		if err != nil {
//			return err
//		}
//		_, err = pg.Exec(ctx, `insert into orgs (owner) values ($1)`, link.User)
//		return err
//	}
//
// The store's *sql.DB must come from [OpenDB] or from github.com/jackc/pgx/v5/stdlib: by
// sql.Open("pgx", …), or by stdlib.OpenDBFromPool to share a pgxpool.Pool.
package pgxtx

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// Tx is a transaction for pgx programs. Symbolon commits it. It implements the DBTX of sqlc.
type Tx interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
	CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error)
}

// From returns Symbolon's own transaction for pgx. Its writes are committed together with
// the link or not at all. It must not be used after OnLink has returned. Do not use it at
// the same time as tx.SQL(): close the rows of one before you use the other.
func From(tx *sqlstore.Tx) (Tx, error) {
	var conn *pgx.Conn
	err := tx.Raw(func(driverConn any) error {
		c, ok := driverConn.(interface{ Conn() *pgx.Conn })
		if !ok {
			return fmt.Errorf("pgxtx: the store's database runs on %T, not on pgx", driverConn)
		}
		conn = c.Conn()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return bare{conn}, nil
}

// bare has only the methods of Tx. It hides the connection's other methods, because some of
// them, such as Begin and Close, could end the transaction.
type bare struct{ Tx }

// Execer lets Linker.Forget run inside the application's own pgx transaction:
//
//	err := linker.Forget(ctx, pgxtx.Execer(tx), user)
func Execer(tx interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}) symbolon.Execer {
	return execer{tx.Exec}
}

type execer struct {
	exec func(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

func (e execer) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	tag, err := e.exec(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return result(tag.RowsAffected()), nil
}

type result int64

func (r result) RowsAffected() (int64, error) { return int64(r), nil }

func (result) LastInsertId() (int64, error) {
	return 0, errors.New("pgxtx: Postgres has no last insert ID")
}
