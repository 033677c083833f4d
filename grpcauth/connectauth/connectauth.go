// Package connectauth answers, for every call of a Connect server, which user it is:
// package grpcauth for connectrpc.com/connect, with the same [access.Guard].
//
//	path, handler := shopv1connect.NewShopHandler(shop, connect.WithInterceptors(connectauth.New(guard)))
//
// A message is read before the interceptors of a unary call are asked. Where strangers
// must not make the server read, put session.Verifier.Require before the handler as
// well: clients of all three protocols understand its 401, 403 and 503.
package connectauth

import (
	"context"
	"errors"
	"net/http"

	"connectrpc.com/connect"

	"github.com/symbolon-id/symbolon/grpcauth/access"
	"github.com/symbolon-id/symbolon/session"
)

// New makes an interceptor for handlers. To clients it does nothing. What it says to
// whoever is not let in, and what becomes of a stream whose session ends, is as in
// package grpcauth.
//
// Over HTTP/1.1 a client that is still sending learns of the end of its stream when it
// stops: net/http reads the request to its end first. The handler learns at once.
func New(guard *access.Guard) connect.Interceptor { return interceptor{guard} }

type interceptor struct{ guard *access.Guard }

func (i interceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if req.Spec().IsClient {
			return next(ctx, req)
		}
		in, err := i.guard.Enter(ctx, req.Spec().Procedure, req.Header())
		if err != nil {
			return nil, turnedAway(ctx, err)
		}
		return next(in, req)
	}
}

func (i interceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (i interceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		s, err := i.guard.EnterStream(ctx, conn.Spec().Procedure, conn.RequestHeader())
		if err != nil {
			return turnedAway(ctx, err)
		}
		defer s.Leave()
		err = next(s.Context(), &stream{conn, s})
		if why := s.Ended(); why != nil {
			return refusal(why)
		}
		return err
	}
}

type stream struct {
	connect.StreamingHandlerConn
	guarded *access.Stream
}

func (s *stream) Receive(m any) error {
	return refused(s.guarded, s.guarded.Receive(func() error { return s.StreamingHandlerConn.Receive(m) }))
}

func (s *stream) Send(m any) error {
	return refused(s.guarded, s.guarded.Send(func() error { return s.StreamingHandlerConn.Send(m) }))
}

// refused makes a Connect error of what the guard says, and leaves every other one alone.
func refused(s *access.Stream, err error) error {
	if err != nil && err == s.Ended() { //nolint:errorlint // it is the very value
		return refusal(err)
	}
	return err
}

// turnedAway is why a call was not let in. One that has ended meanwhile gets its own
// word back.
func turnedAway(ctx context.Context, err error) error {
	switch gone := ctx.Err(); {
	case errors.Is(gone, context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, gone)
	case gone != nil:
		return connect.NewError(connect.CodeCanceled, gone)
	}
	return refusal(err)
}

// refusal is what the client is told.
func refusal(err error) error {
	r := session.RefusalOf(err)
	code := connect.CodeUnavailable
	switch {
	case r.Status == http.StatusUnauthorized:
		code = connect.CodeUnauthenticated
	case session.Denied(err):
		code = connect.CodePermissionDenied
	}
	e := connect.NewError(code, errors.New(r.Message))
	if detail, err := connect.NewErrorDetail(access.Detail(r)); err == nil {
		e.AddDetail(detail)
	}
	return e
}
