package forwardauth

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/faults"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

var allHeaders = []string{"X-User-Id", "X-Identity-Id", "X-Session-Id", "X-Auth-Aal", "X-Auth-Email", "X-Auth-Assertion"}

// auth sends a request as a proxy does, and returns the status and all headers.
func (w *world) auth(t testing.TB, method, path string, header ...string) (int, string) {
	t.Helper()
	r := request(header...)
	u, err := url.ParseRequestURI(path)
	if err != nil {
		t.Fatal(err)
	}
	r.Method, r.URL, r.RequestURI = method, u, path
	r.Body = io.NopCloser(unread{t})
	rec := httptest.NewRecorder()
	f := &ForwardAuth{Verifier: w.v, Policies: map[string]Policy{
		"strict": {Require: []session.Policy{session.AAL2, session.Verified, session.Fresh(time.Minute)}}, "verified": {Require: []session.Policy{session.Verified, session.Fresh(time.Hour)}}}}
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	f.ServeHTTP(rec, r)
	var values []string
	for _, name := range allHeaders {
		v := rec.Header()[name]
		if len(v) != 1 {
			t.Errorf("%s %s: %s has %d values", method, path, name, len(v))
			continue
		}
		values = append(values, v[0])
	}
	if (rec.Header().Get("Retry-After") == "1") != (rec.Code == 503) || rec.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%v", rec.Header())
	}
	return rec.Code, strings.Join(values, " ")
}

type unread struct{ t testing.TB }

func (u unread) Read([]byte) (int, error) { u.t.Error("the body was read"); return 0, io.EOF }

const nothing = "     " // six empty headers

