package sqlstore

import (
	"context"
	"errors"

	"github.com/symbolon-id/symbolon"
)

// latestLinks walks the events backwards by their key: an index by kind would be kept
// for this alone.
const latestLinks = `
select id, at, identity_id, user_id, way from symbolon.events
where project = $1 and kind = 'user.linked' order by id desc limit $2`

// LatestLinks returns the newest bonds that were made, newest first, limit of them at
// most: who was linked when, and by which way.
func (s *Store) LatestLinks(ctx context.Context, project string, limit int) (out []symbolon.Event, err error) {
	if err := s.setup(); err != nil {
		return nil, err
	}
	if project == "" || limit < 1 {
		return nil, errors.New("sqlstore: latest links: the project is empty, or the limit is not positive")
	}
	err = s.patiently(ctx, func(waiting context.Context) error {
		out = nil
		rows, err := session{store: s}.query(waiting, latestLinks, project, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			e := symbolon.Event{Kind: symbolon.UserLinked}
			var at moment
			if err := rows.Scan(&e.ID, &at, &e.Identity, &e.User, &e.Way); err != nil {
				return err
			}
			e.At = at.Time
			out = append(out, e)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, unavailable("read the newest bonds", err)
	}
	return out, nil
}
