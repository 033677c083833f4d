package work

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/symbolon-id/symbolon/sqlstore"
)

// River lets one job of a key exist until it is done, also while it runs: what is put
// meanwhile would be swallowed. So a job changes its key before it begins. Whoever puts
// another from then on puts a job of its own, which waits, because the changed key is
// unique as well:
//
//	put ──► key ──► claim: key+"r" ──► Do ──► done
//	                 │ taken by another      │ not done: key again
//	                 ▼                       ▼ taken by one that waits: done, that one does it
//	               wait                    wait
const (
	setKeyPostgres = `update ` + schema + `.river_job set unique_key = $1 where id = $2`
	setKeySQLite   = `update river_job set unique_key = $1 where id = $2`
)

// running marks the key of a job that has begun. River's own keys are digests of 32
// bytes.
const running = 'r'

// claim says that the job has begun. false: another of its key runs.
func (q *Queue) claim(ctx context.Context, job *rivertype.JobRow) (bool, error) {
	key := waitingKey(job)
	return q.setKey(ctx, job.ID, append(key, running))
}

// unclaim says that the job waits again. false: another waits already.
func (q *Queue) unclaim(ctx context.Context, job *rivertype.JobRow) (bool, error) {
	return q.setKey(ctx, job.ID, waitingKey(job))
}

// waitingKey is the key as it was put; a job that was begun before has the other.
func waitingKey(job *rivertype.JobRow) []byte {
	key := slices.Clone(job.UniqueKey)
	if len(key) == 33 && key[32] == running {
		key = key[:32]
	}
	return slices.Clip(key)
}

func (q *Queue) setKey(ctx context.Context, id int64, key []byte) (bool, error) {
	text := setKeySQLite
	if q.config.Dialect == sqlstore.Postgres {
		text = setKeyPostgres
	}
	_, err := q.config.DB.ExecContext(ctx, text, key, id)
	if isTaken(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("mark the job: %w", err)
	}
	return true, nil
}

// isTaken tells the refusal of the unique index from every other error.
func isTaken(err error) bool {
	var postgres interface{ SQLState() string }
	var sqlite interface{ Code() int }
	return errors.As(err, &postgres) && postgres.SQLState() == "23505" || errors.As(err, &sqlite) && sqlite.Code() == 2067
}

// later ends an attempt after which the job would wait again. Where one of its key
// waits already, that one does the work.
func (q *Queue) later(ctx context.Context, job *river.Job[args], how error) error {
	alone, err := q.unclaim(context.WithoutCancel(ctx), job.JobRow)
	if err == nil && !alone {
		return nil
	}
	return how // also where the mark stays: whoever is put meanwhile waits for this one
}
