package access

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
)

// Stream is a stream that has been let in. Receive and Send may be called at the same
// time, each by one goroutine.
type Stream struct {
	ctx   context.Context
	leave func() // nil: nobody looks at the session again
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
	done := make(chan struct{})
	go func() {
		defer close(done)
		v.watch(ctx, cancel)
	}()
	return &Stream{ctx: ctx, leave: func() {
		cancel(nil)
		<-done
	}}, nil
}

// Context has the user. It ends when the guard ends the stream.
func (s *Stream) Context() context.Context { return s.ctx }

// Leave ends the looking.
func (s *Stream) Leave() {
	if s.leave != nil {
		s.leave()
	}
}

// Ended returns why the guard has ended the stream, or nil: it has not.
func (s *Stream) Ended() error {
	if e, ok := context.Cause(s.ctx).(ended); ok { //nolint:errorlint // it is the very value
		return e.error
	}
	return nil
}

// ended is why a stream was ended.
type ended struct{ error }

func (e ended) Unwrap() error { return e.error }

// Send calls send unless the guard has ended the stream. One that is under way is not
// cut off.
func (s *Stream) Send(send func() error) error {
	if err := s.Ended(); err != nil {
		return err
	}
	return send()
}

// Receive calls receive, which fills a message, unless the guard ends the stream first.
// A receive that waits is then left to itself until the call is over: its message must
// not be looked at or used again.
func (s *Stream) Receive(receive func() error) error {
	if s.leave == nil {
		return receive()
	}
	if err := s.Ended(); err != nil {
		return err
	}
	done := make(chan received, 1)
	go func() {
		var r received
		defer func() {
			r.panicked = recover() // belongs to whoever called Receive
			done <- r
		}()
		r.err = receive()
	}()
	select {
	case r := <-done:
		return s.finish(r)
	case <-s.ctx.Done():
	}
	if err := s.Ended(); err != nil {
		return err
	}
	return s.finish(<-done) // the caller has gone, which ends it
}

type received struct {
	err      error
	panicked any
}

func (s *Stream) finish(r received) error {
	if r.panicked != nil {
		panic(r.panicked)
	}
	if err := s.Ended(); err != nil {
		return err
	}
	return r.err
}

// visit is whose stream it is.
type visit struct {
	guard *Guard
	cred  ory.Credential
	who   *symbolon.Principal
}

// watch looks at the session until the stream is over, or must be.
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
		err := v.look(ctx)
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

// look asks whether the session is still good, and still of the same user. Policies
// were judged when the stream began: a sign-in gets no fresher.
func (v *visit) look(ctx context.Context) error {
	p, err := v.guard.Verifier.Verify(ctx, v.cred)
	switch {
	case err != nil:
		return err
	case p.User.ID != v.who.User.ID || p.User.Identity != v.who.User.Identity:
		return fmt.Errorf("access: the session is another user's now: %w", session.ErrUnauthenticated)
	}
	return nil
}
