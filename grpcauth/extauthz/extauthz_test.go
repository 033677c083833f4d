package extauthz

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"go.uber.org/goleak"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/forwardauth"
	"github.com/symbolon-id/symbolon/forwardauth/assertion"
	"github.com/symbolon-id/symbolon/grpcauth/internal/authtest"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func server(w *authtest.World) *Server {
	return &Server{Log: slog.New(slog.DiscardHandler), Auth: &forwardauth.ForwardAuth{Verifier: w.Auth,
		Policies: map[string]forwardauth.Policy{
			"fresh":    {Require: []session.Policy{session.Fresh(time.Nanosecond)}},
			"verified": {Require: []session.Policy{session.Verified}},
			"pages":    {LoginRedirect: true},
		},
		Login: forwardauth.Login{URL: "https://id.example/login", ReturnTo: []string{"app.example"}},
	}}
}

// TestAsOverHTTP checks that the same credential is used in both forms of the headers. If
// Envoy has joined two cookie headers, the original headers are unknown and the request
// is not let in.
func TestAsOverHTTP(t *testing.T) {
	w := authtest.New(t, nil)
	e := serve(t, server(w))
	let := 0
	for _, c := range authtest.Cases(w) {
		status, said := w.HTTP(c.Header)
		if status == 200 {
			let++
		}
		for _, e.raw = range []bool{true, false} {
			if got, gotSaid := e.ask(t, request(c.Header)).said(t); got != status || gotSaid != said {
				t.Errorf("%s, raw %v: %d %s; over HTTP %d %s", c.Name, e.raw, got, gotSaid, status, said)
			}
		}
	}
	if let < 10 {
		t.Errorf("HTTP let only %d requests in", let)
	}
}

func TestJoinedCookies(t *testing.T) {
	w := authtest.New(t, nil)
	p, other := w.User(), w.User()
	mine, bearer := "ory_kratos_session="+p.Cookie, "Bearer "+other.Token
	e := serve(t, server(w))
	tests := map[string]struct {
		cookies []string
		user    symbolon.UserID
	}{
		"a comma in the cookie before": {[]string{"a=1,2; " + mine}, p.User},
		"a comma in the cookie after":  {[]string{mine + "; a=1,2"}, p.User},
		"two headers, the first":       {[]string{mine, "a=b"}, ""},
		"two headers, the second":      {[]string{"a=b", mine}, ""},
		"two headers, alike":           {[]string{mine, mine}, ""},
		"another session in a value":   {[]string{"a=1,ory_kratos_session=" + other.Cookie}, ""},
		"another session beside mine":  {[]string{"a=1,ory_kratos_session=" + other.Cookie + "; " + mine}, ""},
		"another session alone":        {[]string{"a=1, ory_kratos_session=" + other.Cookie}, ""},
	}
	for name, test := range tests {
		for _, with := range []http.Header{{}, {"Authorization": {bearer}}} {
			with["Cookie"] = test.cookies
			status, said := e.ask(t, request(with)).said(t)
			if test.user != "" && said != string(test.user) || test.user == "" && status != 401 {
				t.Errorf("%s: %d %s", name, status, said)
			}
		}
		token := http.Header{"Cookie": test.cookies, "X-Session-Token": {other.Token}}
		if _, said := e.ask(t, request(token)).said(t); said != string(other.User) {
			t.Errorf("%s, beside a token: %s", name, said)
		}
	}
}

