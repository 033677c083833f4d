package server

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
)

// TestRoutesWithoutDatabase: until the database is in use, every route answers 503, except
// those that need no database.
func TestRoutesWithoutDatabase(t *testing.T) {
	c := config.Defaults()
	c.Secret, c.Database = cmdtest.Secret, "postgres://nobody@127.0.0.1:1/nothing"
	p, err := New(t.Context(), c, cli.NewLogger(&cmdtest.Buffer{}, slog.LevelInfo))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close(context.WithoutCancel(t.Context())) }()
	source, err := os.ReadFile("routes.go")
	if err != nil {
		t.Fatal(err)
	}
	public, operator, _ := strings.Cut(string(source), ") Operator() ")
	gated := 0
	for text, side := range map[string]http.Handler{public: p.Public(), operator: p.Operator()} {
		for _, m := range regexp.MustCompile(`\{"([A-Z]*)", "(/[^"]*)",`).FindAllStringSubmatch(text, -1) {
			method, path := cmp.Or(m[1], "POST"), strings.NewReplacer("{id}", "1", "...", "p/admin").Replace(m[2])
			w := cmdtest.Ask(side, method, path, "")
			closed := !slices.Contains(withoutDatabase, path) || path == "/readyz"
			if closed != (w.Code == 503) {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
			if closed {
				gated++
			}
		}
		if w := cmdtest.Ask(side, "GET", "/nothing", ""); w.Code != 404 {
			t.Errorf("an unknown path: %d", w.Code)
		}
	}
	if gated < 20 {
		t.Errorf("only %d routes: this test does not see them", gated)
	}
}

// TestHostNameDoesNotExist: the operator mistyped the host name of the database. The server
// starts, because DNS may learn the name later, and says plainly what is wrong.
func TestHostNameDoesNotExist(t *testing.T) {
	c, log := config.Defaults(), &cmdtest.Buffer{}
	c.Secret, c.Database = cmdtest.Secret, "postgres://nobody@db..internal/nothing" // no DNS server is asked for such a name
	p, err := New(t.Context(), c, cli.NewLogger(log, slog.LevelInfo))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close(context.WithoutCancel(t.Context())) }()
	if err := p.startup.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	cmdtest.Eventually(t, "the log has an error", func() bool {
		return strings.Contains(log.String(), `"level":"ERROR","msg":"the host name of the database does not resolve`)
	})
	if w := cmdtest.Ask(p.Public(), "GET", "/readyz", ""); w.Code != 503 || !strings.Contains(w.Body.String(), "host name of the database does not resolve") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := cmdtest.Ask(p.Operator(), "GET", "/metrics", ""); !strings.Contains(w.Body.String(), `symbolon_waiting_for_database{reason="unresolved"} 1`) {
		t.Error("the metrics do not show it")
	}
}

// TestFirstStart starts on a new database. Nothing is read from it before its tables exist.
func TestFirstStart(t *testing.T) {
	i := install(t, nil)
	if logs := i.logs.String(); strings.Contains(logs, "no such table") {
		t.Errorf("the server logged:\n%s", logs)
	}
}
