package link

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/flight"
)

// refreshTimeout limits one re-reading that callers of [Linker.Refresh] share, because the
// re-reading goes on when its callers give up.
const refreshTimeout = 2 * time.Minute

// refreshes are the re-readings that run, at most one for each identity. Background callers
// share separate re-readings, so that no person waits for a request that is delayed for the
// rate limit.
type refreshes struct {
	people     flight.Group[symbolon.IdentityID, symbolon.Link]
	background flight.Group[symbolon.IdentityID, symbolon.Link]
}

// Refresh re-reads an identity at Ory and links it. Every hint leads to a Refresh. A caller
// never shares a re-reading that began before the call, because that re-reading may miss
// the change that the hint is about. All callers that come while a re-reading runs share
// the next one. If a caller gives up, the re-reading goes on for the others.
//
// Errors: as for [Linker.Link]; ErrNoAdmin without an admin URL; ErrUnavailable and the
// error of ctx if ctx ends first.
func (l *Linker) Refresh(ctx context.Context, id symbolon.IdentityID, source symbolon.Source) (symbolon.Link, error) {
	l.setup()
	if !l.Ory.HasAdmin() {
		return symbolon.Link{}, symbolon.ErrNoAdmin
	}
	group := &l.refreshes.people
	if _, background := symbolon.PatienceFrom(ctx); background {
		group = &l.refreshes.background
	}
	link, err := group.After(ctx, id, func(shared context.Context) (symbolon.Link, error) {
		return l.readAndLink(withValues{shared, ctx}, id, source)
	})
	if errors.Is(err, flight.ErrNoResult) {
		return symbolon.Link{}, fmt.Errorf("refresh identity %s: %w: %w", id, err, symbolon.ErrUnavailable)
	}
	return link, err
}

// withValues is a context that ends when its Context ends. It also has the values of the
// caller's context, because the Patience of [symbolon.Background] must reach Ory's client.
type withValues struct {
	context.Context
	values context.Context
}

func (c withValues) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.values.Value(key)
}

func (l *Linker) readAndLink(ctx context.Context, id symbolon.IdentityID, source symbolon.Source) (symbolon.Link, error) {
	r, err := l.read(ctx, id, source)
	if err != nil {
		return symbolon.Link{}, err
	}
	return l.Link(ctx, r)
}

// read takes a ticket and then reads the identity. In this order the reading with the
// higher ticket is the newer one.
func (l *Linker) read(ctx context.Context, id symbolon.IdentityID, source symbolon.Source) (symbolon.Reading, error) {
	ticket, err := l.Store.Ticket(ctx)
	if err != nil {
		return symbolon.Reading{}, fmt.Errorf("take a ticket: %w", err)
	}
	identity, err := l.Ory.Identity(ctx, id)
	if err != nil {
		return symbolon.Reading{}, err // it names the identity
	}
	return symbolon.Reading{Identity: identity, Ticket: ticket, Source: source, Admin: true}, nil
}

// drain waits until no re-reading runs. If ctx ends first, it cancels them.
func (s *refreshes) drain(ctx context.Context) error {
	err := errors.Join(s.people.Drain(ctx), s.background.Drain(ctx))
	s.people.Close()
	s.background.Close()
	if err != nil {
		return fmt.Errorf("re-readings cancelled: %w", ctx.Err())
	}
	return nil
}
