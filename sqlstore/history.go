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
func (s *Store) LatestLinks(ctx context.Context, project string, limit int) ([]symbolon.Event, error) {
	if project == "" || limit < 1 {
		return nil, errors.New("sqlstore: latest links: the project is empty, or the limit is not positive")
	}
	return readAll(ctx, s, "read the newest bonds", latestLinks, []any{project, limit}, func(row scanner) (e symbolon.Event, err error) {
		var at moment
		err = row.Scan(&e.ID, &at, &e.Identity, &e.User, &e.Source)
		e.Kind, e.At = symbolon.UserLinked, at.Time
		return e, err
	})
}