func TestForwardAuth(t *testing.T) {
	w := newWorld(t)
	token, s := w.person(1)
	held, h := w.person(2)
	id := symbolon.IdentityID(h.IdentityID)
	w.store.deny = map[symbolon.IdentityID]error{id: &symbolon.DenyError{Identity: id, Err: symbolon.ErrOnHold}}
	who := fmt.Sprintf("user-of-%s %s %s aal1 p00000001@x.example ", s.IdentityID, s.IdentityID, s.ID)
	tests := []struct {
		path, token string
		status      int
		headers     string
	}{
		{"/auth", token, 200, who},
		{"/auth", "", 401, nothing},
		{"/auth", "ory_st_junk", 401, nothing},
		{"/auth", "a b", 401, nothing},
		{"/auth", held, 403, nothing},
		{"/auth/optional", token, 200, who},
		{"/auth/optional", "", 200, nothing},
		{"/auth/optional", "ory_st_junk", 200, nothing},
		{"/auth/optional", held, 200, nothing},
		{"/auth/aal2", token, 403, nothing},
		{"/auth/aal2", "", 401, nothing},
		// The query is ignored.
		{"/auth?optional=1", "", 401, nothing},
		{"/auth?policy=/auth/optional", "", 401, nothing},
		{"/auth?", token, 200, who},
		{"/auth/aal2?aal=aal1", token, 403, nothing},
		{"/auth/optional?/../aal2", "", 200, nothing},
		// There are no paths below them, and paths are not cleaned.
		{"/auth/", token, 404, nothing},
		{"/auth/optional/", token, 404, nothing},
		{"/auth/optional/x", "", 404, nothing},
		{"/auth/aal2/../optional", "", 404, nothing},
		{"/auth/../auth", token, 404, nothing},
		{"//auth", token, 404, nothing},
		{"/auth//optional", "", 404, nothing},
		{"/./auth", token, 404, nothing},
		{"/auth/.", token, 404, nothing},
		{"/auth/..;/optional", "", 404, nothing},
		{"/auth;x=1", token, 404, nothing},
		{"/auth%2Foptional", "", 404, nothing},
		{"/auth/%6Fptional", "", 404, nothing},
		{"/%61uth", token, 404, nothing},
		{"/auth%00", token, 404, nothing},
		{"/auth/optional%3F", "", 404, nothing},
		{"/AUTH", token, 404, nothing},
		{"/Auth/Optional", "", 404, nothing},
		{"/auth/optional%20", "", 404, nothing},
		{`/auth\optional`, "", 404, nothing},
		{"/authx", token, 404, nothing},
		{"/", token, 404, nothing},
		// A named policy may have a longer path. The rest of the path is ignored.
		{"/auth/p/default", token, 200, who},
		{"/auth/p/default", "", 401, nothing},
		{"/auth/p/optional", "", 200, nothing},
		{"/auth/p/aal2", token, 403, nothing},
		{"/auth/p/verified", token, 200, who},
		{"/auth/p/strict", token, 403, nothing},
		{"/auth/p/strict", "", 401, nothing},
		{"/auth/p/default/", "", 401, nothing},
		{"/auth/p/default/optional", "", 401, nothing},
		{"/auth/p/default/auth/optional", "", 401, nothing},
		{"/auth/p/default/../optional", "", 401, nothing},
		{"/auth/p/default/..;/optional", "", 401, nothing},
		{"/auth/p/default//auth/p/optional", "", 401, nothing},
		{"/auth/p/default/%2e%2e/optional", "", 401, nothing},
		{"/auth/p/default/%2E%2E%2Foptional", "", 401, nothing},
		{"/auth/p/default/?x=/auth/p/optional", "", 401, nothing},
		{"/auth/p/aal2/../default", token, 403, nothing},
		{"/auth/p/strict/auth/p/default/", token, 403, nothing},
		{"/auth/p/default%2F..%2Foptional", "", 404, nothing},
		{"/auth/p/../p/optional", "", 404, nothing},
		{"/auth/p/./optional", "", 404, nothing},
		{"/auth/p//optional", "", 404, nothing},
		{"/auth/p/%6fptional", "", 404, nothing},
		{"/auth/p/Optional", "", 404, nothing},
		{"/auth/p/optional;x", "", 404, nothing},
		{"/auth/p/optional%00", "", 404, nothing},
		{"/auth/p/nobody", token, 404, nothing},
		{"/auth/p/", token, 404, nothing},
		{"/auth/p", token, 404, nothing},
		{"/auth/optional/auth/p/default", token, 404, nothing},
	}
	for _, test := range tests {
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "DELETE", "CONNECT", "PURGE", strings.Repeat("M", 1000)} {
			var header []string
			if test.token != "" {
				header = []string{"X-Session-Token", test.token}
			}
			header = append(header, "X-User-Id", "evil", "X_User_Id", "evil", "X-Forwarded-Uri", "/auth/optional", "X-Original-Url", "/auth/optional",
				"X-Http-Method-Override", "GET", "Upgrade", "websocket", "Connection", "X-User-Id")
			status, headers := w.auth(t, method, test.path, header...)
			if status != test.status || headers != test.headers {
				t.Errorf("%.9s %s: got %d %q, want %d %q", method, test.path, status, headers, test.status, test.headers)
			}
		}
	}
	w.Break(fakeory.DatabaseDown{})
	for _, path := range []string{"/auth", "/auth/optional", "/auth/aal2"} {
		if status, headers := w.auth(t, "GET", path, "X-Session-Token", "ory_st_other"); status != 503 || headers != nothing {
			t.Errorf("%s in an outage: %d %q", path, status, headers)
		}
	}
}

// TestForwardAuthOnTheWire checks that empty headers are sent, and that nothing follows
// the answer.
func TestForwardAuthOnTheWire(t *testing.T) {
	w := newWorld(t)
	srv := httptest.NewServer(&ForwardAuth{Verifier: w.v})
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /auth/optional HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	all, _ := io.ReadAll(bufio.NewReader(conn))
	for _, name := range allHeaders {
		if !strings.Contains(string(all), "\r\n"+name+": \r\n") {
			t.Errorf("%s is not sent: %s", name, all)
		}
	}
}

