package library

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/forwardauth"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestServerPageNginx runs the nginx configuration of docs/server.md unchanged, with a real nginx
// in front of a backend that trusts X-User-Id.
func TestServerPageNginx(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sqlstore.SQLite, setup{admin: true})
	auth := httptest.NewServer(&forwardauth.ForwardAuth{Verifier: w.auth})
	t.Cleanup(auth.Close)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%q", r.Header.Values("X-User-Id"))
	}))
	t.Cleanup(backend.Close)
	front := startNginx(t, strings.NewReplacer("127.0.0.1:4460", auth.Listener.Addr().String(),
		"127.0.0.1:3000", backend.Listener.Addr().String()).Replace(docsBlock(t, "server.md", "nginx")))

	p := w.signUp(mail("proxied"))
	status, body := fetch(t, front, map[string]string{"X-Session-Token": p.Token})
	if want := fmt.Sprintf("[%q]", w.linked(p.IdentityID)); status != 200 || body != want {
		t.Errorf("signed in: %d %s, want %s", status, body, want)
	}
	status, body = fetch(t, front, map[string]string{"X-Session-Token": p.Token, "X-User-Id": "1", "x_user_id": "1"})
	if want := fmt.Sprintf("[%q]", w.linked(p.IdentityID)); status != 200 || body != want {
		t.Errorf("a client that sends X-User-Id: %d %s, want %s", status, body, want)
	}
	if status, body := fetch(t, front, map[string]string{"X-User-Id": "1"}); status != 401 {
		t.Errorf("without a session: %d %s", status, body)
	}
	w.kratos.Stop()
	w.forgetAnswers()
	if status, body := fetch(t, front, map[string]string{"X-Session-Token": p.Token}); status != 503 {
		t.Errorf("Ory down: %d %s", status, body)
	}
}

// docsBlock returns the first code block in a language of a page in docs.
func docsBlock(t *testing.T, page, language string) string {
	t.Helper()
	text, err := os.ReadFile(e2e.File(t, "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s has no block in %s", page, language)
	}
	return string(m[1])
}

func fetch(t *testing.T, url string, header map[string]string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header[name] = []string{value} // not canonical: Go would change the case, and nginx must do it
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// startNginx runs nginx with the locations of one server, and returns its URL.
func startNginx(t *testing.T, locations string) string {
	t.Helper()
	address := e2e.FreeAddress(t)
	e2e.StartNginx(t, address, fmt.Sprintf("server {\nlisten %s;\n%s}\n", address, locations))
	return "http://" + address + "/"
}
