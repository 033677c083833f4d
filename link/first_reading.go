package link

import (
	"context"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/wait"
)

// firstReadings reads identities again whose first reading Ory's rate limit refused, one at a
// time, in the order of the refusals. Nobody waits for it: the person got ErrRateLimited, and
// the next request finds the user. A crash or a full queue loses nothing but time.
type firstReadings struct {
	linker *Linker
	ctx    context.Context // of all readings; close cancels it
	cancel context.CancelFunc

	mu      sync.Mutex // protects the fields below
	queue   []symbolon.Reading
	queued  map[symbolon.IdentityID]bool
	running bool
	closed  bool
	idle    chan struct{} // closed when the goroutine ends
}

const (
	// maxReadings limits the memory of the queue.
	maxReadings = 10_000

	// readingLimit is how long one reading may wait for the rate limit, whose longest window
	// is a minute.
	readingLimit = 2 * time.Minute
)

func newFirstReadings(l *Linker) *firstReadings {
	ctx, cancel := context.WithCancel(context.Background())
	return &firstReadings{linker: l, ctx: ctx, cancel: cancel, queued: map[symbolon.IdentityID]bool{}}
}

// enqueue queues a reading of the identity, unless one is queued already.
func (f *firstReadings) enqueue(r symbolon.Reading) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.queued[r.Identity.ID] || len(f.queue) >= maxReadings {
		return
	}
	f.queued[r.Identity.ID] = true
	f.queue = append(f.queue, r)
	if !f.running {
		f.running, f.idle = true, make(chan struct{})
		go f.work()
	}
}

// work ends when the queue is empty.
func (f *firstReadings) work() {
	defer close(f.idle)
	for {
		r, ok := f.next()
		if !ok {
			return
		}
		f.read(r)
	}
}

func (f *firstReadings) next() (symbolon.Reading, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) == 0 || f.ctx.Err() != nil {
		f.running = false
		return symbolon.Reading{}, false
	}
	r := f.queue[0]
	f.queue = f.queue[1:]
	delete(f.queued, r.Identity.ID)
	return r, true
}

// read reads one identity and links it. It is a reading for a person, so it does not use the
// background's share of the rate limit.
func (f *firstReadings) read(r symbolon.Reading) {
	ctx, cancel := context.WithTimeout(f.ctx, readingLimit)
	defer cancel()
	_, err := wait.PastLimit(ctx, 20, func(ctx context.Context) (symbolon.Link, error) {
		identity, err := f.linker.Ory.Identity(ctx, r.Identity.ID)
		if err != nil {
			return symbolon.Link{}, err
		}
		return f.linker.Link(ctx, symbolon.Reading{Identity: identity, Source: r.Source, Admin: true})
	})
	if err != nil {
		f.linker.log().Info("an identity whose reading Ory's rate limit refused has no user yet", "identity", r.Identity.ID, "error", err)
	}
}

// close refuses new readings, cancels those that are left, and waits for the goroutine.
func (f *firstReadings) close() {
	f.mu.Lock()
	f.closed = true
	running, idle := f.running, f.idle
	f.mu.Unlock()
	f.cancel()
	if running {
		<-idle
	}
}