// TestPolicies checks that the policy comes from Envoy's configuration, and that a
// request cannot change it.
func TestPolicies(t *testing.T) {
	w := authtest.New(t, nil)
	p, gone, half, closed := w.User(), w.User(), w.User(), w.User()
	w.Forget(gone)
	w.Suspend(closed)
	w.Fake.RequireSecondFactor(half.IdentityID)
	w.Auth.Purge(symbolon.IdentityID(half.IdentityID))
	e := serve(t, server(w))
	tests := []struct {
		policy string // "-": no policy
		header http.Header
		status int
		said   string
	}{
		{"-", p.ByToken(), 200, string(p.User)},
		{"-", nil, 401, "unauthenticated"},
		{"default", nil, 401, "unauthenticated"},
		{"default", gone.ByToken(), 403, "user_gone"},
		{"default", closed.ByToken(), 403, authtest.Suspended},
		{"optional", closed.ByToken(), 200, ""},
		{"default", half.ByToken(), 403, "aal2_required"},
		{"optional", nil, 200, ""},
		{"optional", p.ByToken(), 200, string(p.User)},
		{"optional", gone.ByToken(), 200, ""},
		{"aal2", p.ByToken(), 403, "aal2_required"},
		{"fresh", p.ByToken(), 403, "not_fresh"},
		{"verified", p.ByToken(), 403, "not_verified"},
		{"verified", nil, 401, "unauthenticated"},
		{"nobody's", p.ByToken(), 503, "unavailable"},
		{"", p.ByToken(), 503, "unavailable"},
		{"Optional", p.ByToken(), 503, "unavailable"},
		{"optional/../default", nil, 503, "unavailable"},
		{"optional,default", nil, 503, "unavailable"},
	}
	for _, test := range tests {
		asks := e
		if test.policy != "-" {
			asks = e.with(test.policy)
		}
		for _, target := range []string{"/", "/auth/optional", "/auth/p/optional", "/x?symbolon_policy=optional&policy=optional", "//", "*"} {
			for _, method := range []string{"GET", "POST", "OPTIONS", "CONNECT", "PURGE"} {
				h := test.header.Clone()
				if h == nil {
					h = http.Header{}
				}
				h.Set(PolicyKey, "optional")
				h.Set("Symbolon-Policy", "optional")
				h.Set("X-Forwarded-Uri", "/auth/optional")
				r := request(h)
				r.Method, r.URL.Path, r.URL.RawQuery = method, target, ""
				if got, said := asks.ask(t, r).said(t); got != test.status || said != test.said {
					t.Errorf("%q, %s %s: %d %s, want %d %s", test.policy, method, target, got, said, test.status, test.said)
				}
			}
		}
	}
}

// TestRefusal checks that the client gets ForwardAuth's answer, byte by byte.
func TestRefusal(t *testing.T) {
	w := authtest.New(t, nil)
	p, half := w.User(), w.User()
	w.Fake.RequireSecondFactor(half.IdentityID)
	w.Auth.Purge(symbolon.IdentityID(half.IdentityID))
	s := server(w)
	e := serve(t, s)
	never := w.Person()
	compare := func(what, policy string, h http.Header) reply {
		t.Helper()
		got := e.with(policy).ask(t, request(h))
		rec := httptest.NewRecorder()
		r := request(h)
		r.URL.Path = "/auth/p/" + policy
		s.Auth.ServeHTTP(rec, r)
		for _, name := range s.Auth.HeaderNames() {
			rec.Header().Del(name) // these headers are for the upstream
		}
		if got.status != rec.Code || got.body != rec.Body.String() || fmt.Sprint(got.header) != fmt.Sprint(rec.Header()) {
			t.Errorf("%s: %d %v %s; over HTTP %d %v %s", what, got.status, got.header, got.body, rec.Code, rec.Header(), rec.Body)
		}
		return got
	}
	page := http.Header{"Accept": {"text/html"}}
	compare("a stranger", "default", nil)
	compare("no second factor", "aal2", p.ByToken())
	if to := compare("no second factor, at Ory", "default", half.ByToken()).header.Get("Location"); to != w.Fake.PublicURL+"/self-service/login/browser?aal=aal2" {
		t.Errorf("the second factor is at %q", to)
	}
	compare("a program", "pages", nil)

	if got := e.with("pages").ask(t, request(page)); got.status != 302 || got.header.Get("Location") != "https://id.example/login?return_to=https%3A%2F%2Fapp.example%2Fnotes%3Fq%3D1" {
		t.Errorf("a browser: %d %v", got.status, got.header)
	}
	for _, host := range []string{"evil.example", "app.example.evil.example", "app.example@evil.example", "app.example:8443", "", "app.example\\.evil.example", "app.example/x?"} {
		r := request(page)
		r.Host = host
		r.Header.Set("X-Forwarded-Host", "app.example")
		if got := e.with("pages").ask(t, r); got.status != 302 || host != "app.example/x?" && got.header.Get("Location") != "https://id.example/login" {
			t.Errorf("from %q: %d %v", host, got.status, got.header)
		}
	}
	post := request(page)
	post.Method = http.MethodPost
	if got := e.with("pages").ask(t, post); got.status != 401 {
		t.Errorf("a POST: %d", got.status)
	}

	repair := w.Fake.Break(fakeory.DatabaseDown{})
	defer repair()
	compare("an outage", "default", never.ByToken())
	compare("an outage, optional", "optional", never.ByToken())
	if got, _ := e.with("pages").ask(t, request(http.Header{"Accept": {"text/html"}, "X-Session-Token": {never.Token}})).said(t); got != 503 {
		t.Errorf("an outage, in a browser: %d", got)
	}
}

