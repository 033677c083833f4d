package library

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/forwardauth"
	"github.com/symbolon-id/symbolon/forwardauth/assertion"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// behind is an application behind a real proxy that asks Symbolon, with the shipped
// configuration of examples/proxies.
type behind struct {
	*world
	auth, app *httptest.Server
	person    *symbolontest.Person
	user      string

	nginxLogin bool                       // with the redirect of docs/behind-nginx.md
	elsewhere  string                     // the address of an application that replaces app
	change     func(config string) string // changes the shipped configuration

	mu    sync.Mutex
	asked []string      // the paths of the questions to Symbolon
	seen  []http.Header // headers and trailers that reached the application
}

// newBehind starts an application for a test behind a proxy. A test that stops Kratos
// cannot use the shared one.
func newBehind(t *testing.T, shared bool) *behind {
	b := &behind{world: newWorld(t, sqlstore.SQLite, setup{shared: shared, admin: true})}
	forward := &forwardauth.ForwardAuth{Verifier: b.world.auth, Signer: &assertion.Signer{Issuer: "https://s.example", Audience: "app", Secrets: secrets},
		Policies: map[string]forwardauth.Policy{"web": {LoginRedirect: true}},
		Login:    forwardauth.Login{URL: "https://ory.example/login", ReturnTo: []string{"app.example"}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}
	if err := forward.Check(); err != nil {
		t.Fatal(err)
	}
	b.auth = httptest.NewServer(ready(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.asked = append(b.asked, r.URL.EscapedPath())
		b.mu.Unlock()
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(b.auth.Close)
	b.app = httptest.NewServer(http.HandlerFunc(b.serve))
	t.Cleanup(b.app.Close)
	b.person = b.signUp(b.mail("proxied"))
	if status, body := fetch(t, b.world.app.URL, map[string]string{"X-Session-Token": b.person.Token}); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	b.user = string(b.linked(b.person.IdentityID))
	return b
}

// serve is an application that records its requests.
func (b *behind) serve(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, 1<<20))
	all := r.Header.Clone()
	for name, values := range r.Trailer {
		all["trailer "+name] = values
	}
	b.mu.Lock()
	b.seen = append(b.seen, all)
	b.mu.Unlock()
	_, _ = fmt.Fprintf(w, "%q", r.Header.Values("X-User-Id"))
}

// pageLine returns the first piece of code with these first words in a page of docs.
func pageLine(t *testing.T, page, words string) string {
	t.Helper()
	text, err := os.ReadFile(e2e.File(t, "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "`"+words)
	line, _, closed := strings.Cut(rest, "`")
	if !found || !closed {
		t.Fatalf("%s has no %s", page, words)
	}
	return words + line
}

// took returns the requests to Symbolon and to the application since the last call.
func (b *behind) took() (asked []string, seen []http.Header) {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked, seen = b.asked, b.seen
	b.asked, b.seen = nil, nil
	return asked, seen
}

// dial connects with a deadline of a minute.
func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: time.Minute}).Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

// send sends raw bytes and returns the status and location of the first final answer. The
// status is 0 if the connection was closed without an answer.
func send(t *testing.T, address, raw string) (status int, location string) {
	t.Helper()
	conn := dial(t, address)
	defer conn.Close()
	if _, err := io.WriteString(conn, raw); err != nil {
		return 0, ""
	}
	in := bufio.NewReader(conn)
	for {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return 0, ""
		}
		if res.StatusCode == 100 {
			continue
		}
		_, _ = io.Copy(io.Discard, res.Body)
		return res.StatusCode, res.Header.Get("Location")
	}
}

// TestProxies runs nginx and Caddy with the shipped configurations and a real Kratos. It
// tests the user, every refusal, and an outage, which must be a 503.
func TestProxies(t *testing.T) {
	t.Parallel()
	for _, proxy := range proxies {
		t.Run(proxy, func(t *testing.T) {
			t.Parallel()
			b := newBehind(t, false)
			front := "http://" + b.start(proxy, "/auth") + "/"
			signedIn := map[string]string{"X-Session-Token": b.person.Token}
			if status, body := fetch(t, front+"notes?x=1", signedIn); status != 200 || body != fmt.Sprintf("[%q]", b.user) {
				t.Errorf("signed in: %d %s", status, body)
			}
			_, seen := b.took()
			if len(seen) != 1 || seen[0].Get("X-Identity-Id") != b.person.IdentityID || seen[0].Get("X-Auth-Aal") != "aal1" ||
				strings.Count(seen[0].Get("X-Auth-Assertion"), ".") != 2 || seen[0].Get("X-Session-Id") == "" {
				t.Errorf("the application sees %v", seen)
			}
			if status, _ := fetch(t, front, nil); status != 401 {
				t.Errorf("without a session: %d", status)
			}
			strict := "http://" + b.start(proxy, "/auth/aal2") + "/"
			if status, _ := fetch(t, strict, signedIn); status != 403 {
				t.Errorf("one factor: %d", status)
			}
			b.kratos.Stop()
			b.forgetAnswers()
			if status, _ := fetch(t, front, signedIn); status != 503 {
				t.Errorf("Ory down: %d", status)
			}
			if _, seen := b.took(); len(seen) != 0 {
				t.Errorf("%d requests reached the application", len(seen))
			}
			b.auth.Close()
			if status, _ := fetch(t, front, signedIn); !slices.Contains(unanswered[proxy], status) {
				t.Errorf("Symbolon is stopped: %d, want %d", status, unanswered[proxy])
			}
		})
	}
}

