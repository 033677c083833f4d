// Package turn decides whose question is sent to Ory next while Ory's rate limit is too low
// for all of them.
//
//	                     ┌─ known credentials ── in the order of their arrival ──┐ 3 turns
//	question ── limit? ──┤                                                       ├─────────▶ Ory
//	                │    └─ others ── the client with the fewest wasted turns ───┘ 1 turn
//	                └ no limit is known, or nobody waits and the limit is not used up ───▶ Ory
//
// It is work-conserving: a kind of credentials that does not need its share leaves it to the
// other one, and nobody waits unless the limit is used up.
package turn

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"
)

const (
	// Patience is how long a question waits for its turn.
	Patience = 3 * time.Second

	// At most maxWaiting questions of known credentials wait, and at most as many of the
	// others. If there are more of the others, the client that waits for the most turns
	// loses one.
	maxWaiting = 1024

	// Known credentials send their questions in bursts. About as many questions as they sent
	// within the last knownBurst are withheld from the others.
	knownBurst = 5 * time.Second
)

// ErrLimited means that a question did not get its turn.
var ErrLimited = errors.New("the rate limit is used up")

// Line is the line in which questions wait. The zero Line knows no limit. A Line must not be
// copied. Its methods may be called by many goroutines at once.
type Line struct {
	mu     sync.Mutex // protects the fields below
	start  time.Time  // the time of the first use
	rate   rate
	order  order
	known  recent // turns of known credentials
	flying int    // turns that are not done
	timer  *time.Timer

	refused Refused
}

// Refused counts the questions that were not sent.
type Refused struct{ Known, Others uint64 }

// Turn is the right to send one question.
type Turn struct {
	Who
	counted bool          // it was added to the wasted turns of its address
	ready   chan struct{} // closed when the question may be sent, or was dropped
	dropped bool
}

// Who describes the asker of a question.
type Who struct {
	Known     bool       // the credential was valid earlier
	Address   netip.Addr // the client's, in the form of [Client]
	Impatient bool       // the question does not wait during a pause that Ory asks for
}

// Result is the answer to a question.
type Result int

const (
	Unanswered Result = iota // Ory said nothing about the credential
	Useful                   // the credential is valid
	Useless                  // the credential is not valid
)

// Wait waits for a turn. The caller calls Done after the answer.
func (l *Line) Wait(ctx context.Context, who Who) (*Turn, error) {
	t, waiting := l.enter(who)
	if !waiting {
		return t.got()
	}
	patience := time.NewTimer(Patience)
	defer patience.Stop()
	select {
	case <-t.ready:
		return t.got()
	case <-ctx.Done():
	case <-patience.C:
	}
	return l.giveUp(t, ctx.Err())
}

func (t *Turn) got() (*Turn, error) {
	if t.dropped {
		return nil, ErrLimited
	}
	return t, nil
}

// enter gives a turn at once, drops it, or puts it into the line.
func (l *Line) enter(who Who) (t *Turn, waiting bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	t = &Turn{Who: who}
	if !l.rate.limited(now) {
		l.give(now, t)
		return t, false
	}
	t.ready = make(chan struct{})
	return t, l.queue(now, t)
}

// queue puts a turn into the line and gives the turns that are due. It reports whether the
// turn has to wait. The caller holds mu.
func (l *Line) queue(now time.Duration, t *Turn) (waiting bool) {
	if pause := l.rate.paused - now; pause > Patience || t.Impatient && pause > 0 {
		l.drop(t)
		return false
	}
	if dropped := l.order.add(now, t); dropped != nil {
		l.drop(dropped)
	}
	l.advance(now)
	select {
	case <-t.ready:
		return false
	default:
		return true
	}
}

// advance gives the turns that are due, and sets the timer for the next one. The caller
// holds mu.
func (l *Line) advance(now time.Duration) {
	for len(l.order.known)+l.order.others > 0 {
		if left := l.rate.left(now, l.reserve(now)); left > 0 {
			l.wake(left)
			return
		}
		t := l.order.next(now)
		l.give(now, t)
		close(t.ready)
	}
}

// reserve is how many questions are kept back for known credentials when the next turn
// belongs to another credential, because questions of known credentials come in bursts. It
// is about as many as they sent in the last seconds, and 0 while a known credential waits.
func (l *Line) reserve(now time.Duration) float64 {
	if len(l.order.known) > 0 || !l.order.ofOthers() {
		return 0
	}
	return l.known.of(now, knownBurst)
}

func (l *Line) wake(after time.Duration) {
	if l.timer == nil {
		l.timer = time.AfterFunc(after, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.advance(l.now())
		})
		return
	}
	l.timer.Reset(after)
}

func (l *Line) give(now time.Duration, t *Turn) {
	l.rate.take(now)
	l.flying++
	if t.Known {
		l.known.add(now, knownBurst)
	}
	if !t.Known && l.rate.limited(now) {
		t.counted = true
		l.order.wasted.add(now, t.Address, 1)
	}
}

func (l *Line) drop(t *Turn) {
	t.dropped = true
	close(t.ready)
	if t.Known {
		l.refused.Known++
	} else {
		l.refused.Others++
	}
}

// giveUp takes the turn out of the line, unless the turn has just come or was dropped.
func (l *Line) giveUp(t *Turn, err error) (*Turn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.order.remove(t) {
		l.drop(t)
	}
	if t.dropped {
		return nil, errors.Join(ErrLimited, err)
	}
	return t, nil
}

// Done ends a turn. The parameter a is what the answer said about the limit.
func (l *Line) Done(t *Turn, result Result, a Announcement) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.flying--
	switch {
	case !t.counted || result == Useless:
	case result == Useful:
		l.order.wasted.clear(t.Address)
	default:
		l.order.wasted.add(now, t.Address, -1)
	}
	if c := l.order.of[t.Address]; c != nil {
		c.wasted = l.order.wasted.of(now, t.Address)
	}
	l.rate.learn(now, a, l.flying)
	l.advance(now)
}

// Refused returns the counters.
func (l *Line) Refused() Refused {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

// now is the time since the line was first used. The caller holds mu.
func (l *Line) now() time.Duration {
	if l.start.IsZero() {
		l.start = time.Now()
	}
	return time.Since(l.start)
}
