package work

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/symbolon-id/symbolon/internal/wait"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// In River a key is unique until its job is done. So River would drop a job that is put while
// another job with the same key runs. Therefore a job changes its key from key to key+"r"
// before it begins. A job that is put after that has the original key. It cannot begin before
// the first job is done, because key+"r" is unique as well:
//
//	put ──► key ──► claim: key+"r" ──► Do ──► done
//	                 │ already taken         │ not done: key again
//	                 ▼                       ▼ already taken: done, the waiting job does the work
//	               wait                    wait
const (
	setKeyPostgres = `update ` + schema + `.river_job set unique_key = $1 where id = $2 and attempt = $3`
	setKeySQLite   = `update river_job set unique_key = $1 where id = $2 and attempt = $3`
)

// running is appended to the key of a job that has begun. River's keys have 32 bytes.
const running = 'r'

// cleanupTimeout bounds a statement that cleans up after a context that may have ended.
const cleanupTimeout = 5 * time.Second

// claim marks a job as begun. It returns false if another job of the key runs.
func (q *Queue) claim(ctx context.Context, job *rivertype.JobRow) (bool, error) {
	key := waitingKey(job)
	return q.setKey(ctx, job, append(key, running))
}

// unclaim marks a job as waiting. It returns false if another job of the key waits.
func (q *Queue) unclaim(ctx context.Context, job *rivertype.JobRow) (bool, error) {
	return q.setKey(ctx, job, waitingKey(job))
}

// waitingKey is the original key of a job.
func waitingKey(job *rivertype.JobRow) []byte {
	key := slices.Clone(job.UniqueKey)
	if len(key) == 33 && key[32] == running {
		key = key[:32]
	}
	return slices.Clip(key)
}

// setKey changes the key of a job, unless another server has taken the job over.
func (q *Queue) setKey(ctx context.Context, job *rivertype.JobRow, key []byte) (bool, error) {
	text := setKeySQLite
	if q.config.Dialect == sqlstore.Postgres {
		text = setKeyPostgres
	}
	done, err := q.config.DB.ExecContext(ctx, text, key, job.ID, job.Attempt)
	if isTaken(err) {
		return false, nil
	}
	if err == nil {
		var n int64
		if n, err = done.RowsAffected(); err == nil && n == 0 {
			err = errLost
		}
	}
	if err != nil {
		return false, fmt.Errorf("mark the job: %w", err)
	}
	return true, nil
}

// isTaken reports whether an error comes from the unique index.
func isTaken(err error) bool {
	var postgres interface{ SQLState() string }
	var sqlite interface{ Code() int }
	return errors.As(err, &postgres) && postgres.SQLState() == "23505" || errors.As(err, &sqlite) && sqlite.Code() == 2067
}

// later ends an attempt after which the job must wait again. If another job of the key
// waits, that job does the work. If the key could not be changed back, the job waits
// nevertheless, and a job that is put later waits until this job is done.
func (q *Queue) later(ctx context.Context, job *river.Job[args], how error) error {
	ending, cancel := wait.Detached(ctx, cleanupTimeout)
	defer cancel()
	alone, err := q.unclaim(ending, job.JobRow)
	if err == nil && !alone {
		return nil
	}
	return how
}
