package sqlstore

import (
	"context"
	"database/sql"
)

// InTx runs f in a transaction of its own, for what is kept beside the ledger and is
// no bond. On SQLite it waits in memory for its turn among the store's writers, and f
// must begin with a write; on Postgres it is READ COMMITTED. An error of f undoes
// everything. f may run again while the database is busy. Errors that a retry may mend
// match symbolon.ErrUnavailable.
func (s *Store) InTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	if err := s.setup(); err != nil {
		return err
	}
	err := s.patiently(ctx, func(waiting context.Context) error {
		release, _, err := s.turn(waiting)
		if err != nil {
			return err
		}
		defer release()
		var options *sql.TxOptions
		if s.Dialect == Postgres {
			options = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
		}
		tx, err := s.DB.BeginTx(waiting, options)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // nothing, after the commit
		if err := f(tx); err != nil {
			return err
		}
		return tx.Commit()
	})
	if err != nil {
		return unavailable("write", err)
	}
	return nil
}
