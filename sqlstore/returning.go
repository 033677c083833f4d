package sqlstore

import (
	"context"

	"github.com/symbolon-id/symbolon"
)

// The ledger keeps an HMAC of the address that Ory had verified when a bond's last reading was
// written. It is valid only if it was written with the entry's ticket.
const (
	saveAddress = `
update symbolon.links set address = $1, address_ticket = $2 where project = $3 and identity_id = $4`

	clearAddress = `
update symbolon.links set address = '' where project = $1 and identity_id = $2 and address <> ''`

	// endedBonds uses the index by address. A person has had few users.
	endedBonds = `
select identity_id, user_id from symbolon.links
where project = $1 and address = $2 and address <> '' and state = 'gone' and address_ticket = ticket and user_id is not null
order by linked_at desc, identity_id limit 20`
)

// readEnded finds the ended bonds whose address is one of the identity's.
func (r *reader) readEnded(ctx context.Context, q symbolon.Query, known map[symbolon.UserID]symbolon.Claimed) error {
	for _, address := range q.Addresses {
		found, err := collect(ctx, r.db.query, endedBonds, []any{q.Project, address}, func(row scanner) (l symbolon.Link, err error) {
			err = row.Scan(&l.Identity, &l.User)
			return l, err
		})
		if err != nil {
			return err
		}
		for _, l := range found {
			c, err := r.claimed(ctx, q.Project, l.User, known)
			if err != nil {
				return err
			}
			if c.Row == nil && !c.Retired {
				if err := r.mayBeHidden(ctx); err != nil {
					return err
				}
			}
			if c.Row != nil && c.Row.Identity == l.Identity {
				r.held.Ended = append(r.held.Ended, symbolon.Match{Row: *c.Row, Retired: c.Retired, Email: address})
			}
		}
	}
	return nil
}

// recordAddress keeps the verified address of the reading whose ticket the entry has.
func (w *writer) recordAddress(ctx context.Context) error {
	ticket := w.q.Reading.Ticket
	if w.q.Address == "" || ticket == 0 || w.entry.State != symbolon.Linked || w.entry.Ticket != ticket {
		return nil
	}
	return w.lastly(ctx, w.store.statement(saveAddress, w.q.Address, int64(ticket), w.q.Project, string(w.q.Reading.Identity.ID)))
}

// forgetAddress removes the record of an entry whose person must never be found by it.
func (w *writer) forgetAddress(ctx context.Context) error {
	_, err := w.db.exec(ctx, clearAddress, w.q.Project, string(w.q.Reading.Identity.ID))
	return err
}
