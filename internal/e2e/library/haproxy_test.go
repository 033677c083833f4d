package library

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/internal/e2e"
)

// TestHAProxyCarries checks what the script reads and what it does not touch: several
// Cookie lines, a long cookie, a request's body, and a connection that is upgraded to
// another protocol.
func TestHAProxyCarries(t *testing.T) {
	t.Parallel()
	cookies := make(chan []string, 1)
	b := newFront(t, func(w http.ResponseWriter, r *http.Request) {
		cookies <- r.Header.Values("Cookie")
		w.Header().Set("X-User-Id", "somebody")
	})
	b.app.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Upgrade") == "websocket" && r.Header.Get("Connection") == "upgrade" {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") // for the key in RFC 6455
			w.WriteHeader(http.StatusSwitchingProtocols)
			return
		}
		_, _ = fmt.Fprintf(w, "%s %s %s", r.Header.Get("X-User-Id"), r.URL, body)
	})
	address := b.start("haproxy", "/auth")

	long := "b=" + strings.Repeat("x", 8<<10)
	res := exchange(t, address, attempt{method: "POST", target: "/notes?x=1", headers: "Cookie: a=1\r\nCookie: " + long + "\r\nContent-Length: 6\r\n", body: "a body"}.request(""))
	if got := strings.Join(<-cookies, "; "); got != "a=1; "+long || res.StatusCode != 200 || res.said != "somebody /notes?x=1 a body" {
		t.Errorf("%d %.100q, Symbolon was shown %.100q", res.StatusCode, res.said, got)
	}
	upgrade := "Connection: Upgrade, X-User-Id\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	if status, _ := send(t, address, attempt{headers: upgrade}.request("")); status != 101 {
		t.Errorf("a websocket: %d", status)
	}
	<-cookies
}

// TestHAProxyWithoutAnswer checks that the rule after the script denies if the script
// fails, also if an earlier answer on this connection allowed the request.
func TestHAProxyWithoutAnswer(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"nonsense", "/auth", "http://", "unix@/nowhere"} {
		for _, again := range []bool{false, true} {
			b := newFront(t, func(http.ResponseWriter, *http.Request) {})
			b.change = func(config string) string {
				line := regexp.MustCompile(`(?m)^    http-request lua\.symbolon .*\n`)
				other := "    http-request lua.symbolon " + url + "\n"
				if again {
					other = line.FindString(config) + other
				}
				return line.ReplaceAllLiteralString(config, other)
			}
			status, _ := send(t, b.start("haproxy", "/auth"), attempt{}.request(""))
			if _, seen := b.took(); status != 503 || len(seen) != 0 {
				t.Errorf("%s, again %t: %d, and %d requests reached the application", url, again, status, len(seen))
			}
		}
	}
}

// TestHAProxyHangs checks that HAProxy asks a Symbolon that never answers only once.
func TestHAProxyHangs(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	b := newFront(t, func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-r.Context().Done()
	})
	b.change = func(config string) string {
		return strings.Replace(config, "timeout server 12s", "timeout server 1s", 1)
	}
	status, _ := send(t, b.start("haproxy", "/auth"), attempt{}.request(""))
	for began := time.Now(); asked.Load() == 0 && time.Since(began) < time.Minute; { // the request may arrive later than HAProxy's answer
		time.Sleep(time.Millisecond)
	}
	if _, seen := b.took(); status != 503 || len(seen) != 0 || asked.Load() != 1 {
		t.Errorf("%d, Symbolon was asked %d times, and %d requests reached the application", status, asked.Load(), len(seen))
	}
}

// TestHAProxyNoMixUp has many clients at once, and some of them close the connection
// before the answer. Symbolon answers slowly. No client gets another client's user, and
// HAProxy does not crash.
func TestHAProxyNoMixUp(t *testing.T) {
	t.Parallel()
	b := newFront(t, func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("X-Session-Token")
		time.Sleep(time.Duration(rand.IntN(4)) * time.Millisecond)
		w.Header().Set("X-User-Id", "user of "+token)
		if strings.HasSuffix(token, "7") {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	b.app.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-User-Id"))
	})
	front := "http://" + b.start("haproxy", "/auth") + "/"
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	t.Cleanup(client.CloseIdleConnections)
	var workers sync.WaitGroup
	var answered, gone atomic.Int64
	each := e2e.Torture(50, 5000)
	for n := range 32 {
		workers.Go(func() {
			for i := range each {
				token := fmt.Sprintf("%d-%d", n, i)
				ctx, cancel := context.WithCancel(t.Context())
				if rand.IntN(4) == 0 {
					time.AfterFunc(time.Duration(rand.IntN(6))*time.Millisecond, cancel)
				}
				status, said, err := get(ctx, client, front, token)
				hungUp := ctx.Err() != nil
				cancel()
				switch {
				case err != nil && hungUp:
					gone.Add(1)
				case err != nil || status == 401 != strings.HasSuffix(token, "7") || status == 200 && said != "user of "+token || status != 200 && status != 401:
					t.Errorf("%s: %d %q %v", token, status, said, err)
				default:
					answered.Add(1)
				}
			}
		})
	}
	workers.Wait()
	if answered.Load() < int64(each) || gone.Load() == 0 {
		t.Errorf("%d answered, %d hung up", answered.Load(), gone.Load())
	}
	t.Logf("%d answered, %d hung up", answered.Load(), gone.Load())
}

func get(ctx context.Context, client *http.Client, url, token string) (status int, said string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("X-Session-Token", token)
	res, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}
