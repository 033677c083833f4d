package extauthz

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3" // named in the files
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3" // named in the files
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/symbolon-id/symbolon/grpcauth/internal/authtest"
)

// unpack decodes a typed_config and validates it as Envoy does.
func unpack[M interface{ ValidateAll() error }](t *testing.T, a *anypb.Any) M {
	t.Helper()
	m, err := a.UnmarshalNew()
	if err != nil {
		t.Fatal(err)
	}
	out, ok := m.(M)
	if !ok {
		t.Fatalf("%T", m)
	}
	if err := out.ValidateAll(); err != nil {
		t.Fatal(err)
	}
	return out
}

// shipped is a shipped configuration, decoded into Envoy's own messages. An unknown or
// misplaced field is an error.
type shipped struct {
	manager  *hcmv3.HttpConnectionManager
	mutation *mutationv3.HeaderMutation
	authz    *extauthzv3.ExtAuthz
}

func read(t *testing.T, file string) shipped {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "examples", "proxies", "envoy", file))
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	var b bootstrapv3.Bootstrap
	if err := protojson.Unmarshal(asJSON, &b); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if err := b.ValidateAll(); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	chain := b.GetStaticResources().GetListeners()[0].GetFilterChains()[0]
	s := shipped{manager: unpack[*hcmv3.HttpConnectionManager](t, chain.GetFilters()[0].GetTypedConfig())}
	filters := s.manager.GetHttpFilters()
	if len(filters) != 3 || filters[2].GetName() != "envoy.filters.http.router" {
		t.Fatalf("%s: the filters are %v", file, filters)
	}
	s.mutation = unpack[*mutationv3.HeaderMutation](t, filters[0].GetTypedConfig())
	s.authz = unpack[*extauthzv3.ExtAuthz](t, filters[1].GetTypedConfig())
	return s
}

// policies returns the context_extensions of each route by prefix.
func (s shipped) policies(t *testing.T) map[string]map[string]string {
	t.Helper()
	out := map[string]map[string]string{}
	for _, route := range s.manager.GetRouteConfig().GetVirtualHosts()[0].GetRoutes() {
		out[route.GetMatch().GetPrefix()] = nil
		if a := route.GetTypedPerFilterConfig()["envoy.filters.http.ext_authz"]; a != nil {
			out[route.GetMatch().GetPrefix()] = unpack[*extauthzv3.ExtAuthzPerRoute](t, a).GetCheckSettings().GetContextExtensions()
		}
	}
	return out
}

// removes returns a function that reports whether Envoy keeps a client's header.
func (s shipped) removes(t *testing.T) (stays func(name string) bool) {
	t.Helper()
	names := map[string]bool{}
	var odd *regexp.Regexp // must match the whole name
	for _, m := range s.mutation.GetMutations().GetRequestMutations() {
		names[m.GetRemove()] = true
		if match := m.GetRemoveOnMatch(); match != nil {
			odd = regexp.MustCompile("^(?:" + match.GetKeyMatcher().GetSafeRegex().GetRegex() + ")$")
		}
	}
	if odd == nil {
		t.Fatal("no header names are removed by a pattern")
	}
	return func(name string) bool {
		name = strings.ToLower(name) // Envoy converts names to lower case
		return !names[name] && !odd.MatchString(name)
	}
}

// TestShippedConfigurations checks that Envoy accepts both files, and that neither fails
// open.
func TestShippedConfigurations(t *testing.T) {
	w := authtest.New(t, nil)
	for _, file := range []string{"envoy.yaml", "envoy-grpc.yaml"} {
		s := read(t, file)
		if s.authz.GetFailureModeAllow() || s.authz.GetStatusOnError().GetCode() != http.StatusServiceUnavailable {
			t.Errorf("%s fails open, or an outage looks like a denial", file)
		}
		if s.manager.GetCommonHttpProtocolOptions().GetHeadersWithUnderscoresAction() != corev3.HttpProtocolOptions_DROP_HEADER {
			t.Errorf("%s passes names with underscores on", file)
		}
		stays := s.removes(t)
		for _, name := range server(w).Auth.HeaderNames() {
			for _, spelt := range spellings(name) {
				if stays(spelt) {
					t.Errorf("%s does not remove %s", file, spelt)
				}
			}
		}
		for _, name := range []string{"x-user-identity", "x-user-id-2", "ax-user-id", "user-id", "x-auth", "x-session-token", "cookie", "authorization", "accept"} {
			if !stays(name) {
				t.Errorf("%s removes %s", file, name)
			}
		}
	}
}

// TestShippedGRPC sends Envoy's questions with the shipped file, and checks the answers.
func TestShippedGRPC(t *testing.T) {
	s := read(t, "envoy-grpc.yaml")
	w := authtest.New(t, nil)
	p := w.User()
	asks := serve(t, server(w))
	asks.raw = s.authz.GetEncodeRawHeaders()
	if !asks.raw || s.authz.GetAllowedHeaders() != nil || s.authz.GetClearRouteCache() || s.authz.GetTransportApiVersion() != corev3.ApiVersion_V3 {
		t.Fatal("Envoy joins headers, hides some, or selects the route again after the answer")
	}
	policies := s.policies(t)
	for prefix, want := range map[string]struct {
		stranger, person int
	}{"/": {401, 200}, "/settings/": {401, 403}, "/public/": {200, 200}} {
		extensions, ok := policies[prefix]
		if !ok {
			t.Fatalf("no route %s", prefix)
		}
		asks.extensions = extensions
		if got := asks.ask(t, request(http.Header{"Cookie": {"a=b", "c=d"}})); got.status != want.stranger {
			t.Errorf("%s, a stranger: %d", prefix, got.status)
		}
		if got := asks.ask(t, request(http.Header{"Cookie": {"a=b", "ory_kratos_session=" + p.Cookie}})); got.status != want.person {
			t.Errorf("%s, signed in: %d", prefix, got.status)
		}
	}
}