// TestOnlyCredentials checks what each proxy passes on to Symbolon: the credentials, and what
// the proxy itself says of the client, so that no other header of a client can be too large.
func TestOnlyCredentials(t *testing.T) {
	t.Parallel()
	credentials := map[string]string{"X-Session-Token": "token", "Cookie": "a=1; ory_kratos_session=cookie", "Authorization": "Bearer b", "X-Forwarded-For": "127.0.0.1"}
	own := []string{"Accept", "Accept-Encoding", "Connection", "User-Agent", "X-Forwarded-Host", "X-Forwarded-Method", "X-Forwarded-Port",
		"X-Forwarded-Proto", "X-Forwarded-Server", "X-Forwarded-Uri", "X-Real-Ip"}
	for _, proxy := range proxies {
		t.Run(proxy, func(t *testing.T) {
			t.Parallel()
			want, got := maps.Clone(credentials), make(chan http.Header, 1)
			b := newFront(t, func(_ http.ResponseWriter, r *http.Request) { got <- r.Header })
			status, _ := send(t, b.start(proxy, "/auth"), attempt{headers: "X-Session-Token: token\r\nCookie: a=1; ory_kratos_session=cookie\r\n" +
				"Authorization: Bearer b\r\nReferer: https://app.example/\r\nX-Forwarded-For: 6.6.6.6\r\nX-Other: x\r\nAccept-Language: en\r\n"}.request(""))
			if status != 200 {
				t.Fatalf("%d", status)
			}
			for name, values := range <-got {
				if value := strings.Join(values, "|"); value != want[name] && !slices.Contains(own, name) {
					t.Errorf("Symbolon gets %s: %s", name, value)
				}
				delete(want, name)
			}
			if len(want) > 0 {
				t.Errorf("Symbolon does not get %v", want)
			}
		})
	}
}

// TestLoginBehindProxies checks that browsers are redirected to the login page and back
// to their page, as each proxy's page in docs describes. Forwarded headers of a client
// are not believed.
func TestLoginBehindProxies(t *testing.T) {
	t.Parallel()
	b := newBehind(t, true)
	b.nginxLogin = true
	browser := attempt{target: "/notes?x=1", headers: "Accept: text/html\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Uri: /evil\r\nX-Forwarded-Proto: https\r\n"}.request("")
	for _, proxy := range proxies {
		policy, want := "/auth/p/web", "https://ory.example/login?return_to=http%3A%2F%2Fapp.example%2Fnotes%3Fx%3D1"
		if proxy == "nginx" {
			policy, want = "/auth", "https://ory.example.com/self-service/login/browser?return_to=https://app.example.com/notes?x=1"
		}
		address := b.start(proxy, policy)
		if status, location := send(t, address, browser); status != 302 || location != want {
			t.Errorf("%s: %d %q", proxy, status, location)
		}
		if proxy != "nginx" {
			program := attempt{headers: "Accept: application/json\r\n"}.request("")
			if status, location := send(t, address, program); status != 401 || location != "" {
				t.Errorf("a program behind %s: %d %q", proxy, status, location)
			}
		}
	}
	if _, seen := b.took(); len(seen) != 0 {
		t.Errorf("%d requests reached the application", len(seen))
	}
}

// TestSpoofedHeaders sends identity headers as a client. The application gets only
// Symbolon's values, for a signed-in person and for a stranger on a policy that lets
// strangers in.
func TestSpoofedHeaders(t *testing.T) {
	t.Parallel()
	variants := spoofedHeaders()
	if len(variants) < 60 {
		t.Fatalf("%d variants", len(variants))
	}
	b := newBehind(t, true)
	for _, proxy := range proxies {
		t.Run(proxy, func(t *testing.T) {
			b.t = t
			address := b.start(proxy, "/auth/optional")
			reached := 0
			for _, v := range variants {
				for _, who := range []string{b.user, ""} {
					credential := ""
					if who != "" {
						credential = "X-Session-Token: " + b.person.Token + "\r\n"
					}
					status, _ := send(t, address, v.request(credential))
					_, seen := b.took()
					if status == 200 && len(seen) == 0 || len(seen) > 1 {
						t.Errorf("%s: %d, and %d requests reached the application", v.name, status, len(seen))
					}
					for _, h := range seen {
						reached++
						if keepsTrailers(proxy) {
							maps.DeleteFunc(h, func(name string, _ []string) bool { return strings.HasPrefix(name, "trailer ") })
						}
						judgeSpoof(t, v.name, h, who)
					}
				}
			}
			if reached < len(variants) { // most requests are let through without the spoofed headers
				t.Errorf("only %d of %d requests reached the application", reached, 2*len(variants))
			}
			t.Logf("%d variants, twice each: %d reached the application with the right user", len(variants), reached)
		})
	}
}

