package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/internal/child"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// killPoint is when a process dies.
type killPoint struct {
	what  string // "ory" or "database"
	n     int64  // of its requests to Ory, or of its messages or writes to the database
	after bool   // what it asked for is done, and it never hears of it
}

func (k killPoint) String() string {
	if k.after {
		return fmt.Sprintf("after %s %d", k.what, k.n)
	}
	return fmt.Sprintf("before %s %d", k.what, k.n)
}

// killer stands between a process and what it talks to, counts, and kills it.
type killer struct {
	oryURL, database string // as the process has to be told

	mu sync.Mutex
	*target
}

// target is one process. What it sent last may arrive when the next one is there.
type target struct {
	point  killPoint
	counts map[string]int64
	victim *child.Process
	ready  chan struct{} // closed once victim is known
}

// aim chooses the next point and forgets what was counted.
func (k *killer) aim(p killPoint) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.target = &target{point: p, counts: map[string]int64{}, ready: make(chan struct{})}
}

func (k *killer) shoot(p *child.Process) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.victim = p
	close(k.ready)
}

// pass counts something that goes from the process to what; do lets it through. It
// returns false when the process was killed.
func (k *killer) pass(what string, do func()) bool {
	k.mu.Lock()
	at := k.target
	at.counts[what]++
	hit := at.point.what == what && at.counts[what] == at.point.n
	k.mu.Unlock()
	if !hit || at.point.after {
		do()
	}
	if !hit {
		return true
	}
	<-at.ready
	at.victim.Kill()
	return false
}

func (k *killer) count(what string) int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.counts[what]
}

// startKiller puts itself before Kratos' admin API and, where it is one, a Postgres.
func startKiller(t *testing.T, w *world) *killer {
	k := &killer{database: w.database}
	k.aim(killPoint{})
	admin, err := url.Parse(w.kratos.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	through := httputil.NewSingleHostReverseProxy(admin)
	tap := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		if !k.pass("ory", func() { through.ServeHTTP(answer, r) }) {
			panic(http.ErrAbortHandler)
		}
		for name, values := range answer.Header() {
			out.Header()[name] = values
		}
		out.WriteHeader(answer.Code)
		_, _ = answer.Body.WriteTo(out)
	}))
	t.Cleanup(tap.Close)
	k.oryURL = tap.URL
	if u, err := url.Parse(w.database); err == nil && u.Scheme == "postgres" {
		address := u.Host
		u.Host = k.tapPostgres(t, address)
		k.database = u.String()
	}
	return k
}

// tapPostgres passes on what comes for a Postgres. A read of what the client sends is a
// message or a few that belong together.
func (k *killer) tapPostgres(t *testing.T, address string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	serve := func(client net.Conn) {
		defer client.Close()
		server, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		defer server.Close()
		all.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
		buffer := make([]byte, 64<<10)
		for {
			n, err := client.Read(buffer)
			if err != nil {
				return
			}
			sent := buffer[:n]
			if !k.pass("database", func() { _, err = server.Write(sent); time.Sleep(2 * time.Millisecond) }) || err != nil {
				return
			}
		}
	}
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { serve(client) })
		}
	})
	return l.Addr().String()
}

// run erases somebody through the killer. It returns what the process printed, and how it
// ended.
func (k *killer) run(t *testing.T, w *world, p killPoint, args ...string) (string, error) {
	t.Helper()
	k.aim(p)
	cmd := w.server.command(args...)
	cmd.Env = append(cmd.Env, "SYMBOLON_ORY_ADMIN_URL="+k.oryURL, "SYMBOLON_DATABASE="+k.database)
	if p.what == "write" {
		cmd.Env = append(cmd.Env, cmdtest.DieAtWrite+"="+fmt.Sprint(p.n))
	}
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	victim, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	k.shoot(victim)
	<-victim.Done()
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text), victim.Err()
}

