package session

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/flight"
	"github.com/symbolon-id/symbolon/ory"
)

// maxFlights bounds the calls in flight, and with them the goroutines, while Ory stalls and
// callers come and go.
const maxFlights = 4096

// patience is how long a request waits for the answers about its session: until its own
// context ends, or until late is closed.
//
// context.WithTimeout would watch ctx in a goroutine. fasthttp uses the context of a
// request again when the request has ended, and the goroutine could still read it then.
type patience struct {
	ctx  context.Context //nolint:containedctx // it lives no longer than the call
	late <-chan struct{} // nil: no limit yet
}

// waitFor returns a patience that ends after answerTimeout.
func waitFor(ctx context.Context) (wait patience, stop func()) {
	late := make(chan struct{})
	timer := time.AfterFunc(answerTimeout, func() { close(late) })
	return patience{ctx, late}, func() { timer.Stop() }
}

// fetch returns an answer for which Ory was asked later than the time in the parameter
// after, and which no purge has made void since.
func (v *Verifier) fetch(wait patience, k key, cred ory.Credential, after int64) (*entry, error) {
	for range 3 {
		e, err := v.await(wait, k, cred, after)
		if err != nil {
			return nil, err
		}
		if v.void(e) {
			continue
		}
		if e.denied == nil && !e.valid(v.mono()) {
			return nil, unanswered{fmt.Errorf("session: Ory answered so late that its answer was already too old: %w", symbolon.ErrUnavailable)}
		}
		return e, nil
	}
	return nil, fmt.Errorf("session: every answer of Ory was purged before it could be used: %w", symbolon.ErrUnavailable)
}

func (v *Verifier) await(wait patience, k key, cred ory.Credential, after int64) (*entry, error) {
	e, call, err := v.join(wait.ctx, k, cred, after, false)
	if call == nil {
		return e, err
	}
	if e, err = call.WaitUntil(wait.ctx, wait.late); errors.Is(err, flight.ErrNoResult) {
		err = fmt.Errorf("session: %w: %w", err, symbolon.ErrUnavailable)
	}
	return e, err
}

// join returns an answer that came in the meantime, or the call in flight that will bring
// an answer. Of ctx only the client's address is used.
func (v *Verifier) join(ctx context.Context, k key, cred ory.Credential, after int64, background bool) (*entry, *flight.Call[*entry], error) {
	v.joining.Lock()
	defer v.joining.Unlock()
	if call := v.flights.Running(k); call != nil {
		return nil, call, nil
	}
	if e := v.cached(k, v.mono()); e != nil && e.sent > after {
		return e, nil, nil
	}
	if n := v.flights.Len(); n >= maxFlights || n >= maxStrangersFlying && !v.known.has(k) {
		return nil, nil, unanswered{fmt.Errorf("session: too many requests to Ory are under way: %w", symbolon.ErrUnavailable)}
	}
	// The call may outlive the request. A server such as fasthttp reuses the request's
	// strings a moment later, so the call gets its own copy.
	cred.Value = strings.Clone(cred.Value)
	address := addressIn(ctx)
	call, began := v.flights.Begin(k, func(ctx context.Context) (*entry, error) {
		return v.fly(withAddress(ctx, address), k, cred, background)
	})
	if began && background {
		v.count.renewed.Add(1)
	}
	return nil, call, nil
}

// fly asks Ory. It keeps the answer before the call ends, so that nobody begins another
// call.
func (v *Verifier) fly(ctx context.Context, k key, cred ory.Credential, background bool) (*entry, error) {
	e, err := v.safely(ctx, k, cred)
	switch {
	case err == nil:
	case background:
		v.warn(&v.warned, "a session could not be refreshed: the previous answer is used until it expires", err)
	default:
		v.count.unknown.Add(1)
		v.warn(&v.warned, "a session could not be verified: the request gets 503, unless auth.outage_grace allows the cached answer", err)
	}
	v.keep(k, e, err)
	return e, err
}

// keep replaces the cached answer by the outcome of a question. It also keeps an answer
// that is never given from the cache, such as "a second factor first". Otherwise OutageGrace
// could bring back the previous answer.
func (v *Verifier) keep(k key, e *entry, err error) {
	if e != nil {
		v.cache.Set(k, e)
		return
	}
	if _, odd := errors.AsType[contradiction](err); odd {
		if e, ok := v.cache.GetIfPresent(k); ok {
			e.final.Store(true)
		}
	}
}

// safely turns a panic, for example of the application's AfterLink, into "don't know". The
// flight group would do so too, but without counting the failure.
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

// warn logs a text that may concern many requests at once. last holds the time of the
// previous warning of the same kind. Each kind is logged at most once a second.
func (v *Verifier) warn(last *atomic.Int64, text string, err error) {
	v.warnEvery(time.Second, last, text, err)
}

// outageWarning is how often the background logs the same outage.
const outageWarning = time.Minute

func (v *Verifier) warnEvery(pause time.Duration, last *atomic.Int64, text string, err error) {
	now, before := v.mono()+1, last.Load()
	if (before == 0 || now-before >= int64(pause)) && last.CompareAndSwap(before, now) {
		v.log().Warn(text, "error", err)
	}
}
