package ory

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/defaults"
)

// DefaultLoad is the background's share of Ory; see [Client.Load].
const DefaultLoad = 0.10

const (
	// burst is how many questions more may come at once after a pause: a write has two
	// readings. In the long run the share holds.
	burst = 2

	// maxPacePause bounds the pause after one slow answer.
	maxPacePause = 30 * time.Second
)

// pacer keeps the questions of the background (symbolon.Background) to their share of Ory.
// It lets one question through at a time, because Ory Network refuses two writes at once,
// and because the speed of a self-hosted Ory can only be measured so.
//
// If Ory tells its limit (x-ratelimit-limit, taken as questions a minute), the share is load
// times the limit, for each bucket. Otherwise the share is of Ory's time: after an answer
// that took d the background pauses for d·(1/load−1), so that a busy Ory is asked less.
type pacer struct {
	busy chan struct{} // full while a question runs

	mu    sync.Mutex         // protects the fields below
	limit [buckets]int       // questions a minute, as Ory said last; 0: it never did
	next  [buckets]time.Time // when the next question is due
	rest  time.Time          // the end of the pause after an answer
}

// waitForTurn waits until a question of the background may be asked. A person's question
// never waits; at the rate limit it fails. done must be called after the answer.
func (c *Client) waitForTurn(ctx context.Context, b bucket) (done func(), err error) {
	patience, background := symbolon.PatienceFrom(ctx)
	if !background || b == unlimited {
		return func() {}, c.throttle.wait(b)
	}
	give := time.NewTimer(patience.For)
	defer give.Stop()
	start := time.Now()
	for {
		wait := max(c.throttle[b].Left(), c.pace.left(b, c.load()))
		if left := patience.For - time.Since(start); wait > left {
			return nil, &RateLimited{Reset: wait}
		}
		if wait > 0 {
			if !pause(ctx, patience, wait) {
				return nil, unknown("the question was cancelled")
			}
			continue
		}
		if err := c.pace.enter(ctx, patience, give.C); err != nil {
			return nil, err
		}
		if c.pace.take(b, c.load()) {
			return c.pace.begun(b, c.load()), nil
		}
		<-c.pace.busy
	}
}

// enter waits until no other question of the background runs. A caller with zero patience
// still proceeds if the slot is free.
func (p *pacer) enter(ctx context.Context, patience symbolon.Patience, give <-chan time.Time) error {
	select {
	case p.busy <- struct{}{}:
		return nil
	default:
	}
	select {
	case p.busy <- struct{}{}:
		return nil
	case <-give:
		return &RateLimited{Reset: shortPause}
	case <-ctx.Done():
	case <-patience.Done:
	}
	return unknown("the question was cancelled")
}

func pause(ctx context.Context, p symbolon.Patience, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-p.Done:
	}
	return false
}

func (c *Client) load() float64 { return min(defaults.Positive(c.Load, DefaultLoad), 1) }

// left is how long the background must wait to keep to its share.
func (p *pacer) left(b bucket, load float64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leftLocked(b, load)
}

func (p *pacer) leftLocked(b bucket, load float64) time.Duration {
	if p.limit[b] == 0 {
		return time.Until(p.rest)
	}
	return time.Until(p.next[b].Add(-burst * p.interval(b, load)))
}

// interval is the time between two questions of a bucket that has a limit.
func (p *pacer) interval(b bucket, load float64) time.Duration {
	return time.Duration(float64(time.Minute) / (float64(p.limit[b]) * load))
}

// take counts a question and reports whether it may be asked now.
func (p *pacer) take(b bucket, load float64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leftLocked(b, load) > 0 {
		return false
	}
	if p.limit[b] > 0 {
		now := time.Now()
		if p.next[b].Before(now) {
			p.next[b] = now
		}
		p.next[b] = p.next[b].Add(p.interval(b, load))
	}
	return true
}

// begun measures the question until done is called, which frees the slot.
func (p *pacer) begun(b bucket, load float64) (done func()) {
	start := time.Now()
	return func() {
		p.mu.Lock()
		if p.limit[b] == 0 {
			took := time.Since(start)
			p.rest = time.Now().Add(min(time.Duration(float64(took)*(1/load-1)), maxPacePause))
		}
		p.mu.Unlock()
		<-p.busy
	}
}

// learn reads the limit from an answer. It ignores a 429, whose limit may be of another
// window.
func (p *pacer) learn(b bucket, status int, h http.Header) {
	if status == http.StatusTooManyRequests {
		return
	}
	limit, ok := seconds(h.Get("X-Ratelimit-Limit"))
	if !ok || limit <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit[b] = int(limit / time.Second)
}
