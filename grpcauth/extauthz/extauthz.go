// Package extauthz answers Envoy's ext_authz filter by gRPC (envoy.service.auth.v3), as
// forwardauth.ForwardAuth answers other proxies by HTTP: with the same policies, headers and
// bodies.
//
//	server := grpc.NewServer()
//	authv3.RegisterAuthorizationServer(server, &extauthz.Server{Auth: &forwardauth.ForwardAuth{Verifier: auth}})
//
// The port of this server is for Envoy only, because everybody who reaches it can look up
// the user of a session.
package extauthz

import (
	"cmp"
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

// PolicyKey is the key of the policy's name in Envoy's configuration, in the
// context_extensions in check_settings of a route, a virtual host or a cluster. Without it
// the policy is default. A request cannot set it.
const PolicyKey = "symbolon_policy"

// Server answers Envoy. Set the fields before the first request and do not change them
// afterwards. Only Auth is required. Auth.Check reports errors in the fields of Auth.
//
// A request that passes reaches the upstream with all of the headers of
// [forwardauth.Headers], which overwrite the client's. A header of the client that an
// upstream may confuse with one of them (X_User_Id, x.user.id) is removed. A request that
// does not pass gets ForwardAuth's status, body and Location: 401, 403, 302 to the login
// page, or 503 for "don't know", for a policy that does not exist, and for every failure
// here. A failure is answered with a refusal and never with an error of the call, so that
// failure_mode_allow lets nothing through.
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
	if asked == nil { // the question is from Envoy's network filter
		s.log().Error("nobody is let through: Envoy asks about no HTTP request")
		return unavailable(), nil
	}
	header, names := s.read(asked)
	answer := s.Auth.Answer(ctx, forwardauth.Question{
		Policy: policy(req.GetAttributes().GetContextExtensions()),
		Method: asked.GetMethod(),
		Header: header,
		URL:    asked.GetScheme() + "://" + asked.GetHost() + asked.GetPath(),
		Client: req.GetAttributes().GetSource().GetAddress().GetSocketAddress().GetAddress(),
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

// pass lets a request through. Envoy first sets headers and then removes headers, so no
// name may be in both lists.
func (s *Server) pass(answer forwardauth.Answer, sent []string) *authv3.CheckResponse {
	ok := &authv3.OkHttpResponse{}
	names := s.Auth.HeaderNames()
	for _, name := range names {
		ok.Headers = append(ok.Headers, set(name, answer.Header.Get(name)))
	}
	for _, name := range sent {
		if confusable(name, names) && !slices.Contains(ok.HeadersToRemove, name) {
			ok.HeadersToRemove = append(ok.HeadersToRemove, name)
		}
	}
	return &authv3.CheckResponse{
		Status:       &rpcstatus.Status{Code: int32(codes.OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: ok},
	}
}

// set overwrites every header of that name in all versions of Envoy. Later versions read
// AppendAction, whose default appends. Earlier versions read Append, which is not set here.
func set(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:         &corev3.HeaderValue{Key: strings.ToLower(name), Value: value},
		AppendAction:   corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		KeepEmptyValue: true,
	}
}

// confusable reports whether an upstream may confuse a header with one of names. CGI and
// its successors replace all characters other than letters and digits by "_".
func confusable(sent string, names []string) bool {
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

// clientHeaders are the headers of an answer that the client gets.
var clientHeaders = []string{"Content-Type", "Cache-Control", "X-Content-Type-Options", "Location", "Retry-After"}

// refuse gives the client ForwardAuth's answer.
func refuse(answer forwardauth.Answer) *authv3.CheckResponse {
	denied := &authv3.DeniedHttpResponse{
		Status: &typev3.HttpStatus{Code: typev3.StatusCode(answer.Status)},
		Body:   string(answer.Body),
	}
	for _, name := range clientHeaders {
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

func (s *Server) log() *slog.Logger { return cmp.Or(s.Log, slog.Default()) }

// unavailable is ForwardAuth's 503. A ForwardAuth without a Verifier gives this answer.
func unavailable() *authv3.CheckResponse {
	return refuse((&forwardauth.ForwardAuth{}).Answer(context.Background(), forwardauth.Question{Policy: "default"}))
}
