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

// killPoint is the moment at which a process is killed.
type killPoint struct {
	what  string // "ory" or "database"
	n     int64  // the number of the request to Ory, or of the message or write to the database
	after bool   // the request is carried out, but the process gets no answer
}

func (k killPoint) String() string {
	if k.after {
		return fmt.Sprintf("after %s %d", k.what, k.n)
	}
	return fmt.Sprintf("before %s %d", k.what, k.n)
}

// killer is between a process and Ory and its database. It counts, and kills the process.
type killer struct {
	oryURL, database string // the addresses for the process

	mu sync.Mutex
	*target
}

// target is one process. Its last requests may arrive when the next process runs.
type target struct {
	point  killPoint
	counts map[string]int64
	victim *child.Process
	ready  chan struct{} // closed when victim is set
}

// aim sets the next point and resets the counts.
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

// pass counts a request of the process to what. do sends it on. pass returns false if the
// process was killed.
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

// startKiller puts a proxy in front of Kratos' admin API and of a Postgres database.
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

// tapPostgres forwards connections to Postgres. One read of the client's bytes is one
// message, or a few that belong together.
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

// run erases a person through the killer. It returns the output of the process and its
// exit error.
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

// TestEraseKilled kills an erasure with kill -9 before and after every request to Ory and
// every message or write to the database. The next process always finishes the erasure,
// its evidence is complete, and no later reading restores the person.
func TestEraseKilled(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, database string) {
		w := startWorld(t, world{database: database, killed: true, env: []string{"SYMBOLON_AUTH_MAX_STALE=50ms"}}) // another process erases, and the server may get no purge
		k := startKiller(t, w)
		before, killed := 0, 0
		points := k.points(t, w)
		last := points[len(points)-1]
		for n, point := range points {
			t.Run(point.String(), func(t *testing.T) {
				p, user := w.linkedPerson(t, fmt.Sprintf("killed%d@example.com", n))
				if _, err := k.run(t, w, point, "erase", user, "--yes", "--why", "ticket 8812"); err != nil {
					killed++
				} else if point.what != last.what || point.n < last.n-3 { // the number of messages varies a little
					t.Error("the erasure finished before the kill")
				}
				_, _ = k.run(t, w, point, "erase", "--resume") // killed a second time, if the point is reached again
				if out, err := k.run(t, w, killPoint{}, "erase", "--resume"); err != nil {
					t.Errorf("resume: %v\n%s", err, out)
				}
				known, _ := w.person(t, p.IdentityID)
				if known.Erasure == nil { // killed before the intent was recorded, so nothing may have changed
					before++
					if _, status, err := w.kratos.GetIdentity(t.Context(), p.IdentityID); err != nil || status != 200 || known.Link.State != symbolon.Linked {
						t.Errorf("the intent is not recorded, but: at Ory %d, %s, %v", status, known.Link.State, err)
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
			t.Error("no kill came in the middle")
		}
	})
}

// linkedPerson signs a person up and sends a first request.
func (w *world) linkedPerson(t *testing.T, email string) (p *symbolontest.Person, user string) {
	t.Helper()
	p = w.register(t, email)
	cmdtest.Eventually(t, "the first request is let in", func() bool { // on a slow machine answers can be older than max_stale
		var status int
		status, user = w.auth(t, p)
		return status == 200
	})
	return p, user
}

// points counts the requests of a whole erasure and chooses points: all of them with
// `make torture`, ten otherwise.
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

// spread returns n of the points, evenly spaced.
func spread(n int, from []killPoint) (some []killPoint) {
	for i := range n {
		some = append(some, from[(2*i+1)*len(from)/(2*n)])
	}
	return some
}
