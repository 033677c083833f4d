package session

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
)

// flights holds the questions under way: at most one for a credential, however many
// requests wait for it. Each has a goroutine and a time limit of its own, so that a caller
// that gives up leaves it to the others.
type flights struct {
	mu     sync.Mutex // protects byKey and closed
	byKey  map[key]*flight
	closed bool
	wg     sync.WaitGroup
}

type flight struct {
	background bool // nobody waited when it began
	done       chan struct{}
	entry      *entry // once done; nil: err
	err        error
}

// maxFlights bounds goroutines when Ory stalls and callers come and go.
const maxFlights = 4096

func (f *flights) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.wg.Wait()
}

// fetch returns an answer that was asked for after a moment, and that no purge
// has made void since.
func (v *Verifier) fetch(ctx context.Context, k key, cred ory.Credential, after int64) (*entry, error) {
	for range 3 {
		e, err := v.await(ctx, k, cred, after)
		if err != nil {
			return nil, err
		}
		if v.purges.cover(e) {
			continue
		}
		if e.denied == nil && !e.counts(v.mono()) {
			return nil, unanswered{fmt.Errorf("session: Ory took longer to answer than its answer counts: %w", symbolon.ErrUnavailable)}
		}
		return e, nil
	}
	return nil, fmt.Errorf("session: purged again and again while Ory was asked: %w", symbolon.ErrUnavailable)
}

func (v *Verifier) await(ctx context.Context, k key, cred ory.Credential, after int64) (*entry, error) {
	e, f, err := v.join(k, cred, after, false)
	if f == nil {
		return e, err
	}
	select {
	case <-f.done:
		return f.entry, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("session: the request ended before Ory answered: %w", ctx.Err())
	}
}

// join returns an answer that came in the meantime, or the flight that will bring
// one.
func (v *Verifier) join(k key, cred ory.Credential, after int64, background bool) (*entry, *flight, error) {
	v.flights.mu.Lock()
	defer v.flights.mu.Unlock()
	if f := v.flights.byKey[k]; f != nil {
		return nil, f, nil
	}
	if e := v.cached(k, v.mono()); e != nil && e.sent > after {
		return e, nil, nil
	}
	if v.flights.closed {
		return nil, nil, fmt.Errorf("session: the verifier is closed: %w", symbolon.ErrUnavailable)
	}
	if n := len(v.flights.byKey); n >= maxFlights || n >= maxStrangersFlying && !v.known.has(k) {
		return nil, nil, unanswered{fmt.Errorf("session: too many questions to Ory are under way: %w", symbolon.ErrUnavailable)}
	}
	if v.flights.byKey == nil {
		v.flights.byKey = map[key]*flight{}
	}
	if background {
		v.count.renewed.Add(1)
	}
	// The flight may outlive the request, and not everybody's strings do: those that
	// fasthttp lends are the next request's a moment later.
	cred.Value = strings.Clone(cred.Value)
	f := &flight{background: background, done: make(chan struct{})}
	v.flights.byKey[k] = f
	v.flights.wg.Go(func() { v.fly(k, cred, f) })
	return nil, f, nil
}

func (v *Verifier) fly(k key, cred ory.Credential, f *flight) {
	ctx, cancel := context.WithTimeout(v.base, questionTimeout)
	defer cancel()
	f.entry, f.err = v.safely(ctx, k, cred)
	switch {
	case f.err == nil:
	case f.background:
		v.complain(&v.quiet, "a session could not be refreshed: the answer before counts while it may", f.err)
	default:
		v.count.unknown.Add(1)
		v.complain(&v.quiet, "a session could not be verified: 503, or the outage's grace", f.err)
	}
	v.flights.mu.Lock()
	v.keep(k, f) // before the flight goes, so that nobody starts another
	delete(v.flights.byKey, k)
	v.flights.mu.Unlock()
	close(f.done)
}

// keep replaces the cached answer by what a flight brought. An answer that does not count,
// such as "a second factor first", is kept as well, so that OutageGrace cannot bring back
// the answer before it.
func (v *Verifier) keep(k key, f *flight) {
	if f.entry != nil {
		v.cache.Set(k, f.entry)
		return
	}
	var odd contradiction
	if errors.As(f.err, &odd) {
		if e, ok := v.cache.GetIfPresent(k); ok {
			e.final.Store(true)
		}
	}
}

// safely turns a panic, say of the application's AfterLink, into "don't know": it
// would end the program here, where no server catches it.
func (v *Verifier) safely(ctx context.Context, k key, cred ory.Credential) (e *entry, err error) {
	defer func() {
		if p := recover(); p != nil {
			v.log().Error("panic while a session was verified", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			e, err = nil, fmt.Errorf("session: a panic: %w", symbolon.ErrUnavailable)
		}
	}()
	if cred.Kind == TokenisedSession {
		return v.askToken(ctx, k, cred.Value)
	}
	return v.ask(ctx, k, cred, v.prove)
}

// complain logs what may happen to many requests at once, at most once a second.
func (v *Verifier) complain(quiet *atomic.Int64, what string, err error) {
	now, last := v.mono()+1, quiet.Load()
	if (last == 0 || now-last >= int64(time.Second)) && quiet.CompareAndSwap(last, now) {
		v.log().Warn(what, "error", err)
	}
}
