package forwardauth

import (
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/forwardauth/assertion"
	"github.com/symbolon-id/symbolon/internal/faults"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

func testLogin() Login {
	return Login{URL: "https://ory.example/self-service/login/browser", ReturnTo: []string{"app.example", "app.example:8443", "127.0.0.1:3000"},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
}

// goodReturns are accepted unchanged.
var goodReturns = []string{
	"https://app.example/", "http://app.example/", "https://app.example/notes", "https://app.example/notes?x=1&y=2", "https://app.example:8443/a/b.html",
	"http://127.0.0.1:3000/", "https://app.example/a%20b", "https://app.example/?q=%0a", "https://app.example/a?u=https://evil.example/", "https://app.example/@evil",
	"https://app.example/a//b", "https://app.example/%C3%A4", "https://app.example/a;b=c", "https://app.example/~a/-._", "https://app.example/?a=b?c", "https://app.example//evil.example",
	"https://App.Example/", "https://app.example/..%2f", "https://app.example/a:b", "https://app.example/" + strings.Repeat("a", 2000),
}

// badReturns are URLs that are open redirects for some reader.
var badReturns = []string{
	"", " ", "/", "/notes", "//evil.example", "//app.example", "///evil.example", "////evil.example/", "/\\evil.example", "\\\\evil.example", "\\/evil.example", "/\t/evil.example",
	"https:/evil.example", "https:evil.example", "https:/\\evil.example", "https:\\\\evil.example", "https:\\/evil.example", "https:///evil.example", "https:////evil.example", "http:/\\/\\evil.example",
	"https://evil.example", "https://evil.example/", "http://evil.example/app.example", "https://evil.example?app.example", "https://evil.example#app.example", "https://evil.example/?https://app.example/",
	"https://app.example.evil.example/", "https://app.examplee/", "https://evilapp.example/", "https://sub.app.example/", "https://app.example./", "https://.app.example/", "https://app..example/", "https://appxexample/",
	"https://app.example:80/", "https://app.example:443/", "https://app.example:/", "https://app.example:8443x/", "https://app.example:08443/", "https://app.example:99999/", "https://app.example:-1/", "https://app.example:8443:8443/",
	"https://app.example@evil.example/", "https://app.example:pw@evil.example/", "https://user@app.example/", "https://user:pw@app.example/", "https://@app.example/", "https://:@app.example/", "https://evil.example@app.example/",
	"https://app.example%40evil.example/", "https://app.example%2f@evil.example/", "https://app.example\\@evil.example/", "https://evil.example\\@app.example/", "https://app.example;@evil.example/",
	"https://evil.example\\app.example/", "https://evil.example%5capp.example/", "https://evil.example%2fapp.example/", "https://evil.example%00app.example/", "https://app.example%00.evil.example/", "https://app.example\x00.evil.example/",
	"https://app.example%0d%0a.evil.example/", "https://app.example%20/", "https://app.example /", "https:// app.example/", " https://app.example/", "https://app.example/ ", "https://app.example/\t", "\thttps://app.example/", "https://app.example/a b",
	"https://app.example/\n", "https://app.example/\r\nSet-Cookie: a=b", "https://app.example/\x00", "https://app.example/\x7f", "https://app.example/\x0b", "ht\ntps://app.example/", "h\ttps://app.example/", "java\tscript:alert(1)", "https\n://evil.example/", "https://ev\nil.example/",
	"https://app.example/%0d%0aSet-Cookie:%20a=b", "https://app.example/%00", "https://app.example/%09", "https://app.example/%5c%5cevil.example", "https://app.example/%5Cevil.example", "https://app.example/%7f", "https://app.example/%", "https://app.example/%zz", "https://app.example/%ff",
	"javascript:alert(1)", "JavaScript:alert(1)", "javascript://app.example/%0aalert(1)", "data:text/html,<script>", "vbscript:x", "file:///etc/passwd", "file://app.example/etc/passwd", "ftp://app.example/", "ws://app.example/", "wss://app.example/", "blob:https://app.example/x", "view-source:https://app.example/", "about:blank", "mailto:a@app.example", "intent://app.example/", "x-app://app.example/",
	"HTTPS://app.example/", "Http://app.example/", "https ://app.example/", "httpss://app.example/", "https://https://app.example/", "http:https://app.example/", "://app.example/", ":https://app.example/", "//https://app.example/", "https", "https:", "https:/", "https://", "https://?", "https:///",
	"https://app.example", "https://app.example?x=1", "https://app.example#", "https://app.example/#", "https://app.example/#/evil", "https://app.example/a#b", "https://#app.example/", "https://app.example/\\", "https://app.example/\\evil.example", "https://app.example\\", "https://app.example\\/",
	"https://xn--pp-lia.example/", "https://аpp.example/", "https://app.example\u3002evil.example/", "https://app\uff0eexample/", "https://app.ex\u00e4mple/", "https://ａpp.example/", "https://app.example/\u2028", "https://app.example/ä", "https://app.example\u2044evil/", "https://app.example\u200b/",
	"https://[::1]/", "https://[app.example]/", "https://app.example[/", "https://[::ffff:7f00:1]:3000/", "http://2130706433:3000/", "http://0x7f.1:3000/", "http://127.1:3000/", "http://127.0.0.1/", "http://127.0.0.1:3001/", "http://0177.0.0.1:3000/",
	"https://app_example/", "https://*.example/", "https://app.example,evil.example/", "https://app.example;evil.example/", "https://app.example|evil/", "https://app.example/<script>", "https://app.example/\"", "https://app.example/`", "https://app.example/{a}", "https://app.example/^", "https://${host}/",
	"https://app.example/" + strings.Repeat("a", 2100), "https://" + strings.Repeat("a.", 500) + "app.example/", strings.Repeat("https://", 300),
}

func TestReturnTo(t *testing.T) {
	l := testLogin()
	if n := len(goodReturns) + len(badReturns); n < 150 {
		t.Fatalf("the corpus has %d URLs", n)
	}
	for _, s := range goodReturns {
		if !l.mayReturnTo(s) {
			t.Errorf("%q is refused", s)
		}
	}
	for _, s := range badReturns {
		if l.mayReturnTo(s) {
			t.Errorf("%q is accepted", s)
		}
	}
}

// TestLoginRedirect checks that a bad URL leads to the login page without return_to.
func TestLoginRedirect(t *testing.T) {
	w := newWorld(t)
	f := &ForwardAuth{Verifier: w.v, Login: testLogin(), Policies: map[string]Policy{"web": {LoginRedirect: true}, "api": {}}}
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	const proxy, page, plain = "10.1.2.3:4", "text/html,application/xhtml+xml,*/*;q=0.8", "https://ory.example/self-service/login/browser"
	forwarded := []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "app.example", "X-Forwarded-Uri", "/notes?x=1"}
	back := plain + "?return_to=" + url.QueryEscape("https://app.example/notes?x=1")
	with := func(more ...string) []string { return append(more, forwarded...) }
	for name, test := range map[string]struct {
		method, path, peer, accept string
		headers                    []string
		status                     int
		location                   string
	}{
		"a browser":                       {"GET", "/auth/p/web", proxy, page, forwarded, 302, back},
		"behind Envoy":                    {"GET", "/auth/p/web/notes", proxy, page, forwarded, 302, back},
		"by X-Original-URL":               {"GET", "/auth/p/web", proxy, page, []string{"X-Original-Url", "https://app.example/notes?x=1"}, 302, back},
		"both, the same":                  {"GET", "/auth/p/web", proxy, page, with("X-Original-Url", "https://app.example/notes?x=1"), 302, back},
		"both, two":                       {"GET", "/auth/p/web", proxy, page, with("X-Original-Url", "https://app.example/other"), 302, plain},
		"over IPv6":                       {"GET", "/auth/p/web", "[::1]:4", page, forwarded, 302, back},
		"mapped":                          {"GET", "/auth/p/web", "[::ffff:10.1.2.3]:4", page, forwarded, 302, back},
		"a peer that is not trusted":      {"GET", "/auth/p/web", "11.1.2.3:4", page, forwarded, 302, plain},
		"a peer without an address":       {"GET", "/auth/p/web", "@", page, forwarded, 302, plain},
		"nothing forwarded":               {"GET", "/auth/p/web", proxy, page, nil, 302, plain},
		"half of the headers":             {"GET", "/auth/p/web", proxy, page, forwarded[:4], 302, plain},
		"half, and X-Original-URL":        {"GET", "/auth/p/web", proxy, page, append([]string{"X-Original-Url", "https://app.example/"}, forwarded[:4]...), 302, plain},
		"a host twice":                    {"GET", "/auth/p/web", proxy, page, with("X-Forwarded-Host", "evil.example"), 302, plain},
		"another host":                    {"GET", "/auth/p/web", proxy, page, []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example", "X-Forwarded-Uri", "/"}, 302, plain},
		"a host in a URI":                 {"GET", "/auth/p/web", proxy, page, []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "app.example", "X-Forwarded-Uri", "@evil.example/"}, 302, plain},
		"a host in a scheme":              {"GET", "/auth/p/web", proxy, page, []string{"X-Forwarded-Proto", "https://evil.example/?", "X-Forwarded-Host", "app.example", "X-Forwarded-Uri", "/"}, 302, plain},
		"a list of schemes":               {"GET", "/auth/p/web", proxy, page, []string{"X-Forwarded-Proto", "https, http", "X-Forwarded-Host", "app.example", "X-Forwarded-Uri", "/"}, 302, plain},
		"the policy in the client's path": {"GET", "/auth/p/api/auth/p/web", proxy, page, forwarded, 401, ""},
		"a program":                       {"GET", "/auth/p/web", proxy, "application/json", forwarded, 401, ""},
		"anything":                        {"GET", "/auth/p/web", proxy, "*/*", forwarded, 401, ""},
		"no page, please":                 {"GET", "/auth/p/web", proxy, "text/html;q=0, */*", forwarded, 401, ""},
		"no Accept":                       {"GET", "/auth/p/web", proxy, "", forwarded, 401, ""},
		"a form":                          {"POST", "/auth/p/web", proxy, page, forwarded, 401, ""},
		"a form, as Caddy asks":           {"GET", "/auth/p/web", proxy, page, with("X-Forwarded-Method", "POST"), 401, ""},
		"HEAD":                            {"HEAD", "/auth/p/web", proxy, page, forwarded, 401, ""},
		"another policy":                  {"GET", "/auth/p/api", proxy, page, forwarded, 401, ""},
		"the default":                     {"GET", "/auth", proxy, page, forwarded, 401, ""},
		"no policy":                       {"GET", "/auth/p/none", proxy, page, forwarded, 404, ""},
	} {
		r := request(test.headers...)
		if test.accept != "" {
			r.Header.Set("Accept", test.accept)
		}
		r.Method, r.RemoteAddr, r.URL = test.method, test.peer, &url.URL{Path: test.path}
		rec := httptest.NewRecorder()
		f.ServeHTTP(rec, r)
		if rec.Code != test.status || rec.Header().Get("Location") != test.location {
			t.Errorf("%s: %d %q, want %d %q", name, rec.Code, rec.Header().Get("Location"), test.status, test.location)
		}
		for _, h := range allHeaders {
			if v := rec.Header()[h]; len(v) != 1 || v[0] != "" {
				t.Errorf("%s: %s is %q", name, h, v)
			}
		}
	}
	// "Don't know" and a 403 do not redirect to the login page.
	w.Break(fakeory.DatabaseDown{})
	r := request("X-Session-Token", "ory_st_other", "Accept", page)
	r.URL = &url.URL{Path: "/auth/p/web"}
	rec := httptest.NewRecorder()
	if f.ServeHTTP(rec, r); rec.Code != 503 || rec.Header().Get("Location") != "" {
		t.Errorf("an outage: %d %v", rec.Code, rec.Header())
	}
}

// TestForwardAuthCheck checks that Check names all wrong fields at once.
func TestForwardAuthCheck(t *testing.T) {
	w := newWorld(t)
	for field, f := range map[string]*ForwardAuth{
		"Policies[aal2]":            {Policies: map[string]Policy{"aal2": {}}},
		"Policies[a/b]":             {Policies: map[string]Policy{"a/b": {}}},
		"Policies[]":                {Policies: map[string]Policy{"": {}}},
		"Policies[a].LoginRedirect": {Policies: map[string]Policy{"a": {LoginRedirect: true}}},
		"Headers":                   {Headers: Headers{AAL: "X-User-Id"}},
		"Login.URL":                 {Login: Login{URL: "javascript:alert(1)"}},
		"Login.ReturnTo[0]":         {Login: Login{ReturnTo: []string{"*.example", "app.example"}}},
		"Login.ReturnTo[1]":         {Login: Login{ReturnTo: []string{"app.example", "https://app.example"}}},
		"Signer":                    {Signer: &assertion.Signer{Issuer: "a", Audience: "b"}},
		"Verifier":                  {Verifier: &session.Verifier{Log: w.v.Log}},
	} {
		if f.Verifier == nil {
			f.Verifier = w.v
		}
		if faults := faults.In(f.Check()); len(faults) != 1 || faults[field] == nil {
			t.Errorf("%s: %v", field, faults)
		}
	}
	if l := (&Login{URL: "https://a:b@x.example/"}); l.Check() == nil {
		t.Error("a login URL that contains a user name is accepted")
	}
	all := &ForwardAuth{Policies: map[string]Policy{"aal2": {LoginRedirect: true}}, Login: Login{ReturnTo: []string{"*"}}}
	if faults := faults.In(all.Check()); len(faults) != 4 {
		t.Error(faults)
	}
}

// FuzzReturnTo checks that every reader finds one of the allowed hosts in an accepted
// URL: net/url, and a browser, which drops tabs and line feeds and reads a backslash as a
// slash.
func FuzzReturnTo(f *testing.F) {
	for _, s := range append(goodReturns, badReturns...) {
		f.Add(s)
	}
	l := testLogin()
	f.Fuzz(func(t *testing.T, s string) {
		if !l.mayReturnTo(s) {
			return
		}
		browser := strings.NewReplacer("\t", "", "\n", "", "\r", "", "\\", "/").Replace(strings.TrimSpace(s))
		_, rest, _ := strings.Cut(browser, ":")
		rest = strings.TrimLeft(rest, "/")
		host := rest[:strings.IndexAny(rest+"/", "/?#")]
		if host = strings.ToLower(host[strings.LastIndex(host, "@")+1:]); host != "app.example" && host != "app.example:8443" && host != "127.0.0.1:3000" {
			t.Errorf("%q goes to %q", s, host)
		}
		u, err := url.Parse(s)
		if err != nil || !strings.EqualFold(u.Host, host) || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
			t.Errorf("%q: %v %v", s, u, err)
		}
	})
}
