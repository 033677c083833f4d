package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// fronts start the shipped configuration of a proxy before two replicas, as its README says.
// %s is the second replica.
var fronts = map[string]struct {
	file, one, two string
	start          func(t *testing.T, address, config string)
}{
	"nginx":   {"nginx/nginx.conf", "    server 127.0.0.1:4460 max_fails=0;\n", "    server %s max_fails=0;\n", e2e.StartNginx},
	"caddy":   {"caddy/Caddyfile", "forward_auth 127.0.0.1:4460 ", "", e2e.StartCaddy},
	"haproxy": {"haproxy/haproxy.cfg", "    server symbolon1 127.0.0.1:4460 check inter 1s rise 1\n", "    server symbolon2 %s check inter 1s rise 1\n", e2e.StartHAProxy},
}

// startFront runs a proxy before two replicas and an application, and returns its URL.
func startFront(t *testing.T, proxy string, replicas [2]*process, app string) string {
	t.Helper()
	f := fronts[proxy]
	text, err := os.ReadFile(e2e.File(t, "examples", "proxies", filepath.FromSlash(f.file)))
	if err != nil {
		t.Fatal(err)
	}
	first, second := strings.TrimPrefix(replicas[0].publicURL, "http://"), strings.TrimPrefix(replicas[1].publicURL, "http://")
	both := f.one + strings.ReplaceAll(f.two, "%s", second)
	if proxy == "caddy" {
		both = f.one + second + " "
	}
	if !strings.Contains(string(text), f.one) {
		t.Fatalf("%s does not contain %q", f.file, f.one)
	}
	address, balancer := e2e.FreeAddress(t), e2e.FreeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	config := strings.Replace(string(text), f.one, both, 1)
	config = strings.NewReplacer("/etc/haproxy", e2e.File(t, "examples", "proxies", "haproxy"), "http://:8080", "http://:"+port, "127.0.0.1:8080", address,
		"127.0.0.1:3000", app, "127.0.0.1:4459", balancer, "127.0.0.1:4460", first).Replace(config)
	f.start(t, address, config)
	return "http://" + address
}

// TestRollingRestart restarts two replicas in turn, by SIGTERM and by kill -9, behind each
// proxy and under load. No request fails. Large cookies reach Symbolon. At full size there are
// two thousand restarts.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	for proxy := range fronts {
		t.Run(proxy, func(t *testing.T) {
			t.Parallel()
			r := startReplicas(t, 1)
			url := startFront(t, proxy, r.replicas, r.app)
			r.largeCookies(t, proxy, url)
			load := r.startLoad(t, url)
			for round := 0; round < e2e.Torture(1, 167) && !t.Failed(); round++ {
				for n, p := range r.replicas {
					if err := p.stop(); err != nil {
						t.Errorf("replica %d: %v", n, err)
					}
					p.start(t)
					load.settle(t)
				}
				for _, p := range r.replicas {
					p.kill()
					p.start(t)
					load.settle(t)
				}
			}
			answered, failed := load.stop()
			t.Logf("%d requests were answered", answered)
			if failed > 0 || answered < 100 {
				t.Errorf("%d requests were answered, and %d failed", answered, failed)
			}
		})
	}
}

// replicated are two servers on one Postgres, with a fake Ory and an application.
type replicated struct {
	replicas [2]*process
	database string
	ory      *cmdtest.Kratos
	app      string // its address
}

