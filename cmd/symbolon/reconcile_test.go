package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/reconcile"
)

func TestReconcile(t *testing.T) {
	c := installCommands(t, nil)
	for n := range 3 {
		c.ory.Add(n + 1)
	}
	odd, _ := c.ory.Add(4)
	c.ory.Set(odd, "metadata_public", map[string]any{"id": "legacy"})
	for _, test := range []struct {
		args []string
		code int
		says []string // on stdout or stderr
	}{
		{[]string{"--only", "telepathy"}, 2, []string{"not a kind of difference", "unlinked_identity"}},
		{nil, 3, []string{"left unlinked_identity", "a repair finds or creates its user", "4 differences are left", odd}},
		{[]string{"--json"}, 3, []string{`"kind":"unlinked_identity"`, `"left":{"unlinked_identity":4}`}},
		{[]string{"--repair", "--only", "stale_columns"}, 0, []string{"identities"}},
		{[]string{"--repair"}, 3, []string{"repaired unlinked_identity", "left foreign_back_reference", "the operator must decide"}},
		{[]string{"--repair", "--only", "unlinked_identity,stale_columns"}, 0, []string{"linked"}},
		{[]string{"--json", "--repair"}, 3, []string{`"repaired":{}`, `"linked":4`, `"complete":true`}},
		{[]string{"--dry-run"}, 3, []string{"left foreign_back_reference"}},
		{[]string{"--resume"}, 3, []string{"left foreign_back_reference"}},
		{[]string{"--dry-run", "--repair"}, 2, []string{"--repair"}},
		{[]string{"--load", "10"}, 2, []string{"--load must be a share"}},
		{[]string{"--load", "100%"}, 3, []string{"left foreign_back_reference"}},
	} {
		code, out, errs := runIn(t, c.env, append([]string{"reconcile"}, test.args...)...)
		if code != test.code {
			t.Errorf("%v: exit %d, want %d\n%s%s", test.args, code, test.code, out, errs)
		}
		for _, part := range test.says {
			if !strings.Contains(out+errs, part) {
				t.Errorf("the output of %v lacks %q:\n%s%s", test.args, part, out, errs)
			}
		}
		if strings.Contains(out+errs, "cAnArY") {
			t.Errorf("the output of %v has a secret:\n%s%s", test.args, out, errs)
		}
	}
	c.ory.SetDown(true)
	if code, out, errs := runIn(t, c.env, "reconcile", "--repair"); code != 1 || !strings.Contains(errs, "run it again") || !strings.Contains(out, "NOT all") {
		t.Errorf("Ory is down: %d\n%s%s", code, out, errs)
	}
	delete(c.env, "SYMBOLON_ORY_ADMIN_URL")
	if code, _, errs := runIn(t, c.env, "reconcile"); code != 2 || !strings.Contains(errs, "SYMBOLON_ORY_ADMIN_URL") {
		t.Errorf("no admin URL: %d %s", code, errs)
	}
}

// TestReconcileBesideAnother checks that a run is refused while another run has the
// lease. With --resume it waits until the lease ends and continues the other run.
func TestReconcileBesideAnother(t *testing.T) {
	c := installCommands(t, nil)
	c.ory.Add(1)
	alive := symbolon.Run{ID: "other", Project: "default", Kind: reconcile.Kind, State: symbolon.RunGoing, LeaseUntil: time.Now().Add(time.Hour)}
	if err := c.Store.StartRun(t.Context(), alive); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := runIn(t, c.env, "reconcile", "--repair"); code != 1 || !strings.Contains(errs, "another run is at work") || !strings.Contains(errs, "--resume") {
		t.Errorf("%d %s", code, errs)
	}
	if code, out, _ := runIn(t, c.env, "reconcile"); code != 3 || !strings.Contains(out, "left unlinked_identity") {
		t.Errorf("a dry run: %d %s", code, out)
	}
	var out, errs cmdtest.Buffer
	ended := make(chan int)
	go func() {
		ended <- run(t.Context(), []string{"reconcile", "--resume"}, c.env, cli.Stdio{Out: &out, Err: &errs})
	}()
	cmdtest.Eventually(t, "the command waits for the lease", func() bool { return strings.Contains(errs.String(), "waiting") })
	if _, err := c.DB.ExecContext(t.Context(), `update symbolon_runs set lease_until = '2026-01-01T00:00:00.000000Z'`); err != nil {
		t.Fatal(err)
	}
	if code := <-ended; code != 0 || !strings.Contains(out.String(), "repaired unlinked_identity") {
		t.Errorf("%d %s%s", code, &out, &errs)
	}
}

// TestReconcileIsDocumented checks that docs/reconcile.md has exactly one line for every
// kind.
func TestReconcileIsDocumented(t *testing.T) {
	documented := map[string]bool{}
	for line := range strings.Lines(cmdtest.ReadFile(t, filepath.Join("..", "..", "docs", "reconcile.md"))) {
		if cells := strings.Split(line, " | "); strings.HasPrefix(line, "| `") && len(cells) == 3 {
			documented[strings.Trim(cells[0], "|` ")] = true
		}
	}
	for _, kind := range reconcile.Kinds() {
		if !documented[string(kind)] {
			t.Errorf("docs/reconcile.md lacks %s", kind)
		}
		delete(documented, string(kind))
	}
	if len(documented) > 0 {
		t.Errorf("documented kinds that do not exist: %v", documented)
	}
}

// TestReconcileIsPaced checks that the command uses the same share of Ory's rate limit as
// the schedule, unless the operator sets --load.
func TestReconcileIsPaced(t *testing.T) {
	c := config.Defaults()
	c.Reconcile.Load = "40%"
	for flag, want := range map[string]struct {
		load  float64
		paced bool
	}{"": {0.4, true}, "70%": {0.7, true}, "100%": {1, false}} {
		s := &system.System{Ory: system.NewClient(c)}
		ctx, err := reconcileCmd{Load: flag}.paced(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if _, paced := symbolon.PatienceFrom(ctx); paced != want.paced || s.Ory.Load != want.load {
			t.Errorf("--load %q: paced %v with %v", flag, paced, s.Ory.Load)
		}
	}
}

// TestProgressLine checks that a terminal gets one line that changes, and a log gets few
// lines.
func TestProgressLine(t *testing.T) {
	var plainly, live strings.Builder
	for _, p := range []*cli.Progress{{Out: &plainly}, {Out: &live, Live: true}} {
		for n := range 25 {
			reconcileProgress(p)(reconcile.Progress{Phase: reconcile.Looking, Identities: n * 1000, Rate: 1000, Left: 90 * time.Second, Elapsed: time.Duration(n) * time.Second})
		}
		reconcileProgress(p)(reconcile.Progress{Phase: reconcile.Repairing, Identities: 1, Elapsed: time.Second, Share: 1})
		p.End()
	}
	if got := plainly.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "looking: 10000 identities, 1000/s, 0 differences, 0 repaired, about 1m30s left") {
		t.Errorf("%q", got)
	}
	if got := live.String(); strings.Contains(got, "\n") || !strings.HasSuffix(got, "\x1b[K") {
		t.Errorf("%q", got)
	}
}
