package link

import (
	"context"
	"fmt"
	"sync"

	"github.com/symbolon-id/symbolon"
)

// Refresh re-reads an identity at Ory and converges: what every hint leads to.
// Calls for one identity that come while a reading is under way share the next
// one. Errors as for Link; ErrNoAdmin without an admin URL.
func (l *Linker) Refresh(ctx context.Context, id symbolon.IdentityID, way symbolon.Source) (symbolon.Link, error) {
	l.setup()
	if !l.Ory.HasAdmin() {
		return symbolon.Link{}, symbolon.ErrNoAdmin
	}
	reads := &l.reads
	if _, patient := symbolon.PatienceFrom(ctx); patient {
		reads = &l.patientReads // nobody waits for a reading that waits for its turn
	}
	return reads.do(ctx, id, func(ctx context.Context) (symbolon.Link, error) {
		seen, err := l.read(ctx, id, way)
		if err != nil {
			return symbolon.Link{}, err
		}
		return l.Link(ctx, seen)
	})
}

// read takes a ticket and then reads the identity: in this order, so that of two
// readings the one with the higher ticket is the newer.
func (l *Linker) read(ctx context.Context, id symbolon.IdentityID, way symbolon.Source) (symbolon.Reading, error) {
	ticket, err := l.Store.Ticket(ctx)
	if err != nil {
		return symbolon.Reading{}, fmt.Errorf("take a ticket: %w", err)
	}
	identity, err := l.Ory.Identity(ctx, id)
	if err != nil {
		return symbolon.Reading{}, fmt.Errorf("read identity %s at Ory: %w", id, err)
	}
	return symbolon.Reading{Identity: identity, Ticket: ticket, Source: way, Admin: true}, nil
}

// coalescer lets calls for one identity share readings of Ory. A call never
// shares a reading that began before it came: what it hints at might be missing
// there. So at most one reading runs and one waits, however many ask.
type coalescer struct {
	mu   sync.Mutex
	byID map[symbolon.IdentityID]*readings
}

type readings struct {
	running, next *reading
}

type reading struct {
	done chan struct{}
	link symbolon.Link
	err  error
}

// do runs f for id, or waits for a run that begins after the call. A caller that
// gives up leaves the run to the others.
func (c *coalescer) do(ctx context.Context, id symbolon.IdentityID, f func(context.Context) (symbolon.Link, error)) (symbolon.Link, error) {
	r := c.join(context.WithoutCancel(ctx), id, f)
	select {
	case <-r.done:
		return r.link, r.err
	case <-ctx.Done():
		return symbolon.Link{}, ctx.Err()
	}
}

func (c *coalescer) join(ctx context.Context, id symbolon.IdentityID, f func(context.Context) (symbolon.Link, error)) *reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil {
		c.byID = map[symbolon.IdentityID]*readings{}
	}
	rs := c.byID[id]
	if rs == nil {
		r := &reading{done: make(chan struct{})}
		c.byID[id] = &readings{running: r}
		go c.run(ctx, id, r, f)
		return r
	}
	if rs.next == nil {
		rs.next = &reading{done: make(chan struct{})}
		go c.runAfter(ctx, id, rs.running, rs.next, f)
	}
	return rs.next
}

func (c *coalescer) runAfter(ctx context.Context, id symbolon.IdentityID, before, r *reading, f func(context.Context) (symbolon.Link, error)) {
	<-before.done
	c.run(ctx, id, r, f)
}

func (c *coalescer) run(ctx context.Context, id symbolon.IdentityID, r *reading, f func(context.Context) (symbolon.Link, error)) {
	r.link, r.err = f(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	rs := c.byID[id]
	if rs.running, rs.next = rs.next, nil; rs.running == nil {
		delete(c.byID, id)
	}
	close(r.done)
}
