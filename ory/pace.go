package ory

import (
	"context"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/defaults"
)

// DefaultLoad is the default of [Client.Load].
const DefaultLoad = 0.10

const (
	// After a pause, the first request and burst more are sent without a wait between them,
	// because one write also needs two reads. Over a longer time the share is kept.
	burst = 2

	// maxPacePause is the longest pause after one slow answer.
	maxPacePause = 30 * time.Second
)

// pacer limits background requests (symbolon.Background) to their share of Ory. It lets one
// request through at a time, because Ory Network refuses two writes at once, and because
// the speed of a self-hosted Ory can only be measured in this way.
//
// If Ory reports its limit (x-ratelimit-limit, taken as requests per minute), the share is
// load times the limit, for each bucket. Otherwise it is a share of Ory's time: after an
// answer that took d the background pauses for d·(1/load−1), so that a busy Ory gets fewer
// requests.
type pacer struct {
	busy chan struct{} // full while a question runs

	mu    sync.Mutex         // protects the fields below
	limit [buckets]int       // requests per minute, by Ory's last answer about it; 0: unknown
	next  [buckets]time.Time // when the next question is due
	rest  time.Time          // the end of the pause after an answer
}

// waitForTurn waits until a background request may be sent. A request for a person never
// waits; at the rate limit it fails. done must be called after the answer.
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

// enter waits until no other background request runs. A caller with zero patience still
// proceeds if the slot is free.
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

// take counts a request and reports whether it may be sent now.
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

// begun measures the time of the request until done is called. done frees the slot.
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

// learn keeps the limit that an answer announces.
func (p *pacer) learn(b bucket, l Limit) {
	if l.PerMinute == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit[b] = l.PerMinute
}
