package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/internal/chaos"
	"github.com/symbolon-id/symbolon/internal/child"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

func TestMain(m *testing.M) { e2e.Main(m) }

// These tests run a real Kratos, the program as a process, and SQLite or a real Postgres.
//
// 	onBoth(t, func(t *testing.T, database string) {
// 		w := startWorld(t, world{database: database})
// 		ada := w.register(t, "ada@example.com")
// 		w.server.kill()
// 		// requests and checks
// 	})

// onBoth runs a test on SQLite and on Postgres, each with an empty database.
func onBoth(t *testing.T, f func(t *testing.T, database string)) { on(t, e2e.Both, f) }

// onOne runs a test on one of them.
func onOne(t *testing.T, f func(t *testing.T, database string)) { on(t, e2e.One(t), f) }

func on(t *testing.T, dialects []sqlstore.Dialect, f func(t *testing.T, database string)) {
	for _, d := range dialects {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			f(t, cmdtest.NewDatabase(t, d))
		})
	}
}

// world is the environment of a test. The zero value is Kratos with all of Symbolon's
// hooks, Symbolon with the admin URL, and SQLite.
type world struct {
	database string                    // SYMBOLON_DATABASE; empty: a new SQLite file
	noAdmin  bool                      // Symbolon has no admin URL
	actions  []string                  // more arguments of `actions print`; {"none"}: no hooks
	env      []string                  // more of Symbolon's environment, NAME=value
	config   symbolontest.KratosConfig // startWorld sets Overlay
	before   func(*world)              // called before anything starts, for example to create a users table
	killed   bool                      // the test kills the server, so it has no race detector, see program

	kratos *symbolontest.Kratos
	server *process
}

// startWorld starts Kratos and then the server. The server's address is chosen first,
// because Kratos needs it.
func startWorld(t *testing.T, w world) *world {
	t.Helper()
	w.server = newProcess(t)
	if w.killed {
		w.server.program = program(t, false)
	}
	if w.database == "" {
		w.database = "sqlite://" + filepath.Join(w.server.dir, "symbolon.db")
	}
	w.server.set("SYMBOLON_DATABASE=" + w.database)
	w.server.set(w.env...)
	if len(w.actions) == 0 || w.actions[0] != "none" {
		out, err := w.server.command(append([]string{"actions", "print", "--for", "kratos.yml"}, w.actions...)...).Output()
		if err != nil {
			t.Fatalf("actions print: %v", err)
		}
		w.config.Overlay = out
	}
	if w.before != nil {
		w.before(&w)
	}
	w.kratos = symbolontest.StartKratos(t, w.config)
	w.server.set("SYMBOLON_ORY_PUBLIC_URL=" + w.kratos.PublicURL)
	if !w.noAdmin {
		w.server.set("SYMBOLON_ORY_ADMIN_URL=" + w.kratos.AdminURL)
	}
	w.server.start(t)
	return &w
}

// second returns a second server on the same database and Kratos, which does not run yet.
func (w *world) second(t *testing.T) *process {
	t.Helper()
	p := newProcess(t)
	p.program = w.server.program
	p.env = chaos.Second(w.server.env, strings.TrimPrefix(p.publicURL, "http://"), strings.TrimPrefix(p.operatorURL, "http://"))
	return p
}

