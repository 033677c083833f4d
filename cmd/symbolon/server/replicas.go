package server

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/internal/wait"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// purgeListener holds a LISTEN connection to Postgres, so that a purge on another replica is
// known here at once. The table of purges is also polled, twice a second. Without a LISTEN
// connection a purge therefore takes half a second.
type purgeListener struct {
	received  chan struct{} // nil on SQLite
	listening atomic.Bool
	log       *slog.Logger
	stop      context.CancelFunc
	wg        sync.WaitGroup // run
}

// afterStart reads no purges before the database is in use, because a new database has no
// table of purges yet.
type afterStart struct {
	*sqlstore.Replicas
	started *atomic.Bool
}

// Hear implements session.Broadcast.
func (b afterStart) Hear(ctx context.Context) ([]string, error) {
	for !b.started.Load() {
		if err := wait.For(ctx, startedPause); err != nil {
			return nil, fmt.Errorf("the database is not in use yet: %w", err)
		}
	}
	return b.Replicas.Hear(ctx)
}

const startedPause = 20 * time.Millisecond

const (
	listenRetry = time.Second
	listenCheck = 15 * time.Second // how often a silent connection is pinged

	listenTimeout  = 5 * time.Second // of every other step
	goodbyeTimeout = time.Second     // of closing the connection
)

// listenForPurges starts to listen. On SQLite there is nothing to listen to.
func listenForPurges(c *config.Config, log *slog.Logger) *purgeListener {
	e := &purgeListener{log: log, stop: func() {}}
	if _, sqlite := c.SQLitePath(); sqlite {
		return e
	}
	dsn := cmp.Or(c.DatabaseListen, c.Database).Reveal()
	conf, err := pgx.ParseConfig(dsn)
	if err != nil {
		return e // impossible: the configuration was checked
	}
	conf.RuntimeParams["application_name"] = "symbolon listen"
	conf.ConnectTimeout = listenTimeout
	var ctx context.Context
	ctx, e.stop = context.WithCancel(context.Background())
	e.received = make(chan struct{}, 1)
	e.wg.Go(func() { e.run(ctx, conf) })
	return e
}

func (e *purgeListener) run(ctx context.Context, conf *pgx.ConnConfig) {
	for warned := false; ctx.Err() == nil; {
		err := e.listen(ctx, conf)
		if e.listening.Swap(false) {
			warned = false
		}
		if !warned && ctx.Err() == nil {
			warned = true // once, until it has listened again
			e.log.Warn("no LISTEN connection for the purges of other replicas: the table is polled instead, twice a second", "error", err)
		}
		_ = wait.For(ctx, listenRetry)
	}
}

func (e *purgeListener) listen(ctx context.Context, conf *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := wait.Detached(ctx, goodbyeTimeout)
		defer cancel()
		_ = conn.Close(closing)
	}()
	if err := answered(ctx, func(ctx context.Context) error {
		_, err := conn.Exec(ctx, "listen symbolon_purges")
		return err
	}); err != nil {
		return err
	}
	e.listening.Store(true)
	for {
		e.notify() // at first for the purges before LISTEN
		if err := e.notification(ctx, conn); err != nil {
			return err
		}
	}
}

// notification waits for a notification. It pings a connection that is silent.
func (e *purgeListener) notification(ctx context.Context, conn *pgx.Conn) error {
	for {
		waiting, cancel := context.WithTimeout(ctx, listenCheck)
		_, err := conn.WaitForNotification(waiting)
		silent := waiting.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil || !silent {
			return err
		}
		if err := answered(ctx, conn.Ping); err != nil {
			return err
		}
	}
}

// answered calls f, whose connection may have fallen silent, with a limit.
func answered(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	return f(ctx)
}

func (e *purgeListener) notify() {
	select {
	case e.received <- struct{}{}:
	default: // the receiver has not read the one before
	}
}

func (e *purgeListener) close() {
	e.stop()
	e.wg.Wait()
}
