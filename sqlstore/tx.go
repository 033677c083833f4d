package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/symbolon-id/symbolon"
)

// InTx runs f in its own transaction, for data that is stored beside the ledger. On SQLite
// it waits in memory for its turn among the store's writers, and f must begin with a write.
// On Postgres the isolation is READ COMMITTED. An error of f rolls everything back. f may
// run again while the database is busy. Errors that a retry may fix match
// symbolon.ErrUnavailable. After ErrUnavailable the transaction may have been committed
// nevertheless.
func (s *Store) InTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	return s.inTx(ctx, "write", func(_ context.Context, db session) error { return f(db.tx) })
}

// inTx runs f in a transaction whose first statement must be a write. f may run again.
// Every error except errTaken, errRefused and a plainError is treated as an error of the
// database.
func (s *Store) inTx(ctx context.Context, doing string, f func(ctx context.Context, db session) error) error {
	if err := s.setup(); err != nil {
		return err
	}
	return s.queueTx(ctx, doing, s.writer, f)
}

// inRowsTx is inTx for a transaction that writes users' rows.
func (s *Store) inRowsTx(ctx context.Context, doing string, f func(ctx context.Context, db session) error) error {
	if err := s.setup(); err != nil {
		return err
	}
	return s.queueTx(ctx, doing, s.behind, f)
}

func (s *Store) queueTx(ctx context.Context, doing string, queue chan struct{}, f func(ctx context.Context, db session) error) error {
	err := s.retryTx(ctx, queue, func(_ context.Context, tx *Tx) error { return f(ctx, session{store: s, tx: tx.tx}) })
	if err == nil || errors.Is(err, errTaken) || errors.Is(err, errRefused) {
		return err
	}
	if own, ok := errors.AsType[plainError](err); ok {
		return own.err
	}
	return unavailable(doing, err)
}

// retryTx runs f in a transaction when it has a place in the queue. While the database is
// busy it runs f again. The context given to f is for waiting on locks.
func (s *Store) retryTx(ctx context.Context, queue chan struct{}, f func(waiting context.Context, tx *Tx) error) error {
	return s.retry(ctx, func(waiting context.Context) error {
		s.prepared.fulfil(waiting, s.DB)
		release, _, err := turn(waiting, queue)
		if err != nil {
			return err
		}
		defer release()
		return s.transact(ctx, waiting, nil, func(tx *Tx) error { return f(waiting, tx) })
	})
}

// scanner is one row of a result.
type scanner interface{ Scan(into ...any) error }

// scanOne scans a row that has one column.
func scanOne[T any](row scanner) (value T, err error) {
	err = row.Scan(&value)
	return value, err
}

// retryRead returns what f reads. While the database is busy it calls f again.
func retryRead[T any](ctx context.Context, s *Store, doing string, f func(waiting context.Context) (T, error)) (T, error) {
	var out, none T
	if err := s.setup(); err != nil {
		return none, err
	}
	err := s.retry(ctx, func(waiting context.Context) (err error) {
		out, err = f(waiting)
		return err
	})
	if err != nil {
		return none, unavailable(doing, err)
	}
	return out, nil
}

// readAll reads all rows of a query.
func readAll[T any](ctx context.Context, s *Store, doing, text string, args []any, scan func(scanner) (T, error)) ([]T, error) {
	return retryRead(ctx, s, doing, func(waiting context.Context) ([]T, error) {
		return collect(waiting, session{store: s}.query, text, args, scan)
	})
}

// readOne reads the first row of a query. If there is no row, it returns ErrNotFound. The
// argument missing is the text of that error.
func readOne[T any](ctx context.Context, s *Store, doing, missing, text string, args []any, scan func(scanner) (T, error)) (one T, err error) {
	all, err := readAll(ctx, s, doing, text, args, scan)
	if err != nil {
		return one, err
	}
	if len(all) == 0 {
		return one, notFound(missing)
	}
	return all[0], nil
}

func notFound(missing string) error {
	return fmt.Errorf("sqlstore: %s: %w", missing, symbolon.ErrNotFound)
}

// collect runs a query and scans all of its rows.
func collect[T any](ctx context.Context, query func(ctx context.Context, text string, args ...any) (*sql.Rows, error),
	text string, args []any, scan func(scanner) (T, error)) (out []T, err error) {
	rows, err := query(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, rows.Err()
}
