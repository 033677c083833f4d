package server

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/cmd/symbolon/work"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// background is the server's durable work. It has database connections of its own.
type background struct {
	*work.Queue
	db *sql.DB
}

// tasks are the durable work of the server; see work.Task.
func (p *Server) tasks() []work.Task {
	tasks := work.Own(p.Linker, p.log)
	if every := p.Config.Reconcile.Every; every > 0 && p.Linker.Ory.HasAdmin() {
		tasks = append(tasks, work.Task{Name: "reconcile", Do: p.pass, Every: every, Overdue: p.abandonedRun, Timeout: hangs + 2*p.Config.Deletion.ProofGap})
	}
	if p.Linker.Ory.HasAdmin() {
		tasks = append(tasks, work.Task{Name: "erase", Do: p.resumeErasures, Every: erasePause, Timeout: hangs})
	}
	if p.Config.Retention > 0 {
		tasks = append(tasks, work.Task{Name: "retention", Do: p.compact, Every: compactPause, Timeout: hangs})
	}
	return tasks
}

// compactPause is the time between two deletions of old history.
const compactPause = 24 * time.Hour

// compact deletes history that is older than the configured retention.
func (p *Server) compact(ctx context.Context, _ work.Job) error {
	done, err := p.Store.Compact(ctx, p.Config.Ory.Project, time.Now().Add(-p.Config.Retention))
	if done != (sqlstore.Compacted{}) {
		p.log.Info("old history was deleted", "events", done.Events, "findings", done.Findings, "runs", done.Runs)
	}
	return err
}

// erasePause is the time after which the server looks again for unfinished erasures.
const erasePause = 5 * time.Second

// resumeErasures continues the erasures that any server has begun. Its requests to Ory use
// only the background's share of the rate limit.
func (p *Server) resumeErasures(ctx context.Context, _ work.Job) error {
	_, _, err := p.Erasures().Resume(symbolon.Background(ctx, system.RunPatience))
	return err
}

// newBackground makes the queue, and connects links and hooks to it. No job runs before
// Start.
func (p *Server) newBackground() (*background, error) {
	db, err := system.OpenWork(p.Config)
	if err != nil {
		return nil, err
	}
	tasks := p.tasks()
	p.metrics.startAtZero(tasks, p.Creator != nil)
	q, err := work.New(work.Config{DB: db, Dialect: p.Store.Dialect, InTx: p.putter(db).InTx, Listen: p.Config.DatabaseListen.Reveal(),
		Project: p.Config.Ory.Project, Tasks: tasks, Observe: p.metrics.work, Log: p.log})
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("the background work: %w", err)
	}
	p.Linker.QueuedWrites = true
	if p.Linker.BackReference.Patches() { // without OnLink a new link takes fewer round trips
		p.Store.OnLink = q.OnLink(p.Linker)
	}
	if p.Linker.Ory.HasAdmin() {
		p.hooks.Queue = q.Hint // without the admin API a hint could not be followed later
	}
	return &background{q, db}, nil
}

// putter returns the store in whose transactions jobs are put. On SQLite it is the store of
// the links, because jobs and links have to share one queue of writers. On Postgres a hint
// is put on the background's connections, so that it does not wait for the work of other
// hints.
func (p *Server) putter(db *sql.DB) *sqlstore.Store {
	if p.Store.Dialect == sqlstore.SQLite {
		return p.Store
	}
	return &sqlstore.Store{DB: db, Dialect: p.Store.Dialect, Users: sqlstore.Users{NewID: sqlstore.ByApplication}}
}

// stop waits for the jobs that run. The queue began to stop together with the listeners. The
// last seconds before the deadline of ctx are left for what is closed afterwards.
func (b *background) stop(ctx context.Context, log *slog.Logger) {
	end, _ := ctx.Deadline()
	ctx, cancel := context.WithDeadline(ctx, end.Add(-2*time.Second))
	defer cancel()
	if err := b.Stop(ctx); err != nil {
		log.Warn("the server stopped before the background work was done; the work continues at the next start", "error", err)
	}
	_ = b.db.Close()
}
