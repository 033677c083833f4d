package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/flight"
	"github.com/symbolon-id/symbolon/internal/wait"
	"github.com/symbolon-id/symbolon/ory"
)

// Kratos' false 401, and the proof that a 401 is true.
//
// While its database is down, Kratos answers a valid session with the same 401, byte by
// byte, as a revoked one (ory/kratos#3250). While one table is locked or broken, Kratos
// does so although /health/ready answers 200. Believing this 401 would log everybody out,
// so Symbolon believes a 401 only with a proof:
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
// A session that was revoked, has expired or was deleted never comes back. Such a proof is
// remembered, so that an old cookie that is sent again and again does not use up the admin
// API's rate limit. An inactive identity may become active again, so this proof is made
// every time.
//
// Two cases remain. First, a session that was never seen here may be refused wrongly,
// because of a fault that only whoami meets (for example a broken table of devices), or
// because a fault disappears for exactly the moment in which Ory's health is read. Second,
// Ory may call a session active and still refuse its credential, for example after Ory's
// cookie secret was changed. This looks like a fault of Ory, so it is "don't know" until
// the session expires or is revoked.

// prove looks for the proof of a 401. The error is "don't know".
func (v *Verifier) prove(ctx context.Context, k key, cred ory.Credential, at moment) (*entry, error) {
	if v.ory.HasAdmin() {
		id, known, err := v.recall(ctx, k)
		switch {
		case err != nil:
			return nil, err
		case id == endedSession:
			return v.nobody(at), nil
		case known:
			return v.proveEnded(ctx, k, id, at)
		}
	}
	if err := v.healthyAfter(ctx, v.health.began()); err != nil {
		return nil, unanswered{fmt.Errorf("session: whoami says 401, but Ory is not healthy: %w (%w)", symbolon.ErrUnavailable, err)}
	}
	return v.ask(ctx, k, cred, func(_ context.Context, _ key, _ ory.Credential, at moment) (*entry, error) {
		return v.nobody(at), nil
	})
}

// nobody(at) makes the answer 401 for a request without a valid session.
func (v *Verifier) nobody(at moment) *entry {
	e := newEntry(at, min(v.maxStale(), maxDenied), forever)
	e.denied = ErrUnauthenticated
	e.measure(0)
	return e
}

// proveEnded asks the admin API whether a session has ended.
func (v *Verifier) proveEnded(ctx context.Context, k key, id string, at moment) (*entry, error) {
	s, err := v.ory.Session(ctx, id)
	gone := errors.Is(err, symbolon.ErrNotFound)
	switch {
	case err != nil && !gone:
		return nil, unanswered{fmt.Errorf("session: whoami says 401, and the admin API cannot read the session: %w", err)}
	case gone, !s.Active && s.Identity != nil && s.Identity.State == symbolon.Active:
		v.known.remember(k, sessionID{}, v.mono(), 0)
		return v.nobody(at), nil
	case !s.Active, s.Identity != nil && s.Identity.State != symbolon.Active:
		return v.nobody(at), nil
	case s.Identity == nil:
		return nil, fmt.Errorf("session: whoami says 401, and the admin API returned the session without its identity: %w", symbolon.ErrUnavailable)
	}
	return nil, unanswered{fmt.Errorf("session: whoami says 401, but the admin API says that the session is active: %w", symbolon.ErrUnavailable)}
}

// health shares the proofs that Ory is healthy.
type health struct {
	group flight.Group[int64, struct{}] // by the value of count

	mu        sync.Mutex
	last      *flight.Call[struct{}]
	count     int64 // of proofs that began
	next      int64 // when the next one may begin
	perMinute int   // Ory's limit for the questions of a proof; 0: not announced
}

// began counts the proofs that have begun until now.
func (h *health) began() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count
}

// healthyAfter waits for a proof that is newer than proof number n. The caller got n from
// began. All requests that need a proof share one, so that a thousand unknown credentials do
// not cost a thousand proofs.
// If Ory announces its limit, proofs use at most half of it. The rest is for proofs about
// one session, and for the background.
func (v *Verifier) healthyAfter(ctx context.Context, n int64) error {
	for {
		call, usable, pause := v.joinProof(n)
		if pause > 0 {
			if err := wait.For(ctx, pause); err != nil {
				return err
			}
			continue
		}
		if _, err := call.Wait(ctx); usable || ctx.Err() != nil {
			return err
		}
	}
}

// joinProof returns the last proof, and whether it is newer than proof number n. It begins a
// proof if none runs. pause is how long to wait before a proof may begin.
func (v *Verifier) joinProof(n int64) (call *flight.Call[struct{}], usable bool, pause time.Duration) {
	h, now := &v.health, v.mono()
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.count > n:
		return h.last, true, 0
	case h.group.Len() > 0:
		return h.last, false, 0
	case now < h.next:
		return nil, false, time.Duration(h.next - now)
	}
	h.count++
	h.last, _ = h.group.Begin(h.count, v.proveHealthy)
	if h.perMinute > 0 {
		h.next = now + 2*int64(time.Minute)/int64(h.perMinute)
	}
	return h.last, true, 0
}

// proveHealthy returns nil when Ory is ready and can read sessions and identities.
func (v *Verifier) proveHealthy(ctx context.Context) (struct{}, error) {
	err := v.ory.Ready(ctx)
	if err == nil && v.ory.HasAdmin() {
		var told ory.Limit
		err = v.ory.ProbeSessions(ory.WithLimit(ctx, &told))
		if told.PerMinute > 0 {
			v.health.mu.Lock()
			v.health.perMinute = told.PerMinute
			v.health.mu.Unlock()
		}
	}
	return struct{}{}, err
}
