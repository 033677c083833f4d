package createurl

import (
	"context"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
)

// flights are the questions under way, one for an identity, and the noes that are
// still believed.
type flights struct {
	mu   sync.Mutex
	byID map[symbolon.IdentityID]*flight
	noes int
	all  sync.WaitGroup
}

// flight is one question, whoever waits for its answer.
type flight struct {
	question
	done chan struct{} // closed when the rest stands
	user symbolon.UserID
	err  error
	past time.Time // until when a no is believed; zero: it was none, or is not known yet
}

// maxNoes bounds what is remembered.
const maxNoes = 10_000

// join returns the question that is under way for the same identity, or the no that
// the same question was answered with a moment ago, or else begins a new one.
func (s *flights) join(q question, fly func(*flight) time.Duration) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.byID[q.identity]; f != nil && (f.past.IsZero() || f.digest == q.digest && time.Now().Before(f.past)) {
		return f
	}
	if s.byID == nil {
		s.byID = map[symbolon.IdentityID]*flight{}
	}
	f := &flight{question: q, done: make(chan struct{})}
	s.put(f)
	s.all.Go(func() { s.land(f, fly(f)) })
	return f
}

// land keeps a no for as long as it is believed, and nothing else.
func (s *flights) land(f *flight, believed time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(f.done)
	if believed <= 0 || s.noes >= maxNoes {
		delete(s.byID, f.identity)
		return
	}
	f.past = time.Now().Add(believed)
	s.noes++
	time.AfterFunc(believed, func() { s.forget(f) })
}

func (s *flights) forget(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noes--
	if s.byID[f.identity] == f {
		delete(s.byID, f.identity)
	}
}

func (s *flights) put(f *flight) { s.byID[f.identity] = f }

func (s *flights) wait() { s.all.Wait() }

// fly asks the application, when it is this question's turn, and says how long the
// answer is believed. No caller's cancel ends it for the others.
func (c *Client) fly(f *flight) (believed time.Duration) {
	ctx, cancel := context.WithTimeout(c.ctx, c.timeout())
	defer cancel()
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		c.observe(Failed)
		f.err = unknown("too many others were before it")
		return 0
	}
	if left := c.rest.left(); left > 0 {
		c.observe(Limited)
		f.err = unknown("the application asked for rest, which lasts %v more", left.Round(time.Second))
		return 0
	}
	var outcome string
	f.user, outcome, f.err = c.ask(ctx, f.question)
	c.observe(outcome)
	if outcome == Refused {
		return c.patience()
	}
	return 0
}
