package sqlstore

import (
	"context"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
)

// adoptEvents finds what a run did by how it is described. No index helps; it is read
// when an operator asks.
const adoptEvents = eventColumns + `where project = $1 and id > $2 and way = 'adopt' and detail like $3 order by id limit $4`

// AdoptEvents returns the events of one run of an adoption behind after, oldest first,
// limit of them at most; run is as in [symbolon.Adoption]. An empty run: of all runs.
func (s *Store) AdoptEvents(ctx context.Context, project, run string, after int64, limit int) ([]symbolon.Event, error) {
	mark := "adopt %"
	if run != "" {
		if strings.ContainsAny(run, `%_\`) {
			return nil, nil // no run is called so
		}
		mark = decide.AdoptMark(run) + "%"
	}
	return readAll(ctx, s, "read the history of an adoption", adoptEvents, []any{project, after, mark, limit}, scanEvent)
}