// TestSpoofing checks that the upstream gets identity headers only from us, in every
// spelling.
func TestSpoofing(t *testing.T) {
	w := authtest.New(t, nil)
	p := w.User()
	s := server(w)
	e := serve(t, s)
	names := s.Auth.HeaderNames()
	if len(names) != 6 {
		t.Fatal(names)
	}
	attacks := 0
	for _, who := range []http.Header{p.ByToken(), {}} {
		for _, name := range names {
			for _, spelt := range spellings(name) {
				for _, values := range [][]string{{"evil"}, {""}, {"evil", "evil2"}, {"evil, evil"}, {"\xff"}} {
					attacks++
					h := who.Clone()
					h[spelt] = values
					h["X-Other"], h["X-User-Identity"] = []string{"stays"}, []string{"stays"}
					e.raw = attacks%2 == 0
					got := e.with("optional").ask(t, request(h))
					if got.upstream == nil || got.upstream.Get("X-Other") != "stays" || got.upstream.Get("X-User-Identity") != "stays" {
						t.Fatalf("%q: %v", spelt, got)
					}
					checkUpstream(t, spelt, got.upstream, names)
					if want := string(p.User); len(who) > 0 && got.upstream.Get("X-User-Id") != want || len(who) == 0 && got.upstream.Get("X-User-Id") != "" {
						t.Errorf("%q: %v", spelt, got.upstream)
					}
				}
			}
		}
	}
	if attacks < 600 {
		t.Errorf("only %d", attacks)
	}
}

// checkUpstream requires each header once, with our value, and no header with a
// confusable name.
func checkUpstream(t *testing.T, spelt string, upstream http.Header, names []string) {
	t.Helper()
	for _, name := range names {
		if values := upstream[name]; len(values) != 1 || strings.Contains(values[0], "evil") {
			t.Errorf("%q: %s is %q", spelt, name, values)
		}
	}
	cgi := func(name string) string { // the names as a CGI upstream reads them
		return strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' {
				return r
			}
			return '_'
		}, strings.ToUpper(name))
	}
	seen := map[string]string{}
	for name := range upstream {
		if other, twice := seen[cgi(name)]; twice {
			t.Errorf("%q: the upstream gets both %q and %q", spelt, name, other)
		}
		seen[cgi(name)] = name
	}
}

