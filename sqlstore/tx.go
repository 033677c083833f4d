package sqlstore

import (
	"context"
	"database/sql"
	"errors"
)

// InTx runs f in its own transaction, for data that is stored beside the ledger. On SQLite it
// waits in memory for its turn among the store's writers, and f must begin with a write. On
// Postgres the isolation is READ COMMITTED. An error of f rolls everything back. f may run
// again while the database is busy. Errors that a retry may fix match
// symbolon.ErrUnavailable; after such an error the transaction may be committed
// nevertheless.
func (s *Store) InTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	return s.inTx(ctx, "write", func(_ context.Context, db session) error { return f(db.tx) })
}

// inTx runs f in a transaction whose first statement must be a write. f may run again. Every
// error except errTaken, errRefused and a plainError counts as the database's.
func (s *Store) inTx(ctx context.Context, doing string, f func(ctx context.Context, db session) error) error {
	if err := s.setup(); err != nil {
		return err
	}
	err := s.retry(ctx, func(waiting context.Context) error {
		s.prepared.fulfil(waiting, s.DB)
		release, _, err := s.turn(waiting)
		if err != nil {
			return err
		}
		defer release()
		return s.transact(ctx, waiting, func(tx *Tx) error { return f(ctx, session{store: s, tx: tx.tx}) })
	})
	var own plainError
	switch {
	case err == nil, errors.Is(err, errTaken), errors.Is(err, errRefused):
		return err
	case errors.As(err, &own):
		return own.err
	}
	return unavailable(doing, err)
}

// scanner is one row of a result.
type scanner interface{ Scan(into ...any) error }

// readAll reads all rows of a query. It starts again while the database is busy.
func readAll[T any](ctx context.Context, s *Store, doing, text string, args []any, scan func(scanner) (T, error)) (out []T, err error) {
	if err := s.setup(); err != nil {
		return nil, err
	}
	err = s.retry(ctx, func(waiting context.Context) error {
		out, err = collect(waiting, session{store: s}, text, args, scan)
		return err
	})
	if err != nil {
		return nil, unavailable(doing, err)
	}
	return out, nil
}

func collect[T any](ctx context.Context, db session, text string, args []any, scan func(scanner) (T, error)) (out []T, err error) {
	rows, err := db.query(ctx, text, args...)
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
