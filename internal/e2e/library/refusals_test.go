package library

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestRefusals checks that only a 200 lets a request through. It checks the client's
// answer behind each proxy, for every answer of Symbolon or of another server at its
// address.
func TestRefusals(t *testing.T) {
	t.Parallel()
	asSaid := []int{301, 302, 400, 401, 403, 404, 409, 429, 500, 502, 503}
	for _, proxy := range proxies {
		t.Run(proxy, func(t *testing.T) {
			t.Parallel()
			told := map[int]int{}
			for _, said := range asSaid {
				told[said] = said
				switch {
				case proxy == "nginx" && said != 401 && said != 403:
					told[said] = 503
				case proxy == "haproxy" && said != 302 && said != 401 && said != 403:
					told[said] = 503
				}
			}
			said := 401
			b := newFront(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json; charset=utf-8")
				w.Header().Set("Location", "https://ory.example/login")
				w.Header().Set("X-User-Id", "somebody")
				w.WriteHeader(said)
				_, _ = io.WriteString(w, "what Symbolon said")
			})
			address := b.start(proxy, "/auth")
			for said = range told {
				for _, method := range []string{"GET", "HEAD", "POST"} {
					res := exchange(t, address, attempt{method: method}.request(""))
					if res.StatusCode != told[said] {
						t.Errorf("%s: Symbolon answered %d, the client got %d, want %d", method, said, res.StatusCode, told[said])
					}
					passedOn := proxy != "nginx" && told[said] == said // nginx replaces the answer by its own page
					if body := res.said == "what Symbolon said"; body != (passedOn && method != "HEAD") {
						t.Errorf("%s: Symbolon answered %d, the client got %q", method, said, res.said)
					}
					if passedOn && (res.Header.Get("Location") != "https://ory.example/login" || res.Header.Get("Content-Type") != "application/json; charset=utf-8") {
						t.Errorf("%s: Symbolon answered %d, the client got %v", method, said, res.Header)
					}
				}
			}
			if _, seen := b.took(); len(seen) != 0 {
				t.Errorf("%d requests reached the application", len(seen))
			}
		})
	}
}

// TestNoAnswer has a server at Symbolon's address that speaks no HTTP or breaks off its
// answer, or no server. No request is let through, and the answer is an error and not a
// denial.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	for name, words := range map[string]string{
		"hangs up":             "",
		"no HTTP":              "220 mail.example ESMTP\r\n",
		"half a status":        "HTTP/1.1 200",
		"half of the headers":  "HTTP/1.1 200 OK\r\nX-User-Id: some",
		"a header with no end": "HTTP/1.1 200 OK\r\nX-User-Id: " + strings.Repeat("x", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newFront(t, func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err == nil {
					_, _ = io.WriteString(conn, words)
					_ = conn.Close()
				}
			})
			for _, proxy := range proxies {
				address := b.start(proxy, "/auth")
				if status, _ := send(t, address, attempt{}.request("")); !slices.Contains(unanswered[proxy], status) {
					t.Errorf("%s: %d, want %d", proxy, status, unanswered[proxy])
				}
			}
			if _, seen := b.took(); len(seen) != 0 {
				t.Errorf("%d requests reached the application: %v", len(seen), seen)
			}
		})
	}
}

// unanswered are the answers of each proxy while Symbolon does not answer. Caddy's depends
// on whether it knows that from its health check.
var unanswered = map[string][]int{"nginx": {503}, "caddy": {502, 503}, "haproxy": {503}, "traefik": {500}}

// ready answers the health checks of proxies.
func ready(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			next(w, r)
		}
	}
}

// newFront is behind without a Kratos. auth answers the questions.
func newFront(t *testing.T, auth http.HandlerFunc) *behind {
	b := &behind{world: &world{t: t}}
	b.auth = httptest.NewServer(ready(auth))
	t.Cleanup(b.auth.Close)
	b.app = httptest.NewServer(http.HandlerFunc(b.serve))
	t.Cleanup(b.app.Close)
	return b
}

type response struct {
	*http.Response
	said string
}

// exchange sends raw bytes and returns the first answer.
func exchange(t *testing.T, address, raw string) response {
	t.Helper()
	conn := dial(t, address)
	defer conn.Close()
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(raw, " ")
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", res.Status, err))
	}
	return response{res, string(body)}
}