func spellings(name string) []string {
	out := []string{name, strings.ToLower(name), strings.ToUpper(name)}
	for _, sep := range []string{"_", ".", "~", "!", "#", "$", "%", "&", "'", "*", "+", "^", "`", "|"} {
		out = append(out, strings.ReplaceAll(name, "-", sep), strings.ToLower(strings.Replace(name, "-", sep, 1)))
	}
	r := rand.New(rand.NewPCG(1, uint64(len(name)))) //nolint:gosec // not for secrets
	for range 5 {
		b := []byte(name)
		for i := range b {
			if r.IntN(2) == 0 {
				b[i] = strings.ToLower(string(b[i]))[0]
			}
			if b[i] == '-' {
				b[i] = "-_."[r.IntN(3)]
			}
		}
		out = append(out, string(b))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestHeaderNames(t *testing.T) {
	w := authtest.New(t, nil)
	p := w.User()
	s := server(w)
	s.Auth.Headers = forwardauth.Headers{UserID: "remote-user"}
	e := serve(t, s)
	h := p.ByToken()
	spelt, other := "remote_user", "x_user_id"
	h[spelt], h[other] = []string{"evil"}, []string{"not ours"}
	got := e.ask(t, request(h)).upstream
	if got.Get("Remote-User") != string(p.User) || got[spelt] != nil || got["X-User-Id"] != nil || got[other] == nil || got.Get("X-Identity-Id") != p.IdentityID {
		t.Errorf("%v", got)
	}
}

// TestNeverOpen checks that every failure is a refusal, so that failure_mode_allow lets
// nothing through.
func TestNeverOpen(t *testing.T) {
	w := authtest.New(t, nil)
	p := w.User()
	quiet := slog.New(slog.DiscardHandler)
	whole := (&envoy{}).question(request(p.ByToken()))
	panics := &forwardauth.ForwardAuth{Verifier: w.Auth, Signer: &assertion.Signer{}}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := map[string]struct {
		server *Server
		ctx    context.Context
		asked  *authv3.CheckRequest
	}{
		"no ForwardAuth":        {&Server{Log: quiet}, t.Context(), whole},
		"no Verifier":           {&Server{Log: quiet, Auth: &forwardauth.ForwardAuth{}}, t.Context(), whole},
		"bad Verifier":          {&Server{Log: quiet, Auth: &forwardauth.ForwardAuth{Verifier: &session.Verifier{Log: quiet}}}, t.Context(), whole},
		"bad Signer":            {&Server{Log: quiet, Auth: panics}, t.Context(), whole},
		"empty question":        {server(w), t.Context(), nil},
		"no attributes":         {server(w), t.Context(), &authv3.CheckRequest{}},
		"no request":            {server(w), t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{}}},
		"the network filter":    {server(w), t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{}}}},
		"Envoy no longer waits": {server(w), cancelled, (&envoy{}).question(request(w.Person().ByToken()))},
	}
	for name, test := range tests {
		res, err := test.server.Check(test.ctx, test.asked)
		if err != nil {
			t.Errorf("%s: an error: %v", name, err)
			continue
		}
		if got := filter(t, request(nil), res); got.status != 503 || got.code(t) != "unavailable" || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", name, got)
		}
	}
	empty := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{}}}}
	res, err := server(w).Check(t.Context(), empty)
	if got := filter(t, request(nil), res); err != nil || got.status != 401 {
		t.Errorf("an empty request: %v %v", got, err)
	}
}

// TestPanic checks that an unexpected panic is "don't know".
func TestPanic(t *testing.T) {
	w := authtest.New(t, nil)
	s := server(w)
	s.Auth.Signer = &assertion.Signer{Issuer: "i", Audience: "a", Secrets: []symbolon.Secret{[]byte(strings.Repeat("s", 32))}, Now: func() time.Time { panic("of the application's") }}
	res, err := s.Check(t.Context(), (&envoy{}).question(request(w.User().ByToken())))
	if err != nil {
		t.Fatal(err)
	}
	if got := filter(t, request(nil), res); got.status != 503 {
		t.Errorf("%v", got)
	}
}
