package library

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// tap records what is sent to Kratos.
type tap struct {
	mu   sync.Mutex
	sent []*http.Request
}

func (o *tap) before(t *testing.T, address string) string {
	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	through := httputil.NewSingleHostReverseProxy(target)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.sent = append(o.sent, r.Clone(t.Context()))
		o.mu.Unlock()
		through.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func (o *tap) took() []*http.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	sent := o.sent
	o.sent = nil
	return sent
}

// shown is a credential in a request, and its owner.
type shown struct {
	person *symbolontest.Person
	header string
	value  string
}

// heldLog is a log that can be read while it is written.
type heldLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *heldLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *heldLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *heldLog) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}

// ofThree returns a token, a cookie and a Bearer token of three people, in the order of
// precedence.
func (w *world) ofThree(label string) []shown {
	w.t.Helper()
	token, cookie, bearer := w.signUp(mail("%s-token", label)), w.signUp(mail("%s-cookie", label)), w.signUp(mail("%s-bearer", label))
	c, err := w.kratos.LoginBrowser(w.t.Context(), cookie.Email, password)
	if err != nil {
		w.t.Fatal(err)
	}
	return []shown{{token, "X-Session-Token", token.Token}, {cookie, "Cookie", c.Value}, {bearer, "Authorization", bearer.Token}}
}

const applications = "Bearer eyJhbGciOiJFUzI1NiJ9.the-applications-own.signature"

// showing returns a request with some of these credentials and with other headers.
func showing(some []shown) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/notes?secret=canary", strings.NewReader("canary"))
	for _, h := range []string{"X-User-Id", "X-Forwarded-User", "X-Api-Key", "Proxy-Authorization", "Forwarded", "Referer"} {
		r.Header.Set(h, "canary")
	}
	r.Header.Set("Cookie", "app=canary")
	r.Header.Set("Authorization", applications)
	for _, s := range some {
		switch s.header {
		case "Cookie":
			r.Header.Set("Cookie", "app=canary; ory_kratos_session="+s.value+"; csrf_token=canary")
		case "Authorization":
			r.Header.Set("Authorization", "Bearer "+s.value)
		default:
			r.Header.Set(s.header, s.value)
		}
	}
	return r
}

// TestCredentialsOfThreePeople tests all subsets of three credentials of three people,
// cached and not cached. The documented order decides, which is also Kratos' order. The
// log names the identity of this credential, and only this credential is sent to Ory.
func TestCredentialsOfThreePeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sqlstore.SQLite, setup{})
	var out tap
	var log heldLog
	r := newReplica(t, w.kratos, w.db, func(v *session.Verifier) {
		v.Linker.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		client := &ory.Client{PublicURL: out.before(t, w.kratos.PublicURL), AdminURL: out.before(t, w.kratos.AdminURL)}
		t.Cleanup(client.CloseIdleConnections)
		v.Linker.Ory, v.Log, v.MaxStale = client, v.Linker.Log, time.Hour
	})
	for set := 1; set < 8; set++ {
		all := w.ofThree(string(rune('a' + set)))
		var some []shown
		for n, s := range all {
			if set>>n&1 == 1 {
				some = append(some, s)
			}
		}
		winner := some[0]
		if at := w.kratosSays(some); at != winner.person.IdentityID {
			t.Errorf("set %d: Kratos itself takes identity %s, not %s's", set, at, winner.header)
		}
		log.Reset()
		for _, cached := range []bool{false, true} {
			p, err := r.Authenticate(showing(some))
			if err != nil || string(p.User.Identity) != winner.person.IdentityID || p.User.ID != w.linked(winner.person.IdentityID) {
				t.Errorf("set %d, cached %v: %+v %v, want the person of %s", set, cached, p, err, winner.header)
			}
			sent := out.took()
			if (len(sent) == 0) != cached {
				t.Errorf("set %d, cached %v: %d questions to Ory", set, cached, len(sent))
			}
			for _, q := range sent {
				onlyThat(t, q, winner)
			}
		}
		for _, s := range all {
			if named := strings.Contains(log.String(), s.person.IdentityID); named != (s == winner) {
				t.Errorf("set %d: the log names the identity of %s: %v: %s", set, s.header, named, log.String())
			}
			if strings.Contains(log.String(), s.value) || strings.Contains(log.String(), "canary") {
				t.Errorf("the log shows a secret: %s", log.String())
			}
		}
	}
	if _, err := r.Authenticate(showing(nil)); !session.Denied(err) {
		t.Errorf("the application's own Bearer token: %v", err)
	}
	if sent := out.took(); len(sent) != 0 {
		t.Errorf("sent to Ory: %v", sent[0].Header)
	}
}

