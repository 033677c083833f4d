package server

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// ear listens on Postgres' channel of purges, so that what another replica revoked is
// known here in a moment. The table is read twice a second all the same: an ear that
// hears nothing, for want of a direct connection, costs half a second.
type ear struct {
	wake      chan struct{} // nil: nobody to listen to
	listening atomic.Bool
	log       *slog.Logger
	stop      context.CancelFunc
	wg        sync.WaitGroup
}

const (
	earRetry = time.Second
	earCheck = 15 * time.Second // so often a silent connection is asked whether it is there
)

// newEar begins to listen. On SQLite it is deaf.
func newEar(c *config.Config, log *slog.Logger) *ear {
	e := &ear{log: log, stop: func() {}}
	dsn := c.DatabaseListen.Reveal()
	if dsn == "" {
		dsn = c.Database.Reveal()
	}
	if strings.HasPrefix(dsn, "sqlite://") {
		return e
	}
	conf, err := pgx.ParseConfig(dsn)
	if err != nil {
		return e // not after the configuration was checked
	}
	conf.RuntimeParams["application_name"] = "symbolon listen"
	conf.ConnectTimeout = 5 * time.Second
	var ctx context.Context
	ctx, e.stop = context.WithCancel(context.Background())
	e.wake = make(chan struct{}, 1)
	e.wg.Go(func() { e.run(ctx, conf) })
	return e
}

func (e *ear) run(ctx context.Context, conf *pgx.ConnConfig) {
	for told := false; ctx.Err() == nil; {
		err := e.listen(ctx, conf)
		if e.listening.Swap(false) {
			told = false
		}
		if !told && ctx.Err() == nil {
			told = true // until it has listened again
			e.log.Warn("no connection that listens to other replicas: the table is read instead, twice a second", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(earRetry):
		}
	}
}

func (e *ear) listen(ctx context.Context, conf *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	if _, err := conn.Exec(ctx, "listen symbolon_purges"); err != nil {
		return err
	}
	e.listening.Store(true)
	for {
		e.nudge() // first of all for what was told before
		for {
			waiting, cancel := context.WithTimeout(ctx, earCheck)
			_, err := conn.WaitForNotification(waiting)
			silent := waiting.Err() != nil && ctx.Err() == nil
			cancel()
			if err == nil {
				break
			}
			if !silent {
				return err
			}
			if err := e.ping(ctx, conn); err != nil {
				return err
			}
		}
	}
}

func (e *ear) ping(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return conn.Ping(ctx)
}

func (e *ear) nudge() {
	select {
	case e.wake <- struct{}{}:
	default: // somebody is on the way
	}
}

func (e *ear) close() {
	e.stop()
	e.wg.Wait()
}

// newReplicas is what this process shares with others about sessions.
func newReplicas(s *system.System, e *ear) *sqlstore.Replicas {
	return &sqlstore.Replicas{Store: s.Store, Project: s.Config.Ory.Project, Wake: e.wake}
}
