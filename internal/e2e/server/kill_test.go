package server

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/symbolon-id/symbolon/internal/e2e"
)

// TestKilledBetweenReserveAndLink kills the server right after a reserve hook. The
// sign-up succeeds and the link hook is lost. After a restart the first request links the
// person with the reserved ID.
func TestKilledBetweenReserveAndLink(t *testing.T) {
	t.Parallel()
	rounds := e2e.Torture(5, 100)
	onBoth(t, func(t *testing.T, database string) {
		var server atomic.Pointer[process]
		var reserved atomic.Int32
		tap := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hooks/link" {
				w.WriteHeader(http.StatusNotImplemented) // after a 502 Ory would call again, perhaps the next server before the first request
				return
			}
			status, body := forward(t, server.Load().publicURL, r)
			if r.URL.Path == "/hooks/reserve" && status == 200 {
				reserved.Add(1)
				server.Load().kill()
			}
			w.WriteHeader(status)
			_, _ = w.Write(body)
		}))
		t.Cleanup(tap.Close)
		w := startWorld(t, world{database: database, killed: true, env: []string{"SYMBOLON_SERVE_URL=" + tap.URL},
			before: func(w *world) { server.Store(w.server) }})
		for i := range rounds {
			p := w.register(t, fmt.Sprintf("killed%d@example.com", i))
			born := w.backReference(t, p)
			w.server.start(t)
			if status, user := w.auth(t, p); status != 200 || user != born || born == "" {
				t.Fatalf("round %d: %d, user %q, reserved %q", i, status, user, born)
			}
			known, _ := w.person(t, p.IdentityID)
			if known.Link == nil || known.Link.Source != "request" {
				t.Fatalf("round %d: not linked by the request: %+v", i, known.Link)
			}
		}
		if n := reserved.Load(); int(n) != rounds {
			t.Errorf("%d reservations for %d sign-ups", n, rounds)
		}
		t.Logf("%d kills", rounds)
	})
}

// forward forwards a hook unchanged. If the server is gone, it answers 502.
func forward(t *testing.T, to string, r *http.Request) (int, []byte) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	out, err := http.NewRequestWithContext(r.Context(), r.Method, to+r.URL.Path, strings.NewReader(string(body)))
	if err != nil {
		t.Error(err)
		return 500, nil
	}
	out.Header = r.Header.Clone()
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		return 502, nil
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 502, nil
	}
	return resp.StatusCode, answer
}
