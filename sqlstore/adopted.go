package sqlstore

import (
	"context"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// adoptEvents also requires that run is not empty, because the index that it uses has this
// condition.
const adoptEvents = eventColumns + `where project = $1 and run = $2 and run <> '' and id > $3 order by id limit $4`

// AdoptEvents returns at most limit events of one adoption run, the oldest first. The page
// holds the events with IDs greater than the parameter after. run is as in
// [symbolon.Adoption].
//
// Before the first page (after is 0) it fills in the columns run and adopted of the run's
// events. An event lacks them if a program from before migration 5 wrote it during or after
// the migration.
func (s *Store) AdoptEvents(ctx context.Context, project, run string, after int64, limit int) ([]symbolon.Event, error) {
	if after == 0 {
		if err := s.completeAdoptEvents(ctx, project, run); err != nil {
			return nil, err
		}
	}
	return readAll(ctx, s, "read the history of an adoption", adoptEvents, []any{project, run, after, limit}, scanEvent)
}

// oldAdoptEvents asks whether there are events to complete. There are hardly ever such
// events, and the updates can take seconds if a run has a hundred thousand bonds. So this
// query, which takes no lock, comes first.
const oldAdoptEvents = `
select exists (select 1 from symbolon.events
               where project = $1 and way = 'adopt' and run = '' and detail like 'adopt ' || $2 || ': %')`

func (s *Store) completeAdoptEvents(ctx context.Context, project, run string) error {
	found, err := readAll(ctx, s, "read the history of an adoption", oldAdoptEvents, []any{project, run}, scanOne[bool])
	if err != nil || !found[0] {
		return err
	}
	return s.inTx(ctx, "complete the history of an adoption", func(ctx context.Context, db session) error {
		bonds, findings := s.Dialect.adoptRepairs()
		for _, text := range []string{bonds, findings} {
			if _, err := db.exec(ctx, text, project, run); err != nil {
				return err
			}
		}
		return nil
	})
}

// adoptRepairs are the two updates of migration 5, limited to a project ($1) and a run ($2).
// Their texts end in conditions, and this function adds more conditions. An event that an
// erasure has cleared stays clear. If Postgres had to wait for the erasure, it checks the
// condition on e.detail again, and skips the event.
func (d Dialect) adoptRepairs() (bonds, findings string) {
	const ofRun = ` and e.run = '' and e.project = $1 and bond.run = $2`
	text, _ := Migrations.ReadFile(string(d) + "/00005_adopt_runs.sql") // setup has checked d
	statements := strings.Split(string(text), ";\n")
	return statements[2] + ofRun + ` and e.detail <> ''`, statements[3] + ofRun
}
