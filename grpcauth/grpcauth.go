// Package grpcauth finds the user of every call to a gRPC server, with the verifier, the
// policies and the errors of package session.
//
//	guard := &access.Guard{Verifier: auth, Methods: access.Methods{"/grpc.health.v1.Health/*": access.Open()}}
//	server := grpc.NewServer(
//		grpc.ChainUnaryInterceptor(grpcauth.Unary(guard)),
//		grpc.ChainStreamInterceptor(grpcauth.Stream(guard)))
//
// Inside a method symbolon.UserFrom(ctx) returns the user. Put these two interceptors after
// interceptors that recover from panics or log, and before interceptors that need the user.
//
// A call that is not let in gets Unauthenticated (nobody has signed in), PermissionDenied (a
// policy denies it, or the person has no user) or Unavailable ("don't know": try again), with
// a google.rpc.ErrorInfo; see [access.Detail].
//
// Package connectauth does the same for Connect, package extauthz for Envoy.
package grpcauth

import (
	"context"
	"net/http"
	"net/netip"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/symbolon-id/symbolon/grpcauth/access"
	"github.com/symbolon-id/symbolon/session"
)

// Unary lets in calls by the rules of guard.
func Unary(guard *access.Guard) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		in, err := guard.Enter(ctx, info.FullMethod, header(ctx))
		if err != nil {
			return nil, turnedAway(ctx, err)
		}
		return handler(in, req)
	}
}

// Stream lets in streams by the rules of guard when they begin. With guard.Recheck it ends
// them when their session ends: the handler's context ends, its next receive and send fail,
// and the client gets the status. A handler that uses neither the context nor the stream
// goes on. If RecvMsg fails, its message must not be used again; generated code never does.
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

// Check reports errors in guard, and the names in guard.Methods that server does not have,
// because a rule with a misspelt name has no effect. Call it when all services are
// registered.
func Check(guard *access.Guard, server *grpc.Server) error {
	var served []string
	for service, info := range server.GetServiceInfo() {
		for _, method := range info.Methods {
			served = append(served, "/"+service+"/"+method.Name)
		}
	}
	return guard.CheckMethods(served)
}

// ClientAddress returns the address of a call's peer, for session.Verifier.ClientAddress. Do
// not use it behind a proxy, because all calls then have the proxy's address.
func ClientAddress(ctx context.Context) netip.Addr {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return netip.Addr{}
	}
	at, _ := netip.ParseAddrPort(p.Addr.String())
	return at.Addr()
}

type stream struct {
	grpc.ServerStream
	guarded *access.Stream
}

func (s *stream) Context() context.Context { return s.guarded.Context() }

func (s *stream) RecvMsg(m any) error {
	return s.guarded.Receive(func() error { return s.ServerStream.RecvMsg(m) }, refusal)
}

func (s *stream) SendMsg(m any) error {
	return s.guarded.Send(func() error { return s.ServerStream.SendMsg(m) }, refusal)
}

// header returns the metadata that may contain a credential.
func header(ctx context.Context) http.Header {
	return http.Header{
		"X-Session-Token": metadata.ValueFromIncomingContext(ctx, "x-session-token"),
		"Cookie":          metadata.ValueFromIncomingContext(ctx, "cookie"),
		"Authorization":   metadata.ValueFromIncomingContext(ctx, "authorization"),
	}
}

// turnedAway returns the status of a call that was not let in. If the call has ended
// meanwhile, the status gives the reason for that.
func turnedAway(ctx context.Context, err error) error {
	if gone := ctx.Err(); gone != nil {
		return status.FromContextError(gone).Err()
	}
	return refusal(err)
}

// refusal returns the status for an error of the guard.
func refusal(err error) error {
	r := session.RefusalOf(err)
	s := status.New(access.Code(err), r.Message)
	if detailed, err := s.WithDetails(access.Detail(r)); err == nil {
		s = detailed
	}
	return s.Err()
}
