package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
)

// maxHeader bounds a request's header. Go allows 4 kB more and then answers 431, which
// nginx shows as an outage. nginx passes on 32 kB of cookies by default, Envoy 60 kB of
// header.
const maxHeader = 60 << 10

// Container tools kill a server ten seconds after they have told it to stop.
const (
	grace      = config.MaxDrain + time.Second // for requests; the drain is a part of it
	lastMoment = 9 * time.Second               // for everything
)

// listener is one of the two addresses of the server.
type listener struct {
	name    string
	address string
	handler http.Handler
}

// listeners runs the listeners of the server.
type listeners struct {
	log      *slog.Logger
	drain    time.Duration // how long requests are answered as usual after ctx has ended
	draining atomic.Bool   // shown by /readyz
	stopping time.Time     // when the server began to stop
}

// end is the time at which the process of a stopping server ends, whatever still runs.
func (s *listeners) end() time.Time {
	if s.stopping.IsZero() {
		return time.Now().Add(lastMoment)
	}
	return s.stopping.Add(lastMoment)
}

// run listens and answers. No address answers before all of them listen, so that a server
// whose /readyz answers 200 answers at both addresses. After ctx has ended, run drains, and
// returns when every request is answered, or after grace.
func (s *listeners) run(ctx context.Context, listeners ...listener) error {
	var sockets []net.Listener
	for _, l := range listeners {
		socket, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.address)
		if err != nil {
			return fmt.Errorf("listen for the %s side: %w", l.name, err)
		}
		defer socket.Close()
		sockets = append(sockets, socket)
		s.log.Info("listening", "side", l.name, "address", socket.Addr().String())
	}
	var servers []*http.Server
	failed := make(chan error, len(listeners))
	for i, l := range listeners {
		srv := s.httpServer(l)
		defer srv.Close() // cuts off the requests that did not end in time
		servers = append(servers, srv)
		go func() { failed <- srv.Serve(sockets[i]) }()
	}
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	s.stop(ctx)
	return s.shutdown(ctx, servers)
}

// stop drains: everything is answered as usual, but /readyz is 503, so that proxies and
// orchestrators choose other servers before this one refuses connections. After Ctrl-C it does
// not drain, because a person waits.
func (s *listeners) stop(ctx context.Context) {
	s.stopping = time.Now()
	s.draining.Store(true)
	if s.drain > 0 && !errors.Is(context.Cause(ctx), cli.ErrInterrupted) {
		s.log.Info("draining: everything is still answered, and /readyz is 503", "for", s.drain)
		time.Sleep(s.drain)
	}
	s.log.Info("stopping: finishing requests and jobs")
}

// closing makes a draining server close each connection after its answer. A proxy then has
// no idle connection that the server could close while a request arrives.
func (s *listeners) closing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

func (s *listeners) httpServer(l listener) *http.Server {
	return &http.Server{
		Handler:           s.closing(l.handler),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // failed handshakes and scanners

		// "OPTIONS *" is answered like any other unknown path.
		DisableGeneralOptionsHandler: true,
	}
}

// shutdown stops all servers at the same time.
func (s *listeners) shutdown(ctx context.Context, servers []*http.Server) error {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), s.stopping.Add(grace))
	defer cancel()
	done := make(chan error, len(servers))
	for _, srv := range servers {
		go func() { done <- srv.Shutdown(ctx) }()
	}
	var faults []error
	for range servers {
		if err := <-done; err != nil {
			faults = append(faults, fmt.Errorf("requests were cut off: %w", err))
		}
	}
	return errors.Join(faults...)
}
