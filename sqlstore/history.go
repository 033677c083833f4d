package sqlstore

import (
	"context"
	"errors"

	"github.com/symbolon-id/symbolon"
)

// latestLinks reads the events backwards by their key, because an index by kind would have
// no other use.
const latestLinks = `
select id, at, identity_id, user_id, way from symbolon.events
where project = $1 and kind = 'user.linked' order by id desc limit $2`

// LatestLinks returns at most limit events of new links, the newest first. Each says when an
// identity was linked to a user, and from which source.
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
