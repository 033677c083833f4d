package session

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
)

// Kratos' false 401, and what proves a true one.
//
// With its database down Kratos answers a valid session with 401, to the byte as it
// answers a revoked one (ory/kratos#3250). With one table locked or broken it does
// so while its readiness says 200. Believing that would log everybody out, so a
// 401 is only believed with a proof:
//
//	                       was the credential's session known?
//	                     yes │                          │ no, or no admin URL
//	                         ▼                          ▼
//	 GET /admin/sessions/{id}?expand=identity    GET /health/ready                     ┐ both begun
//	   404 in Kratos' form   ─▶ proved           GET /admin/sessions?page_size=1&      │ after the
//	   active:false          ─▶ proved               expand=identity (if admin URL)    ┘ 401
//	   inactive identity     ─▶ proved             both good ─▶ GET /sessions/whoami once more
//	   anything else         ─▶ don't know                        401 again ─▶ proved
//	                                               anything else ─▶ don't know
//
// A session that was revoked, has expired or was deleted stays so: that is proved
// once, and remembered, so that an old cookie that is shown again and again does
// not use up the admin API's rate limit. An inactive identity may become active
// again and is proved every time.
//
// Left over, for a session never seen here: a fault that only whoami meets (the
// table of devices is broken), or one that pauses just while Ory's health is looked
// at. And a session that Ory holds for active while it refuses the credential (its
// cookie secret was changed) is "don't know" until it expires or is revoked: the
// two cannot be told apart from a fault of Ory's.

// prove decides what a 401 is worth. The error is "don't know".
func (v *Verifier) prove(ctx context.Context, k key, cred ory.Credential, at moment) (*entry, error) {
	if v.ory.HasAdmin() {
		id, known, err := v.recall(ctx, k)
		switch {
		case err != nil:
			return nil, err
		case id == over:
			return v.nobody(at), nil
		case known:
			return v.proveEnded(ctx, k, id, at)
		}
	}
	if err := v.healthy.do(ctx, v.proveHealthy); err != nil {
		return nil, unanswered{fmt.Errorf("session: whoami says 401, and Ory is not well: %w", err)}
	}
	return v.ask(ctx, k, cred, func(_ context.Context, _ key, _ ory.Credential, at moment) (*entry, error) {
		return v.nobody(at), nil
	})
}

func (v *Verifier) nobody(at moment) *entry {
	e := newEntry(at, min(v.maxStale(), maxDenied), forever)
	e.denied = ErrUnauthenticated
	e.measure(0)
	return e
}

// proveEnded asks the admin API whether a session is over.
func (v *Verifier) proveEnded(ctx context.Context, k key, id string, at moment) (*entry, error) {
	s, err := v.ory.Session(ctx, id)
	gone := errors.Is(err, symbolon.ErrNotFound)
	switch {
	case err != nil && !gone:
		return nil, unanswered{fmt.Errorf("session: whoami says 401, and the session cannot be read: %w", err)}
	case gone, !s.Active && s.Identity != nil && s.Identity.State == symbolon.Active:
		v.known.ended(k, v.mono())
		return v.nobody(at), nil
	case !s.Active, s.Identity != nil && s.Identity.State != symbolon.Active:
		return v.nobody(at), nil
	case s.Identity == nil:
		return nil, fmt.Errorf("session: whoami says 401, and the session is shown without its identity: %w", symbolon.ErrUnavailable)
	}
	return nil, unanswered{fmt.Errorf("session: whoami says 401 of a session that is active: %w", symbolon.ErrUnavailable)}
}

// proveHealthy returns nil when Ory is ready and can read sessions and identities.
func (v *Verifier) proveHealthy(ctx context.Context) error {
	if err := v.ory.Ready(ctx); err != nil {
		return err
	}
	if !v.ory.HasAdmin() {
		return nil
	}
	return v.ory.ProbeSessions(ctx)
}

// shared lets everybody who needs a proof of health at the same time have one
// together, so that a thousand unknown credentials do not cost a thousand. Nobody
// is given one that began before the call: one runs, and one waits.
type shared struct {
	mu            sync.Mutex // protects running and next
	running, next *check
}

type check struct {
	done chan struct{}
	err  error
}

func (s *shared) do(ctx context.Context, f func(context.Context) error) error {
	c := s.join(ctx, f)
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ctx.Err(), symbolon.ErrUnavailable)
	}
}

func (s *shared) join(ctx context.Context, f func(context.Context) error) *check {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &check{done: make(chan struct{})}
	switch {
	case s.running == nil:
		s.running = c
		go s.run(ctx, c, nil, f)
		return c
	case s.next == nil:
		s.next = c
		go s.run(ctx, c, s.running, f)
	}
	return s.next
}

// run uses the context of the flight that came first. If that ends early the
// others learn "don't know", which is true.
func (s *shared) run(ctx context.Context, c, before *check, f func(context.Context) error) {
	if before != nil {
		<-before.done
	}
	c.err = calmly(ctx, f)
	s.mu.Lock()
	s.running, s.next = s.next, nil
	s.mu.Unlock()
	close(c.done)
}

// calmly makes a panic of f, of the application's transport say, "don't know": it would
// end the program here.
func calmly(ctx context.Context, f func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("session: a panic (%T) while Ory's health was looked at: %w", p, symbolon.ErrUnavailable)
		}
	}()
	return f(ctx)
}
