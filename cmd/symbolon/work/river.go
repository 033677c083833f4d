package work

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"

	"github.com/symbolon-id/symbolon/sqlstore"
)

// schema is the schema of River's tables on Postgres. SQLite has no schemas.
const schema = "symbolon_river"

func schemaOf(d sqlstore.Dialect) string {
	if d == sqlstore.Postgres {
		return schema
	}
	return ""
}

func (q *Queue) driver() (riverdriver.Driver[*sql.Tx], error) {
	switch {
	case q.config.Dialect == sqlstore.SQLite:
		return riversqlite.New(q.config.DB), nil
	case q.config.Listen == "":
		return riverdatabasesql.New(q.config.DB), nil
	}
	config, err := pgxpool.ParseConfig(q.config.Listen)
	if err != nil {
		return nil, errors.New("database_listen is not a valid address") // err quotes the address, which has a password
	}
	config.MaxConns, config.MinConns = 2, 0
	if q.listen, err = pgxpool.NewWithConfig(context.Background(), config); err != nil { // connects when it is used
		return nil, errors.New("the address in database_listen cannot be used")
	}
	return riverdatabasesql.NewWithPgxListener(q.config.DB, q.listen), nil
}

// longestStatement is the limit of River's longest statements.
const longestStatement = 15 * time.Second

// connect makes the client, which puts jobs, and runs them once it is started.
func (q *Queue) connect() error {
	driver, err := q.driver()
	if err != nil {
		return err
	}
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &worker{queue: q}); err != nil {
		return err
	}
	poll := time.Second
	if q.config.Dialect == sqlstore.SQLite {
		poll = 250 * time.Millisecond // SQLite cannot notify
	}
	q.client, err = river.NewClient(driver, &river.Config{
		Schema:  schemaOf(q.config.Dialect),
		Workers: workers,
		Queues: map[string]river.QueueConfig{
			q.lane(false): {MaxWorkers: 8},
			q.lane(true):  {MaxWorkers: 2},
		},
		PollOnly:                    q.listen == nil,
		FetchPollInterval:           cmp.Or(q.config.poll, poll),
		JobTimeout:                  q.config.timeout,
		RescueStuckJobsAfter:        365 * 24 * time.Hour, // see alive.go
		SoftStopTimeout:             softStop,
		MaxAttempts:                 maxAttempts,
		CompletedJobRetentionPeriod: time.Hour,
		JobCleanerTimeout:           longestStatement,
		ReindexerTimeout:            longestStatement,
		Test:                        river.TestConfig{Time: q.clock}, // River has no other place for a clock
		Logger:                      slog.New(onlyErrors{q.config.Log.Handler()}),
	})
	return err
}

// lane is the name of a River queue. It contains the project.
func (q *Queue) lane(asks bool) string {
	name := "symbolon"
	if p := q.config.Project; p != "" && p != "default" {
		sum := sha256.Sum256([]byte(p))
		name += "_" + hex.EncodeToString(sum[:8])
	}
	if asks {
		name += "_ory"
	}
	return name
}

// onlyErrors drops River's messages below the level of errors. The worker logs failed jobs
// itself.
type onlyErrors struct{ slog.Handler }

func (h onlyErrors) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError && h.Handler.Enabled(ctx, level)
}

func (h onlyErrors) WithAttrs(attrs []slog.Attr) slog.Handler {
	return onlyErrors{h.Handler.WithAttrs(attrs)}
}

func (h onlyErrors) WithGroup(name string) slog.Handler { return onlyErrors{h.Handler.WithGroup(name)} }
