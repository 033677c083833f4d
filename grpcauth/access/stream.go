package access

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
)

// Stream is a stream that has been let in. Receive and Send may be called at the same time,
// each by one goroutine.
type Stream struct {
	ctx   context.Context
	leave func() // nil: the session is not verified again
}

// EnterStream is Enter for a stream. Call Leave when the handler has returned.
func (g *Guard) EnterStream(ctx context.Context, method string, h http.Header) (*Stream, error) {
	ctx, v, err := g.enter(ctx, method, h)
	if err != nil {
		return nil, err
	}
	if v == nil || g.Recheck == 0 {
		return &Stream{ctx: ctx}, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { v.watch(ctx, cancel) })
	return &Stream{ctx: ctx, leave: func() {
		cancel(nil)
		watching.Wait()
	}}, nil
}

// Context returns the context with the user. It is cancelled when the guard ends the
// stream.
func (s *Stream) Context() context.Context { return s.ctx }

// Leave stops the verification of the session.
func (s *Stream) Leave() {
	if s.leave != nil {
		s.leave()
	}
}

// Ended returns why the guard has ended the stream, or nil if it has not.
func (s *Stream) Ended() error {
	if e, ok := context.Cause(s.ctx).(ended); ok { //nolint:errorlint // the cause is not wrapped
		return e.error
	}
	return nil
}

// ended is the reason why a stream was ended.
type ended struct{ error }

func (e ended) Unwrap() error { return e.error }

// Send calls send. If the guard has ended the stream, it returns refusal(Ended()) instead.
// A send that is under way is not interrupted.
func (s *Stream) Send(send func() error, refusal func(error) error) error {
	if err := s.Ended(); err != nil {
		return refusal(err)
	}
	return send()
}

// Receive calls receive, which fills a message. If the guard ends the stream first, it
// returns refusal(Ended()). The waiting receive then goes on until the call is over, so its
// message must not be read or used again.
func (s *Stream) Receive(receive func() error, refusal func(error) error) error {
	if s.leave == nil {
		return receive()
	}
	if err := s.Ended(); err != nil {
		return refusal(err)
	}
	done := make(chan received, 1)
	go func() {
		var r received
		defer func() {
			r.panicked = recover() // finish panics in the goroutine of the caller
			done <- r
		}()
		r.err = receive()
	}()
	select {
	case r := <-done:
		return s.finish(r, refusal)
	case <-s.ctx.Done():
	}
	if err := s.Ended(); err != nil {
		return refusal(err)
	}
	return s.finish(<-done, refusal) // the client has left, which ends receive
}

type received struct {
	err      error
	panicked any
}

func (s *Stream) finish(r received, refusal func(error) error) error {
	if r.panicked != nil {
		panic(r.panicked)
	}
	if err := s.Ended(); err != nil {
		return refusal(err)
	}
	return r.err
}

// visit is a call that has been let in, with its credential and its principal.
type visit struct {
	guard *Guard
	cred  ory.Credential
	who   *symbolon.Principal
}

// watch verifies the session until the stream is over, or has to end.
func (v *visit) watch(ctx context.Context, end context.CancelCauseFunc) {
	ticker := time.NewTicker(v.guard.Recheck)
	defer ticker.Stop()
	good := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := v.verify(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			good = time.Now()
		case session.Denied(err) || time.Since(good) >= v.guard.Verifier.Bound():
			end(ended{err})
			return
		}
	}
}

// verify verifies that the session is still valid and belongs to the same user. It does not
// check policies again, because session.Fresh would then end long streams.
func (v *visit) verify(ctx context.Context) error {
	p, err := v.guard.Verifier.Verify(ctx, v.cred)
	switch {
	case err != nil:
		return err
	case p.User.ID != v.who.User.ID || p.User.Identity != v.who.User.Identity:
		return fmt.Errorf("access: the session is another user's now: %w", session.ErrUnauthenticated)
	}
	return nil
}
