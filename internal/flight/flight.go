// Package flight shares the result of one call among all callers that need it at the same
// time.
//
// golang.org/x/sync/singleflight is not enough. It always shares the call that already
// runs, gives the call no context, ends the program when a shared call panics, and cannot
// wait for its goroutines when its owner closes.
package flight

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// ErrNoResult matches every error of this package: the caller stopped waiting, the group
// is closed, or the call panicked. Errors that the call itself returns are passed on as
// they are.
var ErrNoResult = errors.New("no result of a shared call")

// Group runs at most one call per key at a time. Each call has its own goroutine and
// context, so that the call goes on for the other callers if one caller stops waiting. The
// context carries no values of any caller. The zero Group can be used. Set the fields
// before the first call.
type Group[K comparable, V any] struct {
	// Timeout limits each call, from the moment when it begins. Zero means no limit.
	Timeout time.Duration

	// Log gets the stack of a panic and the type of its value, but never the value, which
	// may contain a secret. Defaults to slog.Default().
	Log *slog.Logger

	mu     sync.Mutex
	base   context.Context // the parent context of all calls; Close cancels it
	cancel context.CancelFunc
	calls  map[K]*pair[V]
	closed bool
	idle   chan struct{} // made by Drain, closed when no call is left
}

// pair is the call that runs for a key, and the follower, which begins when that call ends.
type pair[V any] struct {
	running, next *Call[V]
}

// Call is one call, running or ended.
type Call[V any] struct {
	f     func(context.Context) (V, error)
	done  chan struct{} // closed when value and err are set
	value V
	err   error
}

// Join returns the result of the call that runs for key. If no call runs, f begins now, and
// Join returns its result.
func (g *Group[K, V]) Join(ctx context.Context, key K, f func(context.Context) (V, error)) (V, error) {
	c, _ := g.Begin(key, f)
	return c.Wait(ctx)
}

// After returns the result of a call that begins after After was called. While a call
// runs for key, all callers of After share one follower, which begins when the call ends.
// A follower begins even if its callers have stopped waiting.
func (g *Group[K, V]) After(ctx context.Context, key K, f func(context.Context) (V, error)) (V, error) {
	return g.follow(key, f).Wait(ctx)
}

// Begin is Join for a caller that waits later, or never. It reports whether f begins;
// otherwise c is a call that began before. A caller that uses [Group.Running] or
// [Group.Len] to decide whether a call may begin needs a lock of its own. It must hold the
// lock while it decides and until Begin has returned. f may take this lock, too.
func (g *Group[K, V]) Begin(key K, f func(context.Context) (V, error)) (c *Call[V], began bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.calls[key]; p != nil {
		return p.running, false
	}
	return g.begin(key, f)
}

// Running returns the call that runs for key, or nil.
func (g *Group[K, V]) Running(key K) *Call[V] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.calls[key]; p != nil {
		return p.running
	}
	return nil
}

// Len counts the calls that run.
func (g *Group[K, V]) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.calls)
}

// Drain lets no further call begin, and waits until all calls and their followers have
// ended. If ctx ends first, its error is returned and the calls go on.
func (g *Group[K, V]) Drain(ctx context.Context) error {
	g.mu.Lock()
	idle := g.refuse()
	g.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close cancels the context of all calls, lets no further call begin, not even a follower,
// and waits until all have ended. A call must not close its own group.
func (g *Group[K, V]) Close() {
	g.mu.Lock()
	idle := g.refuse()
	if g.cancel != nil {
		g.cancel()
	}
	g.mu.Unlock()
	<-idle
}

// Wait returns the result of the call. If ctx ends first, the error matches ErrNoResult
// and the error of ctx.
func (c *Call[V]) Wait(ctx context.Context) (V, error) { return c.WaitUntil(ctx, nil) }

// WaitUntil is Wait for a caller that also stops waiting when late is closed. The error then
// matches ErrNoResult and context.DeadlineExceeded.
func (c *Call[V]) WaitUntil(ctx context.Context, late <-chan struct{}) (V, error) {
	select {
	case <-c.done:
		return c.value, c.err
	default:
	}
	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
		var none V
		return none, stoppedWaiting(ctx.Err())
	case <-late:
		var none V
		return none, stoppedWaiting(context.DeadlineExceeded)
	}
}

