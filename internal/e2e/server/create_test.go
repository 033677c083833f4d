package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/internal/child"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// nodeApp runs examples/create-url as a process.
type nodeApp struct {
	url, users string
	env        []string
	child      *child.Process
}

// startNode starts the application with the variables that `actions print` prints.
func startNode(t *testing.T, server *process) *nodeApp {
	t.Helper()
	port := fmt.Sprint(e2e.FreePort(t))
	a := &nodeApp{url: "http://127.0.0.1:" + port + "/internal/users", users: filepath.Join(t.TempDir(), "users.jsonl")}
	server.set("SYMBOLON_USERS_CREATE_URL=" + a.url)
	out, err := server.command("actions", "print", "--for", "create_url").Output()
	if err != nil {
		t.Fatal(err)
	}
	a.env = []string{"PATH=" + os.Getenv("PATH"), "PORT=" + port, "USERS=" + a.users}
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "#") {
			a.env = append(a.env, strings.TrimSpace(line))
		}
	}
	a.start(t)
	t.Cleanup(a.kill)
	return a
}

func (a *nodeApp) start(t *testing.T) {
	t.Helper()
	cmd := exec.Command(e2e.Node(t), e2e.File(t, "examples", "create-url", "server.mjs"))
	cmd.Env = a.env
	log, err := os.OpenFile(a.users+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	if a.child, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	cmdtest.Eventually(t, "the application listens", func() bool {
		if !a.child.Running() {
			text, _ := os.ReadFile(a.users + ".log")
			t.Fatalf("the application exited: %v\n%s", a.child.Err(), text)
		}
		resp, err := http.Get(a.url)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == 405
	})
}

func (a *nodeApp) kill() { a.child.Kill() }

// all returns the users in the application's file: user ID by identity ID.
func (a *nodeApp) all(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open(a.users)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	out := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var u struct {
			ID       int
			Identity string `json:"identity_id"`
		}
		if err := json.Unmarshal(lines.Bytes(), &u); err != nil {
			t.Fatal(err)
		}
		if out[u.Identity] != "" {
			t.Errorf("identity %s has two users", u.Identity)
		}
		out[u.Identity] = fmt.Sprint(u.ID)
	}
	return out
}

// TestCreateURL has an application in Node that makes its users itself. The application
// is killed, and people sign up meanwhile. They get 503, and are let in when the
// application runs again.
func TestCreateURL(t *testing.T) {
	t.Parallel()
	onOne(t, func(t *testing.T, database string) {
		var app *nodeApp
		w := startWorld(t, world{database: database, before: func(w *world) { app = startNode(t, w.server) },
			env: []string{"SYMBOLON_USERS_CREATE_URL=http://127.0.0.1:9/", "SYMBOLON_BACK_REFERENCE_WRITE=create"}})
		if out, err := w.server.command("doctor", "--json").CombinedOutput(); !strings.Contains(string(out), `"users.create_url","verdict":"ok"`) {
			t.Errorf("%v\n%s", err, out)
		}
		if users := app.all(t); len(users) != 0 {
			t.Errorf("the doctor made users: %v", users)
		}
		ada := w.register(t, "ada@example.com")
		known := w.linked(t, ada.IdentityID)
		if user := app.all(t)[ada.IdentityID]; user == "" || string(known.User.ID) != user {
			t.Fatalf("the application has user %q, Symbolon %q", user, known.User.ID)
		}
		if status, user := w.auth(t, ada); status != 200 || user != string(known.User.ID) {
			t.Errorf("ada: %d, user %q", status, user)
		}
		cmdtest.Eventually(t, "Ory holds ada's user ID", func() bool { return w.backReference(t, ada) == string(known.User.ID) })

		app.kill()
		bob, eve := w.register(t, "bob@example.com"), w.register(t, "eve@example.com")
		for range 2 {
			if status, user := w.auth(t, bob); status != 503 || user != "" {
				t.Errorf("bob, while the application is down: %d, user %q", status, user)
			}
		}
		if status, user := w.auth(t, ada); status != 200 || user != string(known.User.ID) {
			t.Errorf("ada, while the application is down: %d, user %q", status, user)
		}
		if p, ok := w.person(t, bob.IdentityID); ok {
			t.Errorf("an entry was written while the application was down: %+v", p.Link)
		}
		app.start(t)
		for _, p := range []*symbolontest.Person{bob, eve} {
			cmdtest.Eventually(t, "the waiting person is let in", func() bool { // 503 is possible at first, while an older question without a user still runs
				status, user := w.auth(t, p)
				return status == 200 && user != ""
			})
		}
		users := app.all(t)
		if len(users) != 3 {
			t.Errorf("%d users", len(users))
		}
		for _, id := range []string{ada.IdentityID, bob.IdentityID, eve.IdentityID} {
			if p := w.linked(t, id); string(p.User.ID) != users[id] {
				t.Errorf("%s: the application has user %q, Symbolon %q", id, users[id], p.User.ID)
			}
		}
		w.sayNo(t, app)
		_, _, metrics := w.server.get(t, w.server.operatorURL+"/metrics")
		for _, want := range []string{`{outcome="created"} 3`, `{outcome="refused"} `, `{outcome="failed"} `} {
			if !strings.Contains(string(metrics), "symbolon_create_url_total"+want) {
				t.Errorf("no %s in the metrics", want)
			}
		}
	})
}

