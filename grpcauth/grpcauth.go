// Package grpcauth answers, for every call of a gRPC server, which user it is: with the
// verifier, the rules and the answers of package session.
//
//	guard := &access.Guard{Verifier: auth, Methods: access.Methods{"/grpc.health.v1.Health/*": access.Open()}}
//	server := grpc.NewServer(
//		grpc.ChainUnaryInterceptor(grpcauth.Unary(guard)),
//		grpc.ChainStreamInterceptor(grpcauth.Stream(guard)))
//
// Inside a method symbolon.UserFrom(ctx) has the user. Put these after an interceptor
// that recovers from panics or logs, and before everything that needs the user.
//
// Whoever is not let in gets Unauthenticated (nobody signed in), PermissionDenied (a
// policy, or no user to hand out) or Unavailable ("don't know": try again), with a
// google.rpc.ErrorInfo, see [access.Detail].
//
// Package connectauth is the same for Connect, package extauthz for Envoy.
package grpcauth

import (
	"context"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/symbolon-id/symbolon/grpcauth/access"
	"github.com/symbolon-id/symbolon/session"
)

// Unary lets in calls as guard says.
func Unary(guard *access.Guard) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		in, err := guard.Enter(ctx, info.FullMethod, header(ctx))
		if err != nil {
			return nil, turnedAway(ctx, err)
		}
		return handler(in, req)
	}
}

// Stream lets in streams as guard says, when they begin. With guard.Recheck it ends
// them when their session ends: the context of a handler ends, what it receives and
// sends next fails, and the client gets the status. A handler that does none of the
// three goes on. A message that it was waiting for when RecvMsg failed must not be used
// again; generated code never does.
func Stream(guard *access.Guard) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx := ss.Context()
		s, err := guard.EnterStream(ctx, info.FullMethod, header(ctx))
		if err != nil {
			return turnedAway(ctx, err)
		}
		defer s.Leave()
		err = handler(srv, &stream{ss, s})
		if why := s.Ended(); why != nil {
			return refusal(why)
		}
		return err
	}
}

// Check reports what is wrong with guard, and the methods that it names and server does
// not have: a misspelt name guards nothing. Call it when all services are registered.
func Check(guard *access.Guard, server *grpc.Server) error {
	var served []string
	for service, info := range server.GetServiceInfo() {
		for _, method := range info.Methods {
			served = append(served, "/"+service+"/"+method.Name)
		}
	}
	return guard.CheckMethods(served)
}

type stream struct {
	grpc.ServerStream
	guarded *access.Stream
}

func (s *stream) Context() context.Context { return s.guarded.Context() }

func (s *stream) RecvMsg(m any) error {
	return refused(s.guarded, s.guarded.Receive(func() error { return s.ServerStream.RecvMsg(m) }))
}

func (s *stream) SendMsg(m any) error {
	return refused(s.guarded, s.guarded.Send(func() error { return s.ServerStream.SendMsg(m) }))
}

// refused makes a status of what the guard says, and leaves every other error alone.
func refused(s *access.Stream, err error) error {
	if err != nil && err == s.Ended() { //nolint:errorlint // it is the very value
		return refusal(err)
	}
	return err
}

// header has of a call's metadata what a credential may stand in.
func header(ctx context.Context) http.Header {
	return http.Header{
		"X-Session-Token": metadata.ValueFromIncomingContext(ctx, "x-session-token"),
		"Cookie":          metadata.ValueFromIncomingContext(ctx, "cookie"),
		"Authorization":   metadata.ValueFromIncomingContext(ctx, "authorization"),
	}
}

// turnedAway is why a call was not let in. One that has ended meanwhile gets its own
// word back.
func turnedAway(ctx context.Context, err error) error {
	if gone := ctx.Err(); gone != nil {
		return status.FromContextError(gone).Err()
	}
	return refusal(err)
}

// refusal is what the client is told.
func refusal(err error) error {
	r := session.RefusalOf(err)
	code := codes.Unavailable
	switch {
	case r.Status == http.StatusUnauthorized:
		code = codes.Unauthenticated
	case session.Denied(err):
		code = codes.PermissionDenied
	}
	s := status.New(code, r.Message)
	if detailed, err := s.WithDetails(access.Detail(r)); err == nil {
		s = detailed
	}
	return s.Err()
}
