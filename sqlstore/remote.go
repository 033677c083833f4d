package sqlstore

import (
	"context"

	"github.com/symbolon-id/symbolon"
)

// Where the application makes its users itself, a table of Symbolon's own stands in
// for the application's: which users were heard of, and whose they are. Everything
// else treats it like any users table.
const (
	remotePostgres = "symbolon.remote_users"
	remoteSQLite   = "symbolon_remote_users"
)

const (
	meetUser = `insert into {users} ({id}) values ($1) on conflict do nothing`

	partWithUser = `
delete from {users} where {id} in ($1, $2)
and not exists (select 1 from symbolon.links l where l.user_id in ($1, $2) and l.state = 'linked')`

	// strangers tells whether the ledger binds users, and none of them was heard of.
	strangers = `
select exists (select 1 from symbolon.links where state = 'linked') and not exists (select 1 from {users})`
)

// users is the description with the table that is really used.
func (s *Store) users() Users {
	u := s.Users
	if u.newID() == ByApplication {
		u.Table = remotePostgres
		if s.Dialect == SQLite {
			u.Table = remoteSQLite
		}
	}
	return u
}

// meet makes room for a user that the application made and nobody told us of until
// now: a voucher or the operator names it.
func (w *writer) meet(ctx context.Context, key any) error {
	if w.store.NewID() != ByApplication {
		return nil
	}
	n, err := w.db.exec(ctx, meetUser, key)
	w.wrote = w.wrote || n > 0
	return err
}

// part lets go of a user that the application deletes, unless another project binds
// it: there is no row of its own that it could delete here.
func (s *Store) part(ctx context.Context, tx symbolon.Execer, ids [2]string) error {
	if s.NewID() != ByApplication {
		return nil
	}
	_, err := execute(ctx, tx, s.sql.fill(partWithUser), ids[0], ids[1])
	return err
}

// checkStrangers finds an installation that had a users table until now. It looks only
// where there are no other faults.
func (s *Store) checkStrangers(ctx context.Context, faults []error) error {
	if s.NewID() != ByApplication || len(faults) > 0 {
		return nil
	}
	var all bool
	if err := s.DB.QueryRowContext(ctx, s.sql.fill(strangers)).Scan(&all); err != nil {
		return unavailable("look for users that nobody was told of", err)
	}
	if all {
		return &Fault{Kind: Refusing, Is: "the ledger binds users of another table, and with new_id create_url they would all be gone",
			Fix: "insert their IDs and identities into " + s.users().table() + " first (docs/create-url.md)"}
	}
	return nil
}