// startReplicas starts both replicas with more of their environment. They drain for so many
// seconds.
func startReplicas(t *testing.T, drain int, env ...string) *replicated {
	t.Helper()
	r := &replicated{ory: cmdtest.StartKratos(t), database: cmdtest.NewDatabase(t, sqlstore.Postgres)}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-User-Id"))
	}))
	t.Cleanup(app.Close)
	r.app = app.Listener.Addr().String()
	for n := range r.replicas {
		p := newProcess(t)
		p.program = program(t, false) // they are killed
		p.set("SYMBOLON_DATABASE="+r.database, "SYMBOLON_ORY_PUBLIC_URL="+r.ory.PublicURL, "SYMBOLON_ORY_ADMIN_URL="+r.ory.AdminURL,
			"SYMBOLON_LOG_LEVEL=info", fmt.Sprintf("SYMBOLON_SERVE_DRAIN=%ds", drain))
		p.set(env...)
		p.start(t)
		r.replicas[n] = p
	}
	return r
}

// load are the requests of signed-in people, one after the other for each person.
type load struct {
	end      context.CancelFunc
	workers  sync.WaitGroup
	sent     [6]atomic.Int64 // by each worker
	answered atomic.Int64
	failed   atomic.Int64
}

func (r *replicated) startLoad(t *testing.T, url string) *load {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	l := &load{end: cancel}
	t.Cleanup(func() { l.stop() })
	for n := range l.sent {
		_, token := r.ory.Add(1 + n)
		client := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
		l.workers.Go(func() {
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				status, said := ask(t, client, url, "X-Session-Token", token)
				if status == 200 && said != "" {
					l.answered.Add(1)
				} else if l.failed.Add(1) <= 5 {
					t.Errorf("a request failed: %d %.200q", status, said)
				}
				l.sent[n].Add(1)
				time.Sleep(time.Duration(e2e.Torture(10, 5)) * time.Millisecond)
			}
		})
	}
	return l
}

// settle waits until no request is left that began before the call. nginx asks each replica
// once for a request, so that a request which meets the ends of both would fail.
func (l *load) settle(t *testing.T) {
	t.Helper()
	for n := range l.sent {
		before := l.sent[n].Load()
		cmdtest.Eventually(t, "the requests of a person have ended", func() bool { return l.sent[n].Load() > before })
	}
}

func (l *load) stop() (answered, failed int64) {
	l.end()
	l.workers.Wait()
	return l.answered.Load(), l.failed.Load()
}

// ask sends one request. The status is 0 if there was no answer.
func ask(t *testing.T, client *http.Client, url string, header ...string) (status int, said string) {
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, url, strings.NewReader("a body"))
	if err != nil {
		return 0, err.Error()
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// largeCookies sends as many cookies as the proxy lets through by default. A browser has the
// session's cookie among them. Other headers do not count, because they are not passed on.
func (r *replicated) largeCookies(t *testing.T, proxy, url string) {
	t.Helper()
	_, token := r.ory.Add(100)
	lines, size := 1, 13<<10 // Caddy and HAProxy accept 16 kB, and HAProxy reserves a part
	if proxy == "nginx" {
		lines, size = 4, 7<<10 // 32 kB in buffers of 8 kB
	}
	header := []string{"X-Session-Token", token}
	for n := range lines {
		header = append(header, "Cookie", fmt.Sprintf("large%d=%s", n, strings.Repeat("x", size)))
	}
	if status, said := ask(t, http.DefaultClient, url, header...); status != 200 || said == "" {
		t.Errorf("%d cookies of %d bytes: %d %.200q", lines, size, status, said)
	}
}

// TestSecondSignal: a draining server answers everything, and shows at /readyz that it stops. A
// second signal ends it at once.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	p := newProcess(t)
	p.set("SYMBOLON_DATABASE=sqlite://"+filepath.Join(p.dir, "symbolon.db"), "SYMBOLON_SERVE_DRAIN=7s")
	p.start(t)
	running := p.child.Load()
	signal := func() {
		if err := running.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	signal()
	p.answers(t, "/readyz", 503)
	p.answers(t, "/healthz", 200)
	p.answers(t, "/auth", 401)
	signal()
	<-running.Done()
	if err := running.Err(); err == nil || strings.Contains(p.log(), "stopping: finishing") {
		t.Errorf("the second signal did not end it at once: %v", err)
	}
}
