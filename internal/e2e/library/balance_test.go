package library

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// TestBalances checks that all requests of one session go to the same of two replicas of
// Symbolon, for every kind of credential, and that both replicas get sessions. If one
// replica stops, the other gets all requests at once.
func TestBalances(t *testing.T) {
	t.Parallel()
	for proxy, more := range map[string]func(config, second string) string{
		"nginx": func(config, second string) string {
			return strings.Replace(config, "    keepalive 32;\n", "    server "+second+" max_fails=0;\n    keepalive 32;\n", 1)
		},
		"caddy": func(config, second string) string {
			return strings.Replace(config, "forward_auth ", "forward_auth "+second+" ", 1)
		},
		"haproxy": func(config, second string) string {
			return strings.TrimSpace(config) + "\n    server symbolon2 " + second + " check inter 1s rise 1\n"
		},
	} {
		t.Run(proxy, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			asked := map[string]map[int]int{} // session to replica to number of requests
			replica := func(n int) *httptest.Server {
				s := httptest.NewServer(ready(func(_ http.ResponseWriter, r *http.Request) {
					mu.Lock()
					defer mu.Unlock()
					session := r.Header.Get("X-Session-Token") + r.Header.Get("Cookie") + r.Header.Get("Authorization")
					if asked[session] == nil {
						asked[session] = map[int]int{}
					}
					asked[session][n]++
				}))
				t.Cleanup(s.Close)
				return s
			}
			b := newFront(t, nil)
			b.auth = replica(1)
			second := replica(2)
			b.change = func(config string) string { return more(config, second.Listener.Addr().String()) }
			address := b.start(proxy, "/auth")
			everybody := func() {
				for i := range 20 {
					for _, form := range []string{"X-Session-Token: %d\r\n", "Cookie: a=b; ory_kratos_session=%d; c=d\r\n", "Authorization: Bearer %d\r\n"} {
						if status, _ := send(t, address, attempt{headers: fmt.Sprintf(form, i)}.request("")); status != 200 {
							t.Errorf("%d", status)
						}
					}
				}
			}
			for range 4 {
				everybody()
			}
			busy := map[int]int{}
			for session, replicas := range asked {
				if len(replicas) != 1 {
					t.Errorf("the requests of session %q went to the replicas %v", session, replicas)
				}
				for n := range replicas {
					busy[n]++
				}
			}
			if len(asked) != 60 || busy[1] < 10 || busy[2] < 10 {
				t.Errorf("%d sessions, %v to each", len(asked), busy)
			}
			second.Close()
			everybody()
		})
	}
}
