package server

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/internal/wait"
)

// startup takes the database into use: it connects, migrates, checks the users table and
// starts the background work. If the database does not answer, the server starts without
// it, so that sign-ups continue, because the reserve hook needs no database. Every other
// route answers 503 until startup, which tries again by itself, has succeeded.
//
// A fault that the database reports, such as a wrong password or a table that does not fit,
// ends a server that starts. Such a fault never ends a server that has started without its
// database, because that would stop the reserve hook.
type startup struct {
	server *Server
	done   atomic.Bool            // the database is in use
	reason atomic.Pointer[string] // why it is not, for /readyz and the metrics

	end     context.CancelFunc
	running sync.WaitGroup // the goroutines of attempt and retry
}

const (
	// startPatience is how long a server waits for its database before it starts without it.
	// It is longer than the timeout of a connection.
	startPatience = 7 * time.Second

	shortestPause, longestPause = 250 * time.Millisecond, 5 * time.Second

	// repeatWarning is the time after which the same fault is logged again.
	repeatWarning = time.Minute
)

// withoutDatabase are the routes that answer before the database is in use.
var withoutDatabase = []string{"/hooks/reserve", "/healthz", "/readyz", "/metrics"}

var notStarted = answer.New(503, answer.Unavailable, "The server cannot use its database yet. Try again.")

// notReady are the answers of /readyz, by the reason.
var notReady = map[string]*answer.Problem{
	reasonOutage: answer.New(503, answer.Unavailable, "The server cannot use its database yet: the database does not answer."),
	reasonName:   answer.New(503, answer.Unavailable, "The server cannot use its database yet: the host name of the database does not resolve."),
	reasonFault:  answer.New(503, answer.Unavailable, "The server cannot use its database yet: the database has a fault, which is in the log."),
}

// setReason notes why the database is not in use; "" if it is.
func (s *startup) setReason(reason string) {
	s.reason.Store(&reason)
	s.server.metrics.startup(reason)
}

// notReady is the answer of /readyz until the database is in use.
func (s *startup) notReady() *answer.Problem {
	if reason := s.reason.Load(); reason != nil && notReady[*reason] != nil {
		return notReady[*reason]
	}
	return notStarted
}

// gate answers 503 for a route until the database is in use. An unknown path has an empty
// pattern, and is answered at once.
func (s *startup) gate(pattern string, next http.Handler) http.Handler {
	if pattern == "" || slices.Contains(withoutDatabase, pattern) {
		return next
	}
	refuse := answer.Write
	if strings.Contains(pattern, "/hooks/") {
		refuse = answer.WriteHook
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.done.Load() {
			refuse(w, notStarted)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// begin makes the first attempt. If the database reports a fault, begin returns the fault.
// If the database does not answer, begin returns nil, and the attempts continue.
func (s *startup) begin(ctx context.Context) error {
	ctx, s.end = context.WithCancel(ctx)
	first := make(chan error, 1)
	s.running.Go(func() { first <- s.attempt(ctx) })
	select {
	case err := <-first:
		if err != nil && ctx.Err() == nil && !s.server.Store.Dialect.Unreachable(err) {
			return err
		}
		if s.done.Load() {
			return nil
		}
		first <- err
	case <-time.After(startPatience):
		s.server.log.Warn("the database is silent, or its migration takes long: the server starts without it", "after", startPatience)
		s.setReason(reasonOutage)
	}
	s.running.Go(func() { s.retry(ctx, <-first) })
	return nil
}

// attempt takes the database into use.
func (s *startup) attempt(ctx context.Context) error {
	if err := s.server.Prepare(ctx, s.server.log); err != nil {
		return err
	}
	if err := s.server.work.Start(ctx); err != nil {
		return err
	}
	s.done.Store(true)
	return nil
}

// retry repeats the attempt until it succeeds or ctx ends. The parameter err is the error
// of the first attempt.
func (s *startup) retry(ctx context.Context, err error) {
	last, logged := "", time.Time{}
	for pause := shortestPause; err != nil && ctx.Err() == nil; pause = min(2*pause, longestPause) {
		if text := s.name(err); text != last || time.Since(logged) > repeatWarning {
			last, logged = text, time.Now()
			s.complain(ctx, err)
		}
		jittered := pause - rand.N(pause/4) //nolint:gosec // it is not a secret
		if wait.For(ctx, jittered) == nil {
			err = s.attempt(ctx)
		}
	}
	if s.done.Load() {
		s.setReason("")
		s.server.log.Info("the database is in use: the server is ready")
	}
}

// name returns the same text for errors that are logged only once. The texts of outages differ
// by the ports of their connections.
func (s *startup) name(err error) string {
	if reason := s.reasonOf(err); reason != reasonFault {
		return reason
	}
	return err.Error()
}

// reasonOf returns why the database is not in use. A host name that does not exist is probably
// mistyped. It is an outage nevertheless, because the DNS of a cluster may learn it later.
func (s *startup) reasonOf(err error) string {
	lookup, ok := errors.AsType[*net.DNSError](err)
	switch {
	case ok && lookup.IsNotFound:
		return reasonName
	case s.server.Store.Dialect.Unreachable(err):
		return reasonOutage
	}
	return reasonFault
}

func (s *startup) complain(ctx context.Context, err error) {
	level, what := slog.LevelError, "the database cannot be used"
	reason := s.reasonOf(err)
	switch reason {
	case reasonOutage:
		level, what = slog.LevelWarn, "the database does not answer"
	case reasonName:
		what = "the host name of the database does not resolve (database, or SYMBOLON_DATABASE)"
	}
	s.setReason(reason)
	s.server.log.Log(ctx, level, what+": the server tries again, and serves only the reserve hook until it succeeds", "error", err)
}

// close ends the attempts.
func (s *startup) close() {
	if s.end != nil {
		s.end()
	}
	s.running.Wait()
}
