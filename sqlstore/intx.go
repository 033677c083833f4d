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
	return s.inTx(ctx, "write", func(_ context.Context, db session) error { return f(db.tx) })
}
