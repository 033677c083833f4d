package server

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
)

// series are the lines of a server's GET /metrics, without values.
func (i *installation) series(t *testing.T) (out []string) {
	t.Helper()
	for line := range strings.Lines(cmdtest.Ask(i.Operator(), "GET", "/metrics", "").Body.String()) {
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			out = append(out, line[:at])
		}
	}
	return out
}

// seriesWith returns the series of a metric that have a label, such as `task="look"`.
func seriesWith(all []string, metric, label string) (out []string) {
	for _, s := range all {
		name, labels, _ := strings.Cut(s, "{")
		if name == metric && strings.Contains(labels, label) {
			out = append(out, s)
		}
	}
	return out
}

var (
	selector = regexp.MustCompile(`(symbolon_\w+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`(\w+)=~?"([^"]*)"`)
)

// TestAlertsHaveTheirSeries checks that a server that has just started has every series that
// an alert of docs/metrics.md reads. Without it, increase() and rate() miss the first event.
func TestAlertsHaveTheirSeries(t *testing.T) {
	have := install(t, nil).series(t)
	_, doc, _ := strings.Cut(cmdtest.ReadFile(t, filepath.Join("..", "..", "..", "docs", "metrics.md")), "\n## Alert")
	doc, _, _ = strings.Cut(doc, "\n## ")
	counters := 0
	for row := range strings.Lines(doc) {
		alert, _, _ := strings.Cut(strings.ReplaceAll(strings.TrimPrefix(row, "|"), `\|`, "\x00"), "|")
		for _, found := range selector.FindAllStringSubmatch(alert, -1) {
			if strings.HasSuffix(found[1], "_total") {
				counters++
			}
			if len(seriesWith(have, found[1], "")) == 0 {
				t.Errorf("%s has no series", found[1])
			}
			for _, m := range matcher.FindAllStringSubmatch(found[2], -1) {
				for value := range strings.SplitSeq(m[2], "\x00") {
					if label := m[1] + `="` + value + `"`; len(seriesWith(have, found[1], label)) == 0 {
						t.Errorf("%s has no series with %s", found[1], label)
					}
				}
			}
		}
	}
	if counters < 4 {
		t.Errorf("only %d counters were found in the alerts", counters)
	}
}

// TestCountersStartAtZero checks the series of a new server by label values.
func TestCountersStartAtZero(t *testing.T) {
	i := install(t, func(c *config.Config) {
		c.Reconcile.Every = config.Defaults().Reconcile.Every
		c.Users.CreateURL, c.Users.Columns = "http://127.0.0.1:1/users", map[string]string{"email": "traits.email"}
	})
	have := i.series(t)
	for _, want := range []string{
		`symbolon_create_url_total{outcome="refused"}`, `symbolon_links_made_total{source="sync"}`, `symbolon_reconcile_runs_total{result="incomplete"}`,
		`symbolon_work_total{outcome="gave_up",task="look"}`, `symbolon_work_total{outcome="gave_up",task="back_reference"}`,
		`symbolon_work_total{outcome="failed",task="reconcile"}`, `symbolon_work_total{outcome="again",task="erase"}`, `symbolon_work_total{outcome="done",task="retention"}`,
		`symbolon_session_unknown_total`, `symbolon_jwt_refused_total`,
	} {
		if !slices.Contains(have, want) {
			t.Errorf("there is no series %s", want)
		}
	}
	if slices.Contains(have, `symbolon_work_total{outcome="gave_up",task="reconcile"}`) {
		t.Error("a schedule is never given up")
	}
	if without := install(t, nil).series(t); len(seriesWith(without, "symbolon_create_url_total", "")) > 0 {
		t.Error("without users.create_url there are series of its POSTs")
	}
}

// TestHookOutcomesAreComplete compares the series of the hooks with the table of
// docs/metrics.md.
func TestHookOutcomesAreComplete(t *testing.T) {
	_, table, _ := strings.Cut(cmdtest.ReadFile(t, filepath.Join("..", "..", "..", "docs", "metrics.md")), "| Outcome of a hook |")
	table, _, _ = strings.Cut(table, "\n\n")
	want := map[string][]string{}
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		if len(cells) < 3 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		hooks, _, some := strings.Cut(strings.TrimSpace(cells[2]), ":")
		switch outcome := strings.Trim(cells[1], " `"); {
		case some:
			for hook := range strings.SplitSeq(hooks, ", ") {
				want[hook] = append(want[hook], outcome)
			}
		case outcome == "refused":
			want["reserve"] = append(want["reserve"], outcome)
			fallthrough
		default: // a 503 is the answer of link and sync only
			want["link"], want["sync"] = append(want["link"], outcome), append(want["sync"], outcome)
		}
	}
	for hook, outcomes := range hookOutcomes {
		got := slices.Sorted(slices.Values(outcomes))
		slices.Sort(want[hook])
		if !slices.Equal(got, want[hook]) {
			t.Errorf("%s: %v, in the docs %v", hook, got, want[hook])
		}
	}
}

// TestStartWithoutAFilledColumn checks that a server starts although a column that is filled
// is missing, that people get in, and that the log and the metric have the fault.
func TestStartWithoutAFilledColumn(t *testing.T) {
	i := install(t, func(c *config.Config) { c.Users.Columns["phone"] = "traits.phone" })
	i.born(t, "ann@example.com")
	if text := cmdtest.Ask(i.Operator(), "GET", "/metrics", "").Body.String(); !strings.Contains(text, "\nsymbolon_users_table_faults 1\n") {
		t.Error("the metric does not count the missing column")
	}
	if text := i.logs.String(); !strings.Contains(text, "table symbolon_users has no column phone") {
		t.Errorf("the log does not name the missing column:\n%s", text)
	}
}
