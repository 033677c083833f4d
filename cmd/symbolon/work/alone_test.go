package work

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/symbolon-id/symbolon/sqlstore"
)

type invoice struct{}

func (invoice) Kind() string { return "invoice" }

type invoices struct{ river.WorkerDefaults[invoice] }

func (invoices) Work(context.Context, *river.Job[invoice]) error { return nil }

// TestApplicationsRiver has an application that runs its own River in the same database. On
// Postgres the two have separate tables. On SQLite they would share the tables, and Start
// refuses that.
func TestApplicationsRiver(t *testing.T) {
	onBoth(t, func(t *testing.T, p *place) {
		stop(t, p.start(p.queue(nil))) // Symbolon alone, once
		stop(t, p.start(p.queue(func(c *Config) { c.Project = "second" })))
		var driver riverdriver.Driver[*sql.Tx] = riversqlite.New(p.own())
		if p.dialect == sqlstore.Postgres {
			driver = riverdatabasesql.New(p.own())
		}
		m, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			_, err = m.Migrate(t.Context(), rivermigrate.DirectionUp, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		workers := river.NewWorkers()
		river.AddWorker(workers, invoices{})
		application, err := river.NewClient(driver, &river.Config{Workers: workers, Logger: slog.New(slog.DiscardHandler),
			Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		check := func(says string) {
			t.Helper()
			q := p.queue(nil)
			err := q.Start(context.WithoutCancel(t.Context()))
			defer stop(t, q)
			if refused := p.dialect == sqlstore.SQLite; errors.Is(err, ErrShared) != refused || refused && !strings.Contains(err.Error(), says) {
				t.Errorf("with %s: %v", says, err)
			}
		}
		if _, err := application.Insert(t.Context(), invoice{}, nil); err != nil { // an application that only inserts
			t.Fatal(err)
		}
		check("jobs of the kind invoice")
		if _, err := p.app.ExecContext(t.Context(), `delete from river_job`); err != nil {
			t.Fatal(err)
		}
		if err := application.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := application.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		check("the queue default")
	})
}
