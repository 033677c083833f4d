package server

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/internal/child"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

var runName = regexp.MustCompile(`run ([0-9a-f]{12})`)

// TestAdoptKilled kills a command with kill -9 at random moments, during apply and during
// undo. The same command finishes the work later. Every user is linked exactly once, and
// after the undo none is.
func TestAdoptKilled(t *testing.T) {
	t.Parallel()
	people, kills := e2e.Torture(200, 5000), e2e.Torture(4, 40)
	onBoth(t, func(t *testing.T, database string) {
		ory := fakeory.Start(t, fakeory.Config{Generation: fakeory.V26})
		w := &walk{t: t, dir: t.TempDir(), db: cmdtest.OpenDB(t, database)}
		stile := newTurnstile(t, ory.AdminURL)
		w.env = append(os.Environ(), cmdtest.BeTheProgram+"=1", "SYMBOLON_SECRET="+cmdtest.Secret, "SYMBOLON_DATABASE="+database,
			"SYMBOLON_ORY_PUBLIC_URL="+ory.PublicURL, "SYMBOLON_ORY_ADMIN_URL="+stile.url, "SYMBOLON_USERS_TABLE=accounts",
			"SYMBOLON_USERS_NEW_ID=database")
		key := map[bool]string{true: "integer", false: "bigserial"}[strings.HasPrefix(database, "sqlite")]
		w.exec(`create table accounts (id ` + key + ` primary key, ory_identity_id text unique check (ory_identity_id = lower(ory_identity_id) and ory_identity_id like '________-____-____-____-____________'))`)
		for n := range people {
			if _, err := ory.CreateIdentity(t.Context(), map[string]any{"schema_id": "default", "external_id": fmt.Sprint(n + 1),
				"traits": map[string]any{"email": fmt.Sprintf("p%d@example.org", n)}}); err != nil {
				t.Fatal(err)
			}
		}
		w.exec(`insert into accounts (id) with recursive c (i) as (select 1 union all select i + 1 from c where i < ` + fmt.Sprint(people) + `) select i from c`)
		w.run(0, "migrate")
		w.run(0, "adopt", "--by", "external_id", "--plan", "plan.csv")
		bound := func() string { return w.one(`select cast(count(ory_identity_id) as text) from accounts`) }
		killed := 0
		kill := func(args ...string) int {
			stile.left.Store(3 + rand.Int64N(int64(people/kills/2)))
			defer stile.left.Store(math.MaxInt64)
			return w.killIn(bound, args...)
		}
		for range kills {
			killed += kill("adopt", "--apply", "plan.csv")
		}
		middle := bound()
		out := w.run(0, "adopt", "--apply", "plan.csv")
		if n := bound(); n != fmt.Sprint(people) || !strings.Contains(out, "0 refused, 0 failed") {
			t.Errorf("%s of %d are linked\n%s", n, people, out)
		}
		events := "symbolon.events"
		if key == "integer" {
			events = "symbolon_events"
		}
		if n := w.one(`select cast(count(*) as text) from ` + events + ` where kind = 'user.linked'`); n != fmt.Sprint(people) {
			t.Errorf("%s events for %d links", n, people)
		}
		run := runName.FindStringSubmatch(out)[1]
		for range kills {
			killed += kill("adopt", "--undo", run)
		}
		left := bound()
		w.run(0, "adopt", "--undo", run)
		if n := bound(); n != "0" {
			t.Errorf("%s are linked after the undo", n)
		}
		if n := w.one(`select cast(count(*) as text) from ` + events + ` where kind = 'user.unlinked'`); n != fmt.Sprint(people) {
			t.Errorf("%s events for %d undone links", n, people)
		}
		t.Logf("%d kills; %s of %d linked before the last apply, %s left before the last undo", killed, middle, people, left)
		if killed < kills || middle == "0" || left == fmt.Sprint(people) {
			t.Error("no kill came in the middle")
		}
	})
}

// turnstile is a proxy in front of Ory's admin API. After a number of requests for single
// identities it holds the next ones. So a command cannot finish before it is killed, even
// if the kill comes late.
type turnstile struct {
	url  string
	left atomic.Int64
}

func newTurnstile(t *testing.T, admin string) *turnstile {
	t.Helper()
	target, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	s := &turnstile{}
	s.left.Store(math.MaxInt64)
	through := httputil.NewSingleHostReverseProxy(target)
	through.ErrorLog = log.New(io.Discard, "", 0) // errors of killed processes
	tap := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/admin/identities/") && s.left.Add(-1) < 0 {
			<-r.Context().Done()
			return
		}
		through.ServeHTTP(w, r)
	}))
	t.Cleanup(tap.Close)
	s.url = tap.URL
	return s
}

// run runs a command, checks its exit code, and returns its output.
func (w *walk) run(code int, args ...string) string {
	w.t.Helper()
	cmd := w.command(args...)
	out, _ := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		w.t.Fatalf("%v: exit %d, want %d\n%s", args, got, code, out)
	}
	return string(out)
}

func (w *walk) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(w.t.Context(), program(w.t, false), args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	return cmd
}

// killIn kills a command a random time after its work has begun, and reports whether it
// was still running.
func (w *walk) killIn(state func() string, args ...string) int {
	w.t.Helper()
	before, began := state(), time.Now()
	cmd := w.command(args...)
	said, err := os.CreateTemp(w.dir, "killed")
	if err != nil {
		w.t.Fatal(err)
	}
	defer said.Close()
	cmd.Stdout, cmd.Stderr = said, said
	p, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		w.t.Fatal(err)
	}
	for state() == before && p.Running() && time.Since(began) < time.Minute {
		time.Sleep(time.Millisecond)
	}
	select {
	case <-p.Done():
		text, _ := os.ReadFile(filepath.Clean(said.Name()))
		if bytes.Contains(text, []byte("panic")) || cmd.ProcessState.ExitCode() != 0 {
			w.t.Errorf("%v: %s", args, text)
		}
		return 0
	case <-time.After(rand.N(30 * time.Millisecond)):
		p.Kill()
		return 1
	}
}
