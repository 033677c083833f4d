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
)

// maxHeader bounds a request's header. Go allows 4 kB more and then answers 431.
const maxHeader = 16 << 10

// grace is how long a stopping server waits for what it has begun. Container
// tools kill after ten seconds.
const grace = 8 * time.Second

// listener is one of the two addresses of the server.
type listener struct {
	name    string
	address string
	handler http.Handler
}

// listeners runs listeners until its context ends.
type listeners struct {
	log      *slog.Logger
	draining atomic.Bool // shown by /readyz
}

// run listens and answers. It returns when ctx has ended and every request that
// was begun is answered, or grace is over.
func (s *listeners) run(ctx context.Context, listeners ...listener) error {
	var servers []*http.Server
	failed := make(chan error, len(listeners))
	defer func() {
		for _, srv := range servers {
			_ = srv.Close() // what did not end in time
		}
	}()
	for _, l := range listeners {
		socket, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.address)
		if err != nil {
			return fmt.Errorf("listen for the %s side: %w", l.name, err)
		}
		srv := s.httpServer(l)
		servers = append(servers, srv)
		s.log.Info("listening", "side", l.name, "address", socket.Addr().String())
		go func() { failed <- srv.Serve(socket) }()
	}
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	s.draining.Store(true)
	s.log.Info("stopping: finishing what was begun")
	return s.shutdown(ctx, servers)
}

func (s *listeners) httpServer(l listener) *http.Server {
	return &http.Server{
		Handler:           l.handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // handshakes and scanners

		// "OPTIONS *" is a path like any other that does not exist.
		DisableGeneralOptionsHandler: true,
	}
}

// shutdown stops all servers at once, not one after another.
func (s *listeners) shutdown(ctx context.Context, servers []*http.Server) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
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
