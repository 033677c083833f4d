package sqlstore

import (
	"context"

	"github.com/symbolon-id/symbolon"
)

// adoptEvents repeats that run is not empty, because its index says so too.
const adoptEvents = eventColumns + `where project = $1 and run = $2 and run <> '' and id > $3 order by id limit $4`

// AdoptEvents returns the events of one run of an adoption behind after, oldest first,
// limit of them at most; run is as in [symbolon.Adoption].
func (s *Store) AdoptEvents(ctx context.Context, project, run string, after int64, limit int) ([]symbolon.Event, error) {
	return readAll(ctx, s, "read the history of an adoption", adoptEvents, []any{project, run, after, limit}, scanEvent)
}
