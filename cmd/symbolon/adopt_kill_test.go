package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/internal/child"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// TestAdoptKilled: kill -9 at random moments while a plan is carried out and while it
// is undone. The same command again ends it: everybody is bound once, and nobody in the
// end.
func TestAdoptKilled(t *testing.T) {
	people, kills := 200, 4
	if os.Getenv("SYMBOLON_TORTURE") != "" {
		people, kills = 5000, 40
	}
	onBoth(t, func(t *testing.T, database string) {
		ory := fakeory.Start(t, fakeory.Config{Generation: fakeory.V26})
		w := &walk{t: t, dir: t.TempDir(), db: openWalk(t, database)}
		w.env = append(os.Environ(), beTheProgram+"=1", "SYMBOLON_SECRET="+testSecret, "SYMBOLON_DATABASE="+database,
			"SYMBOLON_ORY_PUBLIC_URL="+ory.PublicURL, "SYMBOLON_ORY_ADMIN_URL="+ory.AdminURL, "SYMBOLON_USERS_TABLE=accounts",
			"SYMBOLON_USERS_NEW_ID=database")
		key := map[bool]string{true: "integer", false: "bigserial"}[strings.HasPrefix(database, "sqlite")]
		w.exec(`create table accounts (id ` + key + ` primary key, ory_identity_id text unique)`)
		for n := range people {
			if _, err := ory.CreateIdentity(t.Context(), map[string]any{"schema_id": "default", "external_id": fmt.Sprint(n + 1),
				"traits": map[string]any{"email": fmt.Sprintf("p%d@example.org", n)}}); err != nil {
				t.Fatal(err)
			}
		}
		w.exec(`insert into accounts (id) with recursive c (i) as (select 1 union all select i + 1 from c where i < ` + fmt.Sprint(people) + `) select i from c`)
		w.program(0, "migrate")
		w.program(0, "adopt", "--by", "external_id", "--plan", "plan.csv")
		bound := func() string { return w.one(`select cast(count(ory_identity_id) as text) from accounts`) }
		killed := 0
		for range kills {
			killed += w.killIn(bound, "adopt", "--apply", "plan.csv")
		}
		middle := bound()
		out := w.program(0, "adopt", "--apply", "plan.csv")
		if n := bound(); n != fmt.Sprint(people) || !strings.Contains(out, "0 refused, 0 failed") {
			t.Errorf("%s of %d are bound\n%s", n, people, out)
		}
		events := "symbolon.events"
		if key == "integer" {
			events = "symbolon_events"
		}
		if n := w.one(`select cast(count(*) as text) from ` + events + ` where kind = 'user.linked'`); n != fmt.Sprint(people) {
			t.Errorf("%s events for %d bonds", n, people)
		}
		run := runName.FindStringSubmatch(out)[1]
		for range kills {
			killed += w.killIn(bound, "adopt", "--undo", run)
		}
		left := bound()
		w.program(0, "adopt", "--undo", run)
		if n := bound(); n != "0" {
			t.Errorf("%s are bound after all was undone", n)
		}
		if n := w.one(`select cast(count(*) as text) from ` + events + ` where kind = 'user.unlinked'`); n != fmt.Sprint(people) {
			t.Errorf("%s events for %d bonds that were undone", n, people)
		}
		t.Logf("%d kills; %s of %d bound before the last apply, %s left before the last undo", killed, middle, people, left)
		if killed < kills || middle == "0" || left == fmt.Sprint(people) {
			t.Error("it was not killed in the middle")
		}
	})
}

// program runs a command that must end with code, and returns what it says.
func (w *walk) program(code int, args ...string) string {
	w.t.Helper()
	cmd := w.command(args...)
	out, _ := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		w.t.Fatalf("%v: exit %d, want %d\n%s", args, got, code, out)
	}
	return string(out)
}

func (w *walk) command(args ...string) *exec.Cmd {
	program, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.CommandContext(w.t.Context(), program, args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	return cmd
}

// killIn kills a command a random while after its work has begun to show, and reports
// whether it still ran.
func (w *walk) killIn(state func() string, args ...string) int {
	w.t.Helper()
	before, began := state(), time.Now()
	cmd := w.command(args...)
	log, err := os.CreateTemp(w.dir, "killed")
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	p, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		w.t.Fatal(err)
	}
	for state() == before && p.Running() && time.Since(began) < time.Minute {
		time.Sleep(time.Millisecond)
	}
	select {
	case <-p.Done():
		text, _ := os.ReadFile(filepath.Clean(log.Name()))
		if bytes.Contains(text, []byte("panic")) || cmd.ProcessState.ExitCode() != 0 {
			w.t.Errorf("%v: %s", args, text)
		}
		return 0
	case <-time.After(rand.N(30 * time.Millisecond)):
		p.Kill()
		return 1
	}
}
