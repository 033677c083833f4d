package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/internal/e2e"
)

const policiesForHAProxy = `serve: {trusted_proxies: [127.0.0.0/8]}
auth:
  max_stale: 2s
  login_url: https://ory.example/login
  return_to_hosts: [app.example]
  policies: {web: {login_redirect: true}, strict: {aal: aal2}, fresh: {fresh: 1s}, verified: {verified: true}}
`

// TestServeBehindHAProxy runs the program behind a real HAProxy with the shipped
// configuration and one frontend for each policy. It tests the user, each refusal, a
// stopped Kratos and a stopped Symbolon.
func TestServeBehindHAProxy(t *testing.T) {
	t.Parallel()
	w := startWorld(t, world{before: func(w *world) {
		if err := os.WriteFile(filepath.Join(w.server.dir, "symbolon.yaml"), []byte(policiesForHAProxy), 0o600); err != nil {
			t.Fatal(err)
		}
	}})
	var reached atomic.Int64
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		_, _ = io.WriteString(w, r.Header.Get("X-User-Id")+" "+r.Header.Get("X-Auth-Aal"))
	}))
	t.Cleanup(app.Close)
	front := map[string]string{}
	for _, policy := range []string{"/auth", "/auth/optional", "/auth/aal2", "/auth/p/web", "/auth/p/strict", "/auth/p/fresh", "/auth/p/verified", "/auth/p/none"} {
		front[policy] = startHAProxy(t, policy, strings.TrimPrefix(w.server.publicURL, "http://"), app.Listener.Addr().String())
	}
	ada := w.register(t, "ada@example.com")
	_, user := w.auth(t, ada)
	time.Sleep(time.Second) // the session is no longer fresh
	told := func(policy string, header ...string) string {
		t.Helper()
		before := reached.Load()
		status, h, body := rawGet(t, front[policy]+"/notes?optional=1", header...)
		if (status == 200) != (reached.Load() == before+1) {
			t.Errorf("%s: %d, and %d requests reached the application", policy, status, reached.Load()-before)
		}
		if status != 200 && status != 302 {
			_, body, _ = strings.Cut(body, `"code":"`)
			body, _, _ = strings.Cut(body, `"`)
		}
		if status == 302 {
			body = h.Get("Location")
		}
		return fmt.Sprint(status, " ", body)
	}
	token := []string{"X-Session-Token", ada.Token, "X-User-Id", "evil", "X_User_Id", "evil"}
	browser := []string{"Accept", "text/html", "Host", "app.example", "X-Forwarded-Host", "evil.example"}
	for _, row := range []struct {
		policy string
		header []string
		want   string
	}{
		{"/auth", token, "200 " + user + " aal1"},
		{"/auth", nil, "401 unauthenticated"},
		{"/auth", []string{"X-User-Id", "evil"}, "401 unauthenticated"},
		{"/auth/optional", nil, "200  "},
		{"/auth/optional", token, "200 " + user + " aal1"},
		{"/auth/aal2", token, "403 aal2_required"},
		{"/auth/p/strict", token, "403 aal2_required"},
		{"/auth/p/fresh", token, "403 not_fresh"},
		{"/auth/p/verified", token, "403 not_verified"},
		{"/auth/p/web", token, "200 " + user + " aal1"},
		{"/auth/p/web", browser, "302 https://ory.example/login?return_to=http%3A%2F%2Fapp.example%2Fnotes%3Foptional%3D1"},
		{"/auth/p/web", nil, "401 unauthenticated"},
		{"/auth/p/none", token, "503 "},
	} {
		if got := told(row.policy, row.header...); got != row.want {
			t.Errorf("%s with %.30q: %q, want %q", row.policy, row.header, got, row.want)
		}
	}
	w.kratos.Stop()
	if got := told("/auth", token...); got != "200 "+user+" aal1" {
		t.Errorf("Kratos is stopped, her session is cached: %q", got)
	}
	cmdtest.Eventually(t, "cached answers are too old", func() bool { return told("/auth", token...) == "503 unavailable" })
	if got := told("/auth/optional", token...); got != "503 unavailable" {
		t.Errorf("Kratos is stopped, strangers are let in: %q", got)
	}
	if err := w.server.stop(); err != nil {
		t.Fatal(err)
	}
	for policy := range front {
		if got := told(policy, token...); got != "503 " {
			t.Errorf("Symbolon is stopped, %s: %q", policy, got)
		}
	}
}

// startHAProxy runs HAProxy with the shipped configuration and returns its URL.
func startHAProxy(t *testing.T, policy, symbolon, app string) string {
	t.Helper()
	example := e2e.File(t, "examples", "proxies", "haproxy")
	text, err := os.ReadFile(filepath.Join(example, "haproxy.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	address, balancer := e2e.FreeAddress(t), e2e.FreeAddress(t)
	e2e.StartHAProxy(t, address, strings.NewReplacer("/etc/haproxy", example, "127.0.0.1:8080", address, "127.0.0.1:3000", app,
		"127.0.0.1:4459/auth\n", balancer+policy+"\n", "127.0.0.1:4459", balancer, "127.0.0.1:4460", symbolon).Replace(string(text)))
	return "http://" + address
}

// rawGet does not follow redirects.
func rawGet(t *testing.T, url string, header ...string) (int, http.Header, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(body)
}