// TestEraseKilled: kill -9 at every request to Ory and at every message or write to the
// database, before and after it: the next process always carries the erasure to its
// end, the evidence is whole, and nothing brings the person back.
func TestEraseKilled(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, database string) {
		w := startWorld(t, world{database: database, killed: true, env: []string{"SYMBOLON_AUTH_MAX_STALE=50ms"}}) // another process erases: caches hear nothing of it
		k := startKiller(t, w)
		before, killed := 0, 0
		points := k.points(t, w)
		last := points[len(points)-1]
		for n, point := range points {
			t.Run(point.String(), func(t *testing.T) {
				p, user := w.linkedPerson(t, fmt.Sprintf("killed%d@example.com", n))
				if _, err := k.run(t, w, point, "erase", user, "--yes", "--why", "ticket 8812"); err != nil {
					killed++
				} else if point.what != last.what || point.n < last.n-3 { // how many messages there are is not always quite the same
					t.Error("it came to its end and was not killed")
				}
				_, _ = k.run(t, w, point, "erase", "--resume") // and once more, if it comes so far
				if out, err := k.run(t, w, killPoint{}, "erase", "--resume"); err != nil {
					t.Errorf("resume: %v\n%s", err, out)
				}
				known, _ := w.person(t, p.IdentityID)
				if known.Erasure == nil { // it died before it had recorded the intent: nothing may be changed
					before++
					if _, status, err := w.kratos.GetIdentity(t.Context(), p.IdentityID); err != nil || status != 200 || known.Link.State != symbolon.Linked {
						t.Errorf("not recorded, and yet: at Ory %d, %s, %v", status, known.Link.State, err)
					}
					if out, err := k.run(t, w, killPoint{}, "erase", user, "--yes"); err != nil {
						t.Errorf("erase: %v\n%s", err, out)
					}
				}
				w.erased(t, p, user)
			})
		}
		t.Logf("%d points, %d kills, %d of them before the intent was recorded", len(points), killed, before)
		if before == len(points) {
			t.Error("none of them came in the middle")
		}
	})
}

// linkedPerson signs somebody up and lets it make a first request.
func (w *world) linkedPerson(t *testing.T, email string) (p *symbolontest.Person, user string) {
	t.Helper()
	p = w.register(t, email)
	cmdtest.Eventually(t, "the first request is let in", func() bool { // a slow machine's answers are older than max_stale
		var status int
		status, user = w.auth(t, p)
		return status == 200
	})
	return p, user
}

// points counts what a whole erasure asks for, and chooses: all of it in the torture,
// ten points spread over it otherwise.
func (k *killer) points(t *testing.T, w *world) (all []killPoint) {
	_, user := w.linkedPerson(t, "counted@example.com")
	out, err := k.run(t, w, killPoint{what: "write", n: -1}, "erase", user, "--yes")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	requests, messages := k.count("ory"), k.count("database")
	writes := int64(strings.Count("\n"+out, "\nwrite "))
	for n := range requests {
		all = append(all, killPoint{"ory", n + 1, false}, killPoint{"ory", n + 1, true})
	}
	for n := range messages {
		all = append(all, killPoint{"database", n + 1, false}, killPoint{"database", n + 1, true})
	}
	for n := range writes {
		all = append(all, killPoint{"write", n + 1, false})
	}
	t.Logf("an erasure is %d requests to Ory, %d messages to Postgres, %d writes to SQLite", requests, messages, writes)
	if len(all) < 40 {
		t.Fatalf("only %d points", len(all))
	}
	if os.Getenv("SYMBOLON_TORTURE") != "" {
		return all
	}
	some := spread(4, all[:2*requests])
	return append(some, spread(6, all[2*requests:])...)
}

// spread chooses n of them, evenly.
func spread(n int, from []killPoint) (some []killPoint) {
	for i := range n {
		some = append(some, from[(2*i+1)*len(from)/(2*n)])
	}
	return some
}
