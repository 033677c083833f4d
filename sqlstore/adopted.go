package sqlstore

import (
	"context"

	"github.com/symbolon-id/symbolon"
)

// adoptEvents says that run is not empty, because the condition of its index does.
const adoptEvents = eventColumns + `where project = $1 and run = $2 and run <> '' and id > $3 order by id limit $4`

// AdoptEvents returns at most limit events of one run of an adoption, the oldest first. They
// come after the event with the ID after. run is as in [symbolon.Adoption].
func (s *Store) AdoptEvents(ctx context.Context, project, run string, after int64, limit int) ([]symbolon.Event, error) {
	return readAll(ctx, s, "read the history of an adoption", adoptEvents, []any{project, run, after, limit}, scanEvent)
}