// register signs a person up.
func (w *world) register(t *testing.T, email string) *symbolontest.Person {
	t.Helper()
	p, err := w.kratos.Register(t.Context(), email, cmdtest.Password, "Somebody")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// auth sends a request with the person's session, and returns the status and the user.
func (w *world) auth(t *testing.T, p *symbolontest.Person) (status int, user string) {
	t.Helper()
	status, header, _ := w.server.get(t, w.server.publicURL+"/auth", "X-Session-Token", p.Token)
	return status, header.Get("X-User-Id")
}

// backReference returns metadata_public.id from whoami.
func (w *world) backReference(t *testing.T, p *symbolontest.Person) string {
	t.Helper()
	body, status, err := w.kratos.Whoami(t.Context(), p.Token)
	if err != nil || status != 200 {
		t.Fatalf("whoami: %d %v", status, err)
	}
	var session struct {
		Identity struct {
			MetadataPublic struct{ ID string } `json:"metadata_public"`
		}
	}
	if err := json.Unmarshal(body, &session); err != nil {
		t.Fatal(err)
	}
	return session.Identity.MetadataPublic.ID
}

// person returns the operator's view of an identity. ok is false if Symbolon does not
// know it.
func (w *world) person(t *testing.T, identity string) (p system.Person, ok bool) {
	t.Helper()
	status, _, body := w.server.get(t, w.server.operatorURL+"/admin/identities/"+identity)
	if status == 404 {
		return p, false
	}
	if err := json.Unmarshal(body, &p); err != nil || status != 200 {
		t.Fatalf("operator: %d %s", status, body)
	}
	return p, true
}

// linked waits until the identity has a user, because Ory does not wait for some hooks.
func (w *world) linked(t *testing.T, identity string) system.Person {
	t.Helper()
	var last system.Person
	cmdtest.Eventually(t, "identity "+identity+" is linked", func() bool {
		p, ok := w.person(t, identity)
		last = p
		return ok && p.Link != nil && p.Link.State == "linked"
	})
	return last
}

// process is `symbolon serve` as a process.
type process struct {
	publicURL, operatorURL string

	program string
	dir     string // working directory, which also has the log
	env     []string
	child   atomic.Pointer[child.Process] // several goroutines kill it
}

// newProcess chooses addresses and a secret. It starts nothing.
func newProcess(t *testing.T) *process {
	t.Helper()
	public, operator := e2e.FreeAddress(t), e2e.FreeAddress(t)
	p := &process{program: program(t, true), dir: t.TempDir(), publicURL: "http://" + public, operatorURL: "http://" + operator}
	p.set(cmdtest.BeTheProgram+"=1", "SYMBOLON_SECRET="+cmdtest.Secret, "SYMBOLON_LOG_LEVEL=debug",
		"SYMBOLON_SERVE_PUBLIC="+public, "SYMBOLON_SERVE_ADMIN="+operator, "SYMBOLON_SERVE_URL="+p.publicURL,
		"SYMBOLON_SERVE_DRAIN=0s",     // no proxy waits for it
		"SYMBOLON_RECONCILE_EVERY=0s") // off, because it would link people during other tests
	t.Cleanup(func() {
		p.kill()
		if log := p.log(); t.Failed() {
			t.Logf("symbolon logged:\n%s", log[max(0, len(log)-32<<10):])
		} else if strings.Contains(log, "WARNING: DATA RACE") {
			t.Errorf("a data race in the server:\n%s", log)
		}
	})
	return p
}

// set adds to the environment. A later value overrides an earlier one.
func (p *process) set(pairs ...string) { p.env = append(p.env, pairs...) }

// command returns the program with other arguments and the same environment.
func (p *process) command(args ...string) *exec.Cmd {
	cmd := exec.Command(p.program, args...)
	cmd.Dir = p.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.Getenv("TMPDIR"), "GORACE=" + os.Getenv("GORACE")}, p.env...)
	return cmd
}

// start starts the server, also after stop or kill, and returns when it is ready.
func (p *process) start(t *testing.T) {
	t.Helper()
	p.launch(t)
	p.answers(t, "/readyz", 200)
}

// launch starts the server and does not wait until it answers. It waits for the end of the
// last process first, because a caller may notice a broken connection before that.
func (p *process) launch(t *testing.T) {
	t.Helper()
	if last := p.child.Load(); last != nil {
		<-last.Done()
	}
	log, err := os.OpenFile(filepath.Join(p.dir, "symbolon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd := p.command("serve")
	cmd.Stdout, cmd.Stderr = log, log
	running, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	p.child.Store(running)
}

// answers waits until the server answers a public path with a status.
func (p *process) answers(t *testing.T, path string, status int) {
	t.Helper()
	running := p.child.Load()
	cmdtest.Eventually(t, fmt.Sprintf("%s answers %d", path, status), func() bool {
		if !running.Running() {
			t.Fatalf("the server exited: %v; it logged:\n%s", running.Err(), p.log())
		}
		resp, err := http.Get(p.publicURL + path)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == status
	})
}

// kill kills the server with kill -9.
func (p *process) kill() {
	if running := p.child.Load(); running != nil {
		running.Kill()
	}
	http.DefaultClient.CloseIdleConnections()
}

// stop sends SIGTERM and returns the exit error.
func (p *process) stop() error {
	running := p.child.Load()
	running.Stop(syscall.SIGTERM, time.Minute)
	http.DefaultClient.CloseIdleConnections()
	return running.Err()
}

func (p *process) log() string {
	text, err := os.ReadFile(filepath.Join(p.dir, "symbolon.log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (p *process) get(t *testing.T, url string, header ...string) (int, http.Header, []byte) {
	t.Helper()
	return p.send(t, "GET", url, "", header...)
}

// send sends a request. If body is not empty, it is sent as JSON.
func (p *process) send(t *testing.T, method, url, body string, header ...string) (int, http.Header, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, answer
}