// sayNo lets the application refuse an identity, which the operator then binds.
func (w *world) sayNo(t *testing.T, app *nodeApp) {
	t.Helper()
	text, err := os.ReadFile(app.users)
	if err != nil {
		t.Fatal(err)
	}
	app.kill()
	// An older user of the application has the address.
	line := `{"id":77,"identity_id":"","email":"Taken@example.com"}` + "\n" + `{"id":78,"ident` // half a line, as after a kill
	if err := os.WriteFile(app.users, append(text, line...), 0o600); err != nil {
		t.Fatal(err)
	}
	app.start(t)
	taken := w.register(t, "taken@example.com")
	if status, user := w.auth(t, taken); status != 403 || user != "" {
		t.Errorf("the address is in use: %d, user %q", status, user)
	}
	p, ok := w.person(t, taken.IdentityID)
	if !ok || len(p.Findings) != 1 || p.Findings[0].Kind != "cannot_create" || !strings.Contains(p.Findings[0].Detail, "422") {
		t.Fatalf("findings: %+v", p.Findings)
	}
	body := fmt.Sprintf(`{"identity_id":%q,"user_id":"77"}`, taken.IdentityID)
	if status, _, answer := w.server.send(t, "POST", w.server.operatorURL+"/admin/links", body); status != 200 {
		t.Fatalf("bind: %d %s", status, answer)
	}
	if status, user := w.auth(t, taken); status != 200 || user != "77" {
		t.Errorf("after bind: %d, user %q", status, user)
	}
}

// TestKilledBetweenCreateAndCommit kills the server after the application has made a user
// and before Symbolon has stored it. The next request gets the same user.
func TestKilledBetweenCreateAndCommit(t *testing.T) {
	t.Parallel()
	rounds := e2e.Torture(5, 100)
	onBoth(t, func(t *testing.T, database string) {
		var app *nodeApp
		var server atomic.Pointer[process]
		var armed atomic.Bool
		var statuses [600]atomic.Int32
		tap := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			status, body := forward(t, strings.TrimSuffix(app.url, "/internal/users"), r)
			statuses[status].Add(1)
			if status == http.StatusCreated && armed.CompareAndSwap(true, false) {
				server.Load().kill()
			}
			rw.WriteHeader(status)
			_, _ = rw.Write(body)
		}))
		t.Cleanup(tap.Close)
		w := startWorld(t, world{database: database, killed: true, actions: []string{"none"},
			env: []string{"SYMBOLON_RECONCILE_EVERY=0s"}, // a run would ask before the request
			before: func(w *world) {
				app = startNode(t, w.server)
				w.server.set("SYMBOLON_USERS_CREATE_URL=" + tap.URL + "/internal/users")
				server.Store(w.server)
			}})
		for i := range rounds {
			p := w.register(t, fmt.Sprintf("killed%d@example.com", i))
			armed.Store(true)
			r, err := http.NewRequestWithContext(t.Context(), "GET", w.server.publicURL+"/auth", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Session-Token", p.Token)
			if resp, err := http.DefaultClient.Do(r); err == nil {
				_ = resp.Body.Close()
				t.Fatalf("round %d: the killed server answered %d", i, resp.StatusCode)
			}
			made := app.all(t)[p.IdentityID]
			w.server.start(t)
			if known, ok := w.person(t, p.IdentityID); ok && known.Link != nil {
				t.Fatalf("round %d: already linked: %+v", i, known.Link)
			}
			if status, user := w.auth(t, p); status != 200 || user != made || made == "" {
				t.Fatalf("round %d: %d, user %q, the application made %q", i, status, user, made)
			}
		}
		if users := app.all(t); len(users) != rounds || int(statuses[409].Load()) != rounds {
			t.Errorf("%d users for %d people; the application answered %d times that the user exists", len(users), rounds, statuses[409].Load())
		}
		t.Logf("%d kills", rounds)
	})
}
