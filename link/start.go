package link

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/decide"
)

// startLife is how long a start that is not settled is remembered. Within this time the
// Linkers of other processes notice that it was settled.
const startLife = 2 * time.Second

// starts remembers the start of the project. A settled start is never read again.
type starts struct {
	mu    sync.Mutex // protects the fields below
	start symbolon.Start
	at    time.Time // when it was read, by the monotonic clock
}

// known returns the remembered start, or a zero one if it must be read. It returns nil if the
// start is settled.
func (s *starts) known() *symbolon.Start {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.start.Settled():
		return nil
	case time.Since(s.at) > startLife:
		return &symbolon.Start{}
	}
	known := s.start
	return &known
}

// read reads the start into the parameter into.
func (s *starts) read(ctx context.Context, l *Linker, into *symbolon.Start) error {
	began := time.Now()
	start, err := l.Store.Start(ctx, l.project())
	if err != nil {
		return fmt.Errorf("read the project's start: %w", err)
	}
	s.keep(start, began)
	*into = start
	return nil
}

// keep remembers a start. A settled one is never replaced.
func (s *starts) keep(start symbolon.Start, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.start.Settled() {
		s.start, s.at = start, at
	}
}

// Settle records the operator's order that everybody who has no user gets a new one, also
// identities that are older than the ledger. by is one lower-case word for the record. See
// [symbolon.Start]. Other processes notice it within two seconds.
func (l *Linker) Settle(ctx context.Context, by string) error {
	l.setup()
	began := time.Now()
	start, err := l.Store.Settle(ctx, l.project(), by)
	if err != nil {
		return fmt.Errorf("settle the start: %w", err)
	}
	l.starts.keep(start, began)
	return nil
}

// StartFresh settles the project's start: nobody who is at Ory has a user from before, or
// all of them were adopted. From now on every identity without a user gets a new one, except
// identities on hold. Call it once, before people come.
func (l *Linker) StartFresh(ctx context.Context) error { return l.Settle(ctx, "start_fresh") }

// Waits reports whether the identity gets no new user until the start is settled. It uses
// what the Linker read last, and asks nobody. Without a reading it returns false.
func (l *Linker) Waits(id symbolon.Identity) bool {
	l.starts.mu.Lock()
	start := l.starts.start
	l.starts.mu.Unlock()
	return !start.CreatedAt.IsZero() && !start.Settled() && !decide.Younger(symbolon.Reading{Identity: id}, start.CreatedAt)
}
