package main

import (
	"os"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestDocsTwoIdentities runs the commands of docs/one-person-two-identities.md.
func TestDocsTwoIdentities(t *testing.T) {
	text, err := os.ReadFile("../../docs/one-person-two-identities.md")
	if err != nil {
		t.Fatal(err)
	}
	m := installCommands(t, func(c *config.Config) { c.Database = config.Hidden(cmdtest.NewDatabase(t, sqlstore.SQLite)) })
	_, into := m.born(t, "home@example.com")
	second, from := m.born(t, "work@example.com")
	free, err := m.ory.Register(t.Context(), "third@example.com", cmdtest.Password, "cAnArY name")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"bind": "is a further identity of user " + into, "unlink": "is on hold", "show": second.IdentityID,
		"merge --dry-run": "would end", "merge": "signs in as user " + into, "merge --undo": "signs in as user " + from, "erase": into}
	names := strings.NewReplacer("018f2d5e-7c1a-4f3e-9b57-1c2d3e4f5a6b", free.IdentityID, ` "ticket 8812"`, " ticket-8812", ` "ticket 8813"`, " ticket-8813", ` "ticket 8814"`, " ticket-8814",
		" 43", " "+from, " 42", " "+into)
	commands := 0
	for line := range strings.Lines(string(text)) {
		args, ok := strings.CutPrefix(strings.TrimSpace(line), "symbolon ")
		if !ok {
			continue
		}
		commands++
		fields := strings.Fields(names.Replace(args))
		kind := fields[0]
		for _, flag := range []string{"--dry-run", "--undo"} {
			if kind == "merge" && strings.Contains(args, flag) {
				kind += " " + flag
			}
		}
		if code, out, errs := runIn(t, m.env, fields...); code != 0 || !strings.Contains(out, want[kind]) || want[kind] == "" {
			t.Errorf("%s: %d %s%s", args, code, out, errs)
		}
	}
	if commands != 7 {
		t.Errorf("%d commands were run", commands)
	}
	if code, out, _ := runIn(t, m.env, "show", second.IdentityID); code != 0 || !strings.Contains(out, string(symbolon.Linked)) {
		t.Errorf("after the undo: %s", out)
	}
	for _, args := range []string{"merge " + from, "merge " + from + " " + into + " --undo", "bind " + free.IdentityID + " --new --also", "unlink nobody"} {
		if code, _, errs := runIn(t, m.env, strings.Fields(args)...); code != 2 {
			t.Errorf("%s: %d %s", args, code, errs)
		}
	}
	if code, _, errs := runIn(t, m.env, "merge", into, into); code != 1 || !strings.Contains(errs, "into itself") {
		t.Errorf("into itself: %d %s", code, errs)
	}
}
