package sqlstore

import (
	"context"

	"github.com/symbolon-id/symbolon"
)

// If the application creates its users itself, Symbolon's own table remote_users replaces
// the users table. It holds the known user IDs and their identities. The rest of the store
// treats it like any users table.

const (
	meetUser = `insert into {users} ({id}) values ($1) on conflict do nothing`

	partWithUser = `
delete from {users} where {id} in ($1, $2)
and not exists (select 1 from symbolon.links l where l.user_id in ($1, $2) and l.state = 'linked')`

	// strangers asks whether the ledger links users although the table is empty.
	strangers = `
select exists (select 1 from symbolon.links where state = 'linked') and not exists (select 1 from {users})`
)

// users returns the description with the table that is actually used.
func (s *Store) users() Users {
	u := s.Users
	if u.newID() == ByApplication {
		u.Table = s.Dialect.prefix() + "remote_users"
	}
	return u
}

// meet adds a user of the application that a voucher or the operator names and that
// Symbolon does not know yet.
func (w *writer) meet(ctx context.Context, key any) error {
	if w.store.NewID() != ByApplication {
		return nil
	}
	n, err := w.db.exec(ctx, meetUser, key)
	w.wrote = w.wrote || n > 0
	return err
}

// part removes Symbolon's row about a user that the application deletes, unless another
// project links the user. The application cannot do this itself, because its own table is
// elsewhere.
func (s *Store) part(ctx context.Context, tx symbolon.Execer, ids [2]string) error {
	if s.NewID() != ByApplication {
		return nil
	}
	_, err := execute(ctx, tx, s.sql.fill(partWithUser), ids[0], ids[1])
	return err
}

// checkStrangers detects an installation that used another users table before.
func (s *Store) checkStrangers(ctx context.Context) ([]error, error) {
	if s.NewID() != ByApplication {
		return nil, nil
	}
	var all bool
	if err := s.DB.QueryRowContext(ctx, s.sql.fill(strangers)).Scan(&all); err != nil {
		return nil, unavailable("look for linked users that are not in the table", err)
	}
	if all {
		return []error{&Fault{Kind: Refusing, Is: "the ledger links users of another table, and with new_id create_url all of them would be missing",
			Fix: "insert their IDs and identities into " + s.users().table() + " first (docs/create-url.md)"}}, nil
	}
	return nil, nil
}
