package main

import (
	"os"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// TestDocsErase runs the commands and queries of docs/erase.md.
func TestDocsErase(t *testing.T) {
	text, err := os.ReadFile("../../docs/erase.md")
	if err != nil {
		t.Fatal(err)
	}
	cmdtest.OnBoth(t, func(t *testing.T, database string) {
		m := installCommands(t, func(c *config.Config) { c.Database = config.Hidden(database) })
		_, user := m.born(t, "a@example.com")
		commands, queries := 0, 0
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
			if args, ok := strings.CutPrefix(line, "symbolon "); ok {
				commands++
				args = strings.NewReplacer(` 42 --why "ticket 8812"`, " "+user+" --yes --why ticket-8812", " 42", " "+user).Replace(args)
				if code, out, errs := runIn(t, m.env, strings.Fields(args)...); code != 0 {
					t.Errorf("%s: %d %s%s", args, code, out, errs)
				}
			}
			if strings.HasPrefix(line, "select ") {
				queries++
				if strings.HasPrefix(database, "sqlite") {
					line = strings.ReplaceAll(line, "symbolon.", "symbolon_")
				}
				var found int
				if err := m.DB.QueryRow("select count(*) from (" + line + ") as q").Scan(&found); err != nil || (found > 0) != strings.Contains(line, "user.erased") {
					t.Errorf("%s: found %d, %v", line, found, err)
				}
			}
		}
		if commands != 5 || queries != 2 {
			t.Errorf("%d commands, %d queries were run", commands, queries)
		}
		if found := symbolontest.FindText(t, m.DB, string(m.Store.Dialect), "a@example.com", "cAnArY"); len(found) > 0 {
			t.Errorf("left: %q", found)
		}
	})
}