func stoppedWaiting(why error) error {
	return fmt.Errorf("%w: the caller stopped waiting: %w", ErrNoResult, why)
}

func (g *Group[K, V]) follow(key K, f func(context.Context) (V, error)) *Call[V] {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.calls[key]
	switch {
	case p == nil:
		c, _ := g.begin(key, f)
		return c
	case p.next != nil:
		return p.next
	case g.closed:
		return closedCall[V]()
	}
	p.next = &Call[V]{f: f, done: make(chan struct{})}
	return p.next
}

// begin starts a call for a key that has none. The caller holds mu.
func (g *Group[K, V]) begin(key K, f func(context.Context) (V, error)) (*Call[V], bool) {
	if g.closed {
		return closedCall[V](), false
	}
	if g.calls == nil {
		g.calls = map[K]*pair[V]{}
		g.base, g.cancel = context.WithCancel(context.Background()) //nolint:gosec // Close cancels it
	}
	c := &Call[V]{f: f, done: make(chan struct{})}
	g.calls[key] = &pair[V]{running: c}
	go g.run(key, c)
	return c, true
}

func (g *Group[K, V]) run(key K, c *Call[V]) {
	growStack()
	defer g.land(key, c)
	c.err = errGoexit
	ctx, cancel := g.base, func() {}
	if g.Timeout > 0 {
		ctx, cancel = context.WithTimeout(g.base, g.Timeout)
	}
	defer cancel()
	c.value, c.err = g.safely(ctx, c.f)
}

// growStack gives the goroutine the stack that a request over HTTP and a query need. A new
// goroutine begins with a small stack, and the runtime copies all frames each time that it
// doubles the stack.
//
//go:noinline
func growStack() {
	var room [12 << 10]byte
	runtime.KeepAlive(&room)
}

// safely turns a panic into an error, because a panic here would end the program.
func (g *Group[K, V]) safely(ctx context.Context, f func(context.Context) (V, error)) (value V, err error) {
	defer func() {
		if p := recover(); p != nil {
			g.log().Error("panic in a shared call", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: a panic (%T)", ErrNoResult, p)
		}
	}()
	return f(ctx)
}

// land publishes the result of a call and begins its follower. After Close the follower
// fails instead.
func (g *Group[K, V]) land(key K, c *Call[V]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.calls[key]
	p.running, p.next = p.next, nil
	switch {
	case p.running == nil:
		delete(g.calls, key)
	case g.base.Err() != nil:
		p.running.err = errClosed
		close(p.running.done)
		delete(g.calls, key)
	default:
		go g.run(key, p.running)
	}
	close(c.done)
	if g.idle != nil && len(g.calls) == 0 {
		close(g.idle)
	}
}

// refuse lets no further call begin. The channel is closed when no call is left. The caller
// holds mu.
func (g *Group[K, V]) refuse() (idle <-chan struct{}) {
	g.closed = true
	if g.idle == nil {
		g.idle = make(chan struct{})
		if len(g.calls) == 0 {
			close(g.idle)
		}
	}
	return g.idle
}

func (g *Group[K, V]) log() *slog.Logger { return cmp.Or(g.Log, slog.Default()) }

var (
	errClosed = fmt.Errorf("%w: the group is closed", ErrNoResult)
	errGoexit = fmt.Errorf("%w: the call ended its goroutine", ErrNoResult) // the result after runtime.Goexit
)

func closedCall[V any]() *Call[V] {
	c := &Call[V]{done: make(chan struct{}), err: errClosed}
	close(c.done)
	return c
}
