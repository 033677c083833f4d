package extauthz

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/symbolon-id/symbolon/grpcauth/internal/authtest"
)

// envoy plays Envoy's filter: it asks by gRPC, with the headers in one of two forms, and
// changes the client's headers as the filter does.
type envoy struct {
	authv3.AuthorizationClient
	raw        bool // encode_raw_headers
	extensions map[string]string
}

// serve starts a server on the loopback interface.
func serve(t testing.TB, s *Server) *envoy {
	t.Helper()
	server := grpc.NewServer()
	authv3.RegisterAuthorizationServer(server, s)
	return &envoy{AuthorizationClient: authv3.NewAuthorizationClient(authtest.Dial(t, server))}
}

func (e *envoy) with(policy string) *envoy {
	c := *e
	c.extensions = map[string]string{PolicyKey: policy}
	return &c
}

// question returns Envoy's question about a request.
func (e *envoy) question(r *http.Request) *authv3.CheckRequest {
	q := &authv3.AttributeContext_HttpRequest{Id: "1", Method: r.Method, Scheme: "https", Host: r.Host, Path: r.URL.RequestURI(), Protocol: "HTTP/1.1"}
	raw := &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: ":method", RawValue: []byte(r.Method)}, {Key: ":path", RawValue: []byte(q.Path)}}}
	joined := map[string]string{":method": r.Method, ":path": q.Path}
	for name, values := range r.Header {
		key := strings.ToLower(name)
		for _, v := range values {
			raw.Headers = append(raw.Headers, &corev3.HeaderValue{Key: key, RawValue: []byte(v)})
			if before, twice := joined[key]; twice {
				v = before + "," + v
			}
			joined[key] = strings.ToValidUTF8(v, "!")
		}
	}
	if e.raw {
		q.HeaderMap = raw
	} else {
		q.Headers = joined
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: q}, ContextExtensions: e.extensions}}
}

// reply is the answer for the client or the upstream.
type reply struct {
	status   int
	header   http.Header // headers of the answer to the client
	body     string
	upstream http.Header // headers for the upstream; nil: the request did not pass
}

func (e *envoy) ask(t testing.TB, r *http.Request) reply {
	t.Helper()
	res, err := e.Check(t.Context(), e.question(r))
	if err != nil {
		t.Fatal(err)
	}
	return filter(t, r, res)
}

// filter applies an answer as Envoy's filter does: it sets headers and then removes
// headers.
func filter(t testing.TB, r *http.Request, res *authv3.CheckResponse) reply {
	t.Helper()
	if codes.Code(res.GetStatus().GetCode()) != codes.OK {
		denied := res.GetDeniedResponse()
		if denied == nil || res.GetErrorResponse() != nil {
			t.Fatalf("neither let through nor refused: %v", res)
		}
		out := reply{status: int(denied.GetStatus().GetCode()), header: http.Header{}, body: denied.GetBody()}
		for _, h := range denied.GetHeaders() {
			out.header.Add(h.GetHeader().GetKey(), h.GetHeader().GetValue())
		}
		return out
	}
	ok := res.GetOkResponse()
	if ok == nil {
		t.Fatalf("let through without headers: %v", res)
	}
	upstream := r.Header.Clone()
	if upstream == nil {
		upstream = http.Header{}
	}
	drop := func(key string) {
		for name := range upstream {
			if strings.EqualFold(name, key) {
				delete(upstream, name)
			}
		}
	}
	for _, h := range ok.GetHeaders() {
		if h.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD || h.GetAppend() != nil { //nolint:staticcheck // earlier versions read it
			t.Errorf("%v does not replace the client's header", h)
		}
		drop(h.GetHeader().GetKey())
		upstream[http.CanonicalHeaderKey(h.GetHeader().GetKey())] = []string{h.GetHeader().GetValue()}
	}
	for _, key := range ok.GetHeadersToRemove() {
		drop(key)
	}
	return reply{status: 200, upstream: upstream}
}

// code returns the code of the error body.
func (r reply) code(t testing.TB) string {
	var e struct{ Error struct{ Code string } }
	if err := json.Unmarshal([]byte(r.body), &e); err != nil {
		t.Errorf("%d without the error form: %q", r.status, r.body)
	}
	return e.Error.Code
}

// said returns the status and text as World.HTTP does.
func (r reply) said(t testing.TB) (int, string) {
	if r.upstream != nil {
		return 200, r.upstream.Get("X-User-Id")
	}
	return r.status, r.code(t)
}

func request(h http.Header) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://app.example/notes?q=1", nil)
	r.Header = h.Clone()
	return r
}
