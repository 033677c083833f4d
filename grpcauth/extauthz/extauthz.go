// Package extauthz answers Envoy's ext_authz filter by gRPC (envoy.service.auth.v3): what
// forwardauth.ForwardAuth answers other proxies by HTTP, with the same policies, headers and
// words.
//
//	server := grpc.NewServer()
//	authv3.RegisterAuthorizationServer(server, &extauthz.Server{Auth: &forwardauth.ForwardAuth{Verifier: auth}})
//
// Its port is for Envoy only: whoever reaches it can ask whose a session is.
package extauthz

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

	"github.com/symbolon-id/symbolon/forwardauth"
)

// PolicyKey is where Envoy's configuration names the policy: a key of the
// context_extensions of a route, a virtual host or a cluster's check_settings. Without
// it the policy is default. Nothing of a request can set it.
const PolicyKey = "symbolon_policy"

// Server answers Envoy. Set the fields before the first question and leave them alone
// afterwards. Only Auth is required; its Check reports what is wrong with it.
//
// Who is let through reaches the upstream with all of the headers of
// [forwardauth.Headers], set over whatever the client sent, empty where nothing is known; a
// header of the client's that some upstream would take for one of them (X_User_Id,
// x.user.id) is removed. Who is not gets the status, body and Location that
// ForwardAuth answers: 401, 403, 302 to the login page, or 503 for "don't know", for a
// policy that does not exist, and for everything that goes wrong here. That is said as
// a refusal and never as an error of the call, so that failure_mode_allow opens nothing.
type Server struct {
	authv3.UnimplementedAuthorizationServer

	Auth *forwardauth.ForwardAuth

	// Log defaults to slog.Default().
	Log *slog.Logger
}

// Check answers one question. The error is always nil.
func (s *Server) Check(ctx context.Context, req *authv3.CheckRequest) (resp *authv3.CheckResponse, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log().Error("panic while Envoy was answered", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			resp, err = unavailable(), nil
		}
	}()
	if s.Auth == nil || s.Auth.Verifier == nil {
		s.log().Error("nobody is let through: extauthz.Server.Auth is not set up")
		return unavailable(), nil
	}
	asked := req.GetAttributes().GetRequest().GetHttp()
	if asked == nil { // the network filter asks without one
		s.log().Error("nobody is let through: Envoy asks about no HTTP request")
		return unavailable(), nil
	}
	header, names := s.read(asked)
	answer := s.Auth.Answer(ctx, forwardauth.Question{
		Policy: policy(req.GetAttributes().GetContextExtensions()),
		Method: asked.GetMethod(),
		Header: header,
		URL:    asked.GetScheme() + "://" + asked.GetHost() + asked.GetPath(),
	})
	if answer.Status == http.StatusOK {
		return s.pass(answer, names), nil
	}
	return refuse(answer), nil
}

func policy(extensions map[string]string) string {
	if name, ok := extensions[PolicyKey]; ok {
		return name
	}
	return "default"
}

// pass lets a request through. Envoy removes after it has set, so that no name may
// stand in both lists.
func (s *Server) pass(answer forwardauth.Answer, sent []string) *authv3.CheckResponse {
	ok := &authv3.OkHttpResponse{}
	names := s.Auth.HeaderNames()
	for _, name := range names {
		ok.Headers = append(ok.Headers, set(name, answer.Header.Get(name)))
	}
	for _, name := range sent {
		if mistakable(name, names) && !slices.Contains(ok.HeadersToRemove, name) {
			ok.HeadersToRemove = append(ok.HeadersToRemove, name)
		}
	}
	return &authv3.CheckResponse{
		Status:       &rpcstatus.Status{Code: int32(codes.OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: ok},
	}
}

// set overwrites every header of that name, in all versions of Envoy: later ones look
// at the action, and would append by default; earlier ones at append, which is not set.
func set(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:         &corev3.HeaderValue{Key: strings.ToLower(name), Value: value},
		AppendAction:   corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		KeepEmptyValue: true,
	}
}

// mistakable reports whether an upstream might take a header for one of names, though
// it is called otherwise: what stands between letters and digits is the same to CGI
// and its heirs.
func mistakable(sent string, names []string) bool {
	folded := fold(sent)
	for _, name := range names {
		if !strings.EqualFold(sent, name) && folded == fold(name) {
			return true
		}
	}
	return false
}

func fold(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, name)
}

// told are the headers of an answer that are for the client.
var told = []string{"Content-Type", "Cache-Control", "X-Content-Type-Options", "Location"}

// refuse gives the client ForwardAuth's answer.
func refuse(answer forwardauth.Answer) *authv3.CheckResponse {
	denied := &authv3.DeniedHttpResponse{
		Status: &typev3.HttpStatus{Code: typev3.StatusCode(answer.Status)},
		Body:   string(answer.Body),
	}
	for _, name := range told {
		if value := answer.Header.Get(name); value != "" {
			denied.Headers = append(denied.Headers, set(name, value))
		}
	}
	code := codes.PermissionDenied
	switch {
	case answer.Status >= http.StatusInternalServerError:
		code = codes.Unavailable
	case answer.Status == http.StatusUnauthorized || answer.Status == http.StatusFound:
		code = codes.Unauthenticated
	}
	return &authv3.CheckResponse{
		Status:       &rpcstatus.Status{Code: int32(code)},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: denied},
	}
}

func (s *Server) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.Default()
}

// unavailable is the answer where ForwardAuth cannot give one.
func unavailable() *authv3.CheckResponse {
	return refuse(forwardauth.Answer{
		Status: http.StatusServiceUnavailable,
		Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}, "Cache-Control": {"no-store"}, "X-Content-Type-Options": {"nosniff"}},
		Body:   []byte(`{"error":{"code":"unavailable","message":"This cannot be answered at the moment. Try again."}}` + "\n"),
	})
}