func TestHeaderNames(t *testing.T) {
	w := newWorld(t)
	f := &ForwardAuth{Verifier: w.v, Headers: Headers{UserID: "remote-user", Email: "X-Mail"}}
	token, s := w.person(1)
	rec := httptest.NewRecorder()
	r := byToken(token)
	r.URL.Path = "/auth"
	f.ServeHTTP(rec, r)
	h := rec.Header()
	if h.Get("Remote-User") != "user-of-"+s.IdentityID || h.Get("X-Mail") == "" || h.Get("X-Identity-Id") != s.IdentityID || h["X-User-Id"] != nil {
		t.Errorf("%v", h)
	}
	for _, bad := range []string{"X User", "X-Usér", "X_User_Id", "X-User:", "a\r\nb", "Über"} {
		f := &ForwardAuth{Verifier: w.v, Headers: Headers{AAL: bad}}
		if faults := faults.In(f.Check()); len(faults) != 1 || faults["Headers.AAL"] == nil {
			t.Errorf("%q: %v", bad, faults)
		}
		rec := httptest.NewRecorder()
		if f.ServeHTTP(rec, r); rec.Code != 503 || rec.Header().Get("X-User-Id") != "" {
			t.Errorf("%q: %d %v", bad, rec.Code, rec.Header())
		}
	}
}

// TestReservedNames: names that break HTTP are refused, in any case of their letters, and the
// names that applications and other proxies use are not.
func TestReservedNames(t *testing.T) {
	v := newWorld(t).v
	check := func(h Headers) map[string]error {
		return faults.In((&ForwardAuth{Verifier: v, Headers: h}).Check())
	}
	for _, name := range []string{
		"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer", "Transfer-Encoding",
		"Upgrade", "HTTP2-Settings", "Expect", "Content-Length", "Content-Type", "Content-Encoding", "Content-Range", "Content-Security-Policy",
		"Set-Cookie", "Cache-Control", "Location", "WWW-Authenticate", "X-Content-Type-Options", "Date", "Vary", "Retry-After", "Host", "Cookie",
		"Range", "If-None-Match", "Sec-WebSocket-Key", "Access-Control-Allow-Origin", "X-Accel-Redirect", "Proxy", "Authorization",
	} {
		for _, spelt := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			got := check(Headers{Email: spelt})
			want := fmt.Sprintf("it must not be %s, because HTTP or a proxy gives that header another meaning", http.CanonicalHeaderKey(name))
			if len(got) != 1 || got["Headers.Email"] == nil || got["Headers.Email"].Error() != want {
				t.Errorf("%s: %v", spelt, got)
			}
		}
	}
	if got := check(Headers{UserID: "Host", AAL: "Te", Email: "x y"}); len(got) != 3 {
		t.Errorf("of three faults: %v", got)
	}
	if got := check(Headers{UserID: "X-A", AAL: "x-a"}); len(got) != 1 || got["Headers"] == nil {
		t.Errorf("named twice: %v", got)
	}
	for _, name := range []string{
		"Remote-User", "Remote-Email", "X-Remote-User", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Preferred-Username",
		"X-Auth-Request-User", "X-WEBAUTH-USER", "X-Proxy-Remote-User", "X-Content-User", "X-Goog-Authenticated-User-Email", "X-Hasura-User-Id",
		"Cf-Access-Jwt-Assertion", "User", "From", "Email", "Host-User", "Cookie-User", "Secret-User",
	} {
		if got := check(Headers{Email: name}); len(got) > 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := check(Headers{Assertion: "authorization"}); len(got) > 0 {
		t.Errorf("the assertion in Authorization: %v", got)
	}
}

func FuzzHeaderValue(f *testing.F) {
	for _, s := range []string{"", "a@x.example", "ä@x.example", "a\r\nX-User-Id: 1", "a b%20", "\x00\u202e", "\xff", strings.Repeat("é", 600)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := headerValue(s)
		for _, b := range []byte(v) {
			if b <= ' ' || b >= 0x7f {
				t.Errorf("%q becomes %q", s, v)
			}
		}
		if len(v) > maxHeaderValue {
			t.Errorf("%d bytes", len(v))
		}
		if back, err := url.PathUnescape(v); v != "" && (err != nil || back != s) {
			t.Errorf("%q was encoded as %q and decoded as %q", s, v, back)
		}
		if v == "" && s != "" && len(s) <= maxHeaderValue/3 {
			t.Errorf("%q was left out", s)
		}
	})
}