var identityHeaders = []string{"X-User-Id", "X-Identity-Id", "X-Session-Id", "X-Auth-Aal", "X-Auth-Email", "X-Auth-Assertion"}

// judgeSpoof checks the identity headers as any backend reads them. WSGI, CGI and Rack
// read every byte that is not a letter or digit as "_".
func judgeSpoof(t *testing.T, name string, h http.Header, user string) {
	t.Helper()
	for key, values := range h {
		all := strings.Join(values, "|")
		if key == "Connection" && strings.Contains(strings.ToLower(all), "x-") {
			t.Errorf("%s: the next hop is told to remove %s", name, all)
		}
		if strings.Contains(all, "evil") && !strings.HasPrefix(key, "X-Harmless") {
			t.Errorf("%s: %s: %s reached the application", name, key, all)
		}
		for _, ours := range identityHeaders {
			if collapse(key) == collapse(ours) && (key != ours || len(values) != 1) {
				t.Errorf("%s: %s: %q reached the application", name, key, values)
			}
		}
	}
	if got := h.Get("X-User-Id"); got != user {
		t.Errorf("%s: the application sees user %q, want %q", name, got, user)
	}
}

func collapse(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return -1
	}, strings.ToLower(s))
}

// TestSpoofedPaths checks that a client cannot choose the policy by its query, path or
// headers. /auth never lets a stranger in, and /auth/aal2 never lets a session with one
// factor in.
func TestSpoofedPaths(t *testing.T) {
	t.Parallel()
	forms := spoofedTargets()
	if len(forms) < 60 {
		t.Fatalf("%d forms", len(forms))
	}
	b := newBehind(t, true)
	for _, proxy := range proxies {
		t.Run(proxy, func(t *testing.T) {
			b.t = t
			asked := 0
			for policy, credential := range map[string]string{"/auth": "", "/auth/aal2": "X-Session-Token: " + b.person.Token + "\r\n"} {
				address := b.start(proxy, policy)
				for _, f := range forms {
					status, _ := send(t, address, f.request(credential))
					paths, seen := b.took()
					if len(seen) != 0 || status >= 200 && status < 300 {
						t.Errorf("%s: %s: %d, and %d requests reached the application", policy, f.name, status, len(seen))
					}
					for _, path := range paths {
						asked++
						if path != policy {
							t.Errorf("%s: %s: Symbolon was asked at %s", policy, f.name, path)
						}
					}
				}
			}
			if asked < len(forms) {
				t.Errorf("Symbolon was asked only %d times", asked)
			}
			t.Logf("%d forms, at two policies: Symbolon was asked %d times, and the application got no request", len(forms), asked)
		})
	}
}

// TestNodeBehindNginx: examples/proxies/node behind the shipped nginx.conf.
func TestNodeBehindNginx(t *testing.T) {
	t.Parallel()
	b := newBehind(t, true)
	address := e2e.FreeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.Command(e2e.Node(t), e2e.File(t, "examples", "proxies", "node", "server.mjs"))
	cmd.Env = append(os.Environ(), "PORT="+port)
	e2e.StartProxy(t, cmd, address, "")
	b.elsewhere = address
	front := "http://" + b.start("nginx", "/auth") + "/"
	status, body := fetch(t, front, map[string]string{"X-Session-Token": b.person.Token, "X-User-Id": "evil", "x_user_id": "evil"})
	var got struct{ User string }
	if json.Unmarshal([]byte(body), &got) != nil || status != 200 || got.User != b.user || strings.Contains(body, "evil") {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := fetch(t, front, map[string]string{"X-User-Id": "evil"}); status != 401 {
		t.Errorf("without a session: %d", status)
	}
}

// TestBehindPages checks that docs/behind-*.md show the shipped files.
func TestBehindPages(t *testing.T) {
	t.Parallel()
	for page, file := range map[string]string{"nginx": "nginx/nginx.conf", "caddy": "caddy/Caddyfile", "haproxy": "haproxy/haproxy.cfg", "traefik": "traefik/symbolon.yml", "envoy": "envoy/envoy.yaml"} {
		text, err := os.ReadFile(e2e.File(t, "docs", "behind-"+page+".md"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "\n"+example(t, strings.Split(file, "/")...)+"```\n") {
			t.Errorf("docs/behind-%s.md shows another file than examples/proxies/%s", page, file)
		}
	}
}
