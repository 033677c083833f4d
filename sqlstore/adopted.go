package sqlstore

import (
	"context"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// adoptEvents finds what a run did by how it is described. No index helps; it is read
// when an operator asks.
const adoptEvents = eventColumns + `where project = $1 and id > $2 and way = 'adopt' and detail like $3 order by id limit $4`

// AdoptEvents returns the events of one run of an adoption behind after, oldest first,
// limit of them at most; run is as in [symbolon.Adoption]. An empty run: of all runs.
func (s *Store) AdoptEvents(ctx context.Context, project, run string, after int64, limit int) ([]symbolon.Event, error) {
	if err := s.setup(); err != nil {
		return nil, err
	}
	mark := "adopt %"
	if run != "" {
		if strings.ContainsAny(run, `%_\`) {
			return nil, nil // no run is called so
		}
		mark = symbolon.AdoptMark(run) + "%"
	}
	var out []symbolon.Event
	err := s.patiently(ctx, func(waiting context.Context) error {
		out = nil
		rows, err := session{store: s}.query(waiting, adoptEvents, project, after, mark, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			e, err := scanEvent(rows)
			if err != nil {
				return err
			}
			out = append(out, e)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, unavailable("read the history of an adoption", err)
	}
	return out, nil
}
