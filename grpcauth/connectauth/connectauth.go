// Package connectauth finds the user of every call to a Connect server. It is package
// grpcauth for connectrpc.com/connect, with the same [access.Guard].
//
//	path, handler := shopv1connect.NewShopHandler(shop, connect.WithInterceptors(connectauth.New(guard)))
//
// The message of a unary call is read before the interceptors run. If people without a
// session must not make the server read messages, put session.Verifier.Require before the
// handler as well: clients of all three protocols understand its 401, 403 and 503.
package connectauth

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/symbolon-id/symbolon/grpcauth/access"
	"github.com/symbolon-id/symbolon/session"
)

// New makes an interceptor for handlers. It does nothing in clients. Refusals, and the end of
// a stream whose session ends, are as in package grpcauth.
//
// Over HTTP/1.1 a client that is still sending gets the end of its stream only when it
// stops sending, because net/http first reads the whole request. The handler gets it at
// once.
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
	return s.guarded.Receive(func() error { return s.StreamingHandlerConn.Receive(m) }, refusal)
}

func (s *stream) Send(m any) error {
	return s.guarded.Send(func() error { return s.StreamingHandlerConn.Send(m) }, refusal)
}

// turnedAway returns the error of a call that was not let in. If the call has ended
// meanwhile, the error gives the reason for that.
func turnedAway(ctx context.Context, err error) error {
	switch gone := ctx.Err(); {
	case errors.Is(gone, context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, gone)
	case gone != nil:
		return connect.NewError(connect.CodeCanceled, gone)
	}
	return refusal(err)
}

// refusal returns the Connect error for an error of the guard.
func refusal(err error) error {
	r := session.RefusalOf(err)
	e := connect.NewError(connect.Code(access.Code(err)), errors.New(r.Message))
	if detail, err := connect.NewErrorDetail(access.Detail(r)); err == nil {
		e.AddDetail(detail)
	}
	return e
}
