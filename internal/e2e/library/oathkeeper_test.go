//go:build torture

package library

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/symbolon-id/symbolon/forwardauth"
	"github.com/symbolon-id/symbolon/internal/e2e"
)

// guarded is an application behind a real Oathkeeper with the shipped configuration.
// Oathkeeper asks a real Kratos for the session, and Symbolon for the user.
type guarded struct {
	*behind
	address          string
	kratos, symbolon *httptest.Server
	unsure           atomic.Bool // Symbolon answers "don't know"

	asking sync.Mutex
	whoami []string // the questions to Kratos
}

func newGuarded(t *testing.T) *guarded {
	g := &guarded{behind: newBehind(t, false), address: e2e.FreeAddress(t)}
	target, err := url.Parse(g.world.kratos.PublicURL)
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	g.kratos = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.asking.Lock()
		g.whoami = append(g.whoami, r.Method+" "+r.RequestURI)
		g.asking.Unlock()
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(g.kratos.Close)
	hydrate := &forwardauth.Hydrate{ForwardAuth: &forwardauth.ForwardAuth{Verifier: g.world.auth}, User: "symbolon", Passwords: []string{"PASSWORD"}}
	g.symbolon = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.unsure.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		hydrate.ServeHTTP(w, r)
	}))
	t.Cleanup(g.symbolon.Close)

	dir := t.TempDir()
	rules, config := filepath.Join(dir, "rules.yml"), filepath.Join(dir, "oathkeeper.yml")
	port := func(of string) string { return "port: " + of[strings.LastIndex(of, ":")+1:] }
	g.auth = g.symbolon
	for file, text := range map[string]string{
		rules: g.shipped(g.address, "oathkeeper/rules.yml", "http://127.0.0.1:8080/", "http://app.example/"),
		config: g.shipped(g.address, "oathkeeper/oathkeeper.yml", "http://127.0.0.1:4433", g.kratos.URL, "port: 8080", port(g.address),
			"port: 4456", port(e2e.FreeAddress(t)), "port: 9000", port(e2e.FreeAddress(t)), "file://rules.yml", "file://"+rules),
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e2e.StartProxy(t, exec.Command(e2e.Build(t, "oathkeeper"), "serve", "--config", config, "--sqa-opt-out"), g.address, "")
	return g
}

// told sends an attempt. It returns the answer to the client and, if the request reached
// the application, its headers there.
func (g *guarded) told(name string, a attempt) (int, http.Header) {
	g.t.Helper()
	res := exchange(g.t, g.address, a.request(""))
	_, seen := g.took()
	if (res.StatusCode == 200) != (len(seen) == 1) {
		g.t.Fatalf("%s: %d, and %d requests reached the application", name, res.StatusCode, len(seen))
	}
	g.asking.Lock()
	defer g.asking.Unlock()
	for _, asked := range g.whoami {
		if asked != "GET /sessions/whoami" {
			g.t.Errorf("%s: Kratos was asked %s", name, asked)
		}
	}
	g.whoami = nil
	if len(seen) == 0 {
		return res.StatusCode, nil
	}
	return res.StatusCode, seen[0]
}

// TestOathkeeperItself tests each credential, method and query, spoofed headers, and each
// outage. Oathkeeper answers an outage with a denial.
func TestOathkeeperItself(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	other := g.signUp(mail("other"))
	if status, body := fetch(t, g.world.app.URL, map[string]string{"X-Session-Token": other.Token}); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	c, err := g.world.kratos.LoginBrowser(t.Context(), g.person.Email, g.person.Password)
	if err != nil {
		t.Fatal(err)
	}
	token, cookie := "X-Session-Token: "+g.person.Token+"\r\n", "Cookie: "+c.Name+"="+c.Value+"\r\n"
	for name, row := range map[string]struct {
		attempt
		want string // the user; "" means a 401
	}{
		"a token":             {attempt{headers: token}, g.user},
		"a cookie":            {attempt{headers: cookie}, g.user},
		"HEAD":                {attempt{method: "HEAD", headers: cookie}, g.user},
		"POST":                {attempt{method: "POST", headers: cookie + "Content-Length: 2\r\n", body: "ab"}, g.user},
		"a query":             {attempt{target: "/notes?tokenize_as=x&x=1", headers: token}, g.user},
		"a token wins":        {attempt{headers: cookie + "X-Session-Token: " + other.Token + "\r\n"}, string(g.linked(other.IdentityID))},
		"a junk token loses":  {attempt{headers: cookie + "X-Session-Token: x\r\n"}, ""},
		"a Bearer token":      {attempt{headers: "Authorization: Bearer " + g.person.Token + "\r\n"}, ""},
		"no session":          {attempt{}, ""},
		"no session, a user":  {attempt{headers: "X-User-Id: evil\r\n"}, ""},
		"no session, a query": {attempt{target: "/?optional=1"}, ""},
	} {
		status, h := g.told(name, row.attempt)
		if row.want == "" && status != 401 || row.want != "" && (status != 200 || h.Get("X-User-Id") != row.want) {
			t.Errorf("%s: %d %v", name, status, h)
		}
	}

	reached := 0
	for _, a := range spoofedHeaders() {
		a.headers += token
		status, _ := send(t, g.address, a.request(""))
		_, seen := g.took()
		for _, h := range seen {
			reached++
			for name := range h { // Oathkeeper cannot remove these, see rules.yml; trailers are not headers
				if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
					delete(h, name)
				}
			}
			judgeSpoof(t, a.name, h, g.user)
		}
		if status == 200 && len(seen) != 1 {
			t.Errorf("%s: %d, and %d requests reached the application", a.name, status, len(seen))
		}
	}
	if reached < 60 {
		t.Errorf("%d spoofed requests reached the application, which are too few", reached)
	}
	for _, a := range spoofedTargets() {
		if status, _ := send(t, g.address, a.request("")); status/100 == 2 {
			t.Errorf("%s: %d", a.name, status)
		}
	}
	if _, seen := g.took(); len(seen) != 0 {
		t.Errorf("%d strangers reached the application", len(seen))
	}

	stopped := func(what string, want int) {
		t.Helper()
		if status, _ := g.told(what, attempt{headers: token}); status != want {
			t.Errorf("%s: %d, want %d", what, status, want)
		}
	}
	g.unsure.Store(true)
	stopped("Symbolon does not know", 500)
	g.symbolon.Close()
	stopped("Symbolon is stopped", 500)
	g.world.kratos.Stop()
	stopped("Kratos answers 502", 401)
	g.kratos.Close()
	stopped("Kratos is stopped", 403)
}
