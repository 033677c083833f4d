package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/flight"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session/internal/turn"
)

// maxAsking bounds the questions to Ory that are in flight at once, so that the requests
// that waited during an outage do not overload Ory when it returns.
const maxAsking = 128

// A quarter of the slots and of the calls in flight is reserved for credentials that were
// valid once, so that invalid ones cannot take all of them.
const (
	maxStrangersAsking = maxAsking * 3 / 4
	maxStrangersFlying = maxFlights * 3 / 4
)

// whoami asks Ory when it is this credential's turn, unless the breaker is open. After a 429
// the question waits for another turn, unless OutageGrace may answer at once.
func (v *Verifier) whoami(ctx context.Context, k key, cred ory.Credential) (ory.Session, error) {
	if v.breaker.open.Load() {
		return v.probe(ctx, cred)
	}
	known := v.known.has(k)
	patient := !known || v.OutageGrace <= 0
	for began := v.mono(); ; {
		s, err := v.inTurn(ctx, known, patient, cred)
		if !patient || !errors.Is(err, symbolon.ErrRateLimited) || errors.Is(err, turn.ErrLimited) || v.mono()-began > int64(turn.Patience) {
			return s, err
		}
	}
}

// inTurn asks Ory once, after the credentials whose turn is earlier.
func (v *Verifier) inTurn(ctx context.Context, known, patient bool, cred ory.Credential) (s ory.Session, err error) {
	mine, err := v.line.Wait(ctx, turn.Who{Known: known, Address: addressIn(ctx), Impatient: !patient})
	if err != nil {
		return s, fmt.Errorf("session: the question to Ory is not sent: %w: %w: %w", err, symbolon.ErrRateLimited, symbolon.ErrUnavailable)
	}
	told := ory.Limit{Remaining: -1}
	defer func() { v.line.Done(mine, resultOf(err), turn.Announcement(told)) }()
	leave, err := v.enter(ctx, known)
	if err != nil {
		return s, err
	}
	defer leave()
	if v.breaker.open.Load() { // it may have opened while this question waited
		return s, errOpen
	}
	return v.question(ory.WithLimit(ctx, &told), cred)
}

func resultOf(err error) turn.Result {
	switch {
	case err == nil:
		return turn.Useful
	case errors.Is(err, ory.ErrNoSession):
		return turn.Useless
	}
	return turn.Unanswered
}

// enter waits for a slot. The caller calls leave after the answer.
func (v *Verifier) enter(ctx context.Context, known bool) (leave func(), err error) {
	if known {
		return occupy(ctx, v.slots)
	}
	leaveStrangers, err := occupy(ctx, v.strangerSlots)
	if err != nil {
		return nil, err
	}
	leaveAll, err := occupy(ctx, v.slots)
	if err != nil {
		leaveStrangers()
		return nil, err
	}
	return func() { leaveAll(); leaveStrangers() }, nil
}

func occupy(ctx context.Context, slots chan struct{}) (leave func(), err error) {
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("session: too many requests wait for Ory: %w: %w", ctx.Err(), symbolon.ErrUnavailable)
	}
}

// question asks Ory, and tells the breaker whether Ory answered.
func (v *Verifier) question(ctx context.Context, cred ory.Credential) (ory.Session, error) {
	sent := v.mono()
	if v.ory.EdgeCache && v.purges.within(sent, edgeAge) {
		ctx = ory.Fresh(ctx)
	}
	v.count.asked.Add(1)
	s, err := v.ory.Whoami(ctx, cred)
	if was, is := v.breaker.record(sent, v.mono(), outcomeOf(ctx, err, v.mono()-sent)); was != is {
		text := "Ory answers again"
		if is {
			text = "Ory does not answer: only one request a second is sent to it"
		}
		v.log().Warn(text, "error", err)
	}
	return s, err
}

// probe lets one question a second through while the breaker is open. The HTTP request that
// began it waits only as long as a healthy Ory needs; the question goes on afterwards.
func (v *Verifier) probe(ctx context.Context, cred ory.Credential) (ory.Session, error) {
	now := v.mono()
	if !v.breaker.pass(now) {
		return ory.Session{}, errOpen
	}
	call, _ := v.probes.Begin(now, func(ctx context.Context) (ory.Session, error) { return v.question(ctx, cred) })
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	s, err := call.Wait(ctx)
	if errors.Is(err, flight.ErrNoResult) {
		return ory.Session{}, errOpen
	}
	return s, err
}

var errOpen = fmt.Errorf("session: Ory did not answer several times in a row, so it is asked only once a second: %w", symbolon.ErrUnavailable)

// outcome is the result of a question for the breaker.
type outcome int

const (
	inconclusive outcome = iota // the question says nothing about the connection
	answered                    // Ory answered, with any status
	fault                       // no answer came
)

// outcomeOf distinguishes faults of the connection from all other outcomes. A 500 for one
// credential is an answer like a 401, so that a client cannot open the breaker for others.
func outcomeOf(ctx context.Context, err error, took int64) outcome {
	switch {
	case errors.Is(ctx.Err(), context.Canceled), errors.Is(err, symbolon.ErrRateLimited):
		return inconclusive
	case !errors.Is(err, ory.ErrNoAnswer):
		return answered
	case ctx.Err() != nil && took < int64(questionTimeout/2):
		return inconclusive // it had too little time
	}
	return fault
}

// breaker keeps requests from waiting for an Ory that does not answer. While it is open,
// one question a second is let through. The first answer closes it.
type breaker struct {
	open     atomic.Bool
	mu       sync.Mutex // protects the fields below, and the writing of open
	faults   int        // in a row
	answered int64      // when the last answer came
	next     int64      // while open: when the next question may be sent
}

const (
	tripsAfter = 5
	probeEvery = int64(time.Second)
	probeWait  = 250 * time.Millisecond
)

// pass reports whether a question may be sent while the breaker is open.
func (b *breaker) pass(now int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open.Load() && now < b.next {
		return false
	}
	b.next = now + probeEvery
	return true
}

// record records the outcome of a question. It returns whether the breaker was open before
// and is open now. It ignores a fault of a question that was sent before the last answer
// came.
func (b *breaker) record(sent, now int64, o outcome) (was, is bool) {
	if o == inconclusive {
		is = b.open.Load()
		return is, is
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	was = b.open.Load()
	switch {
	case o == answered:
		b.faults, b.answered = 0, now
		b.open.Store(false)
	case sent >= b.answered:
		if b.faults++; b.faults >= tripsAfter && !was {
			b.open.Store(true)
			b.next = now + probeEvery
		}
	}
	return was, b.open.Load()
}