// onlyThat checks that a request to Ory has one credential and nothing else of the
// client's request.
func onlyThat(t *testing.T, q *http.Request, winner shown) {
	t.Helper()
	want := map[string]string{"X-Session-Token": winner.value, "Cookie": "ory_kratos_session=" + winner.value, "Authorization": "Bearer " + winner.value}
	for name, values := range q.Header {
		ours := slices.Contains([]string{"Accept", "Accept-Encoding", "User-Agent", "Cache-Control"}, name)
		credential := name == winner.header && len(values) == 1 && values[0] == want[name] && q.URL.Path == "/sessions/whoami"
		if !ours && !credential {
			t.Errorf("%s %s is sent %s: %q", q.Method, q.URL, name, values)
		}
	}
	if q.URL.Path == "/sessions/whoami" && q.Header.Get(winner.header) == "" {
		t.Errorf("whoami is not sent %s", winner.header)
	}
	if q.Method != http.MethodGet || q.ContentLength != 0 || strings.Contains(q.URL.String(), "canary") {
		t.Errorf("%s %s, %d bytes", q.Method, q.URL, q.ContentLength)
	}
}

// kratosSays returns the identity that Kratos chooses for a request with all these
// credentials.
func (w *world) kratosSays(some []shown) string {
	w.t.Helper()
	r := showing(some)
	r.RequestURI, r.Method, r.Body = "", http.MethodGet, http.NoBody
	r.ContentLength = 0
	u, err := url.Parse(w.kratos.PublicURL + "/sessions/whoami")
	if err != nil {
		w.t.Fatal(err)
	}
	r.URL, r.Host = u, u.Host
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	var s struct {
		Identity struct{ ID symbolon.IdentityID }
	}
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil || res.StatusCode != 200 {
		w.t.Fatalf("whoami: %d %v", res.StatusCode, err)
	}
	return string(s.Identity.ID)
}

// TestJunkCookieBesideAToken sends an invalid cookie with a valid token, to which Kratos
// answers 500. Symbolon sends Kratos only one of them: the token, or else the cookie,
// which is denied. The circuit breaker stays closed however many such requests arrive.
func TestJunkCookieBesideAToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sqlstore.SQLite, setup{admin: true})
	p := w.signUp(mail("junk"))
	const securecookie = "MTc5NTQyNjU3N3xRYmZEVDFIWDZPMDJQWjkzNWNZczA0SXdWMjZSVWtYYm96b3FYUG5qZ0E1ejBa"
	kratos := http.Header{"X-Session-Token": {p.Token}, "Cookie": {"ory_kratos_session=" + securecookie}}
	if status := w.whoamiStatus(kratos); status != 500 {
		t.Fatalf("Kratos answers %d, but this test needs a 500", status)
	}
	junk := []string{securecookie, "", "x", "%", "\"\"", "AAAA", strings.Repeat("A", 8192), strings.Repeat("A", 9000), "a b", "YWJj; ory_kratos_session=YWJk"}
	for n := range 40 {
		junk = append(junk, securecookie[n:]+strings.Repeat("A", n))
	}
	for _, value := range junk {
		for _, with := range []struct {
			header, value string
			status        int
		}{{"X-Session-Token", p.Token, 200}, {"Authorization", "Bearer " + p.Token, 401}, {"X-None", "", 401}} {
			status, body := fetch(t, w.app.URL, map[string]string{with.header: with.value, "Cookie": "a=b; ory_kratos_session=" + value})
			if status != with.status {
				t.Errorf("the cookie %.40q beside %s: %d %s", value, with.header, status, body)
			}
		}
	}
	if s := w.auth.Stats(); s.BreakerOpen || s.Unknown != 0 {
		t.Errorf("%+v", s)
	}
}

func (w *world) whoamiStatus(h http.Header) int {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.kratos.PublicURL+"/sessions/whoami", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header = h
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}
