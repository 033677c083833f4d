package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
)

// TestSchedule runs without hooks. The server finds new identities by its schedule, also
// after a restart, and changes by an administrator at Ory.
func TestSchedule(t *testing.T) {
	t.Parallel()
	onOne(t, func(t *testing.T, database string) {
		w := startWorld(t, world{database: database, actions: []string{"none"}, env: []string{"SYMBOLON_RECONCILE_EVERY=1s", "SYMBOLON_RECONCILE_LOAD=100%"}})
		create := func(n int) string {
			id, err := w.kratos.CreateIdentity(t.Context(), map[string]any{"schema_id": "default",
				"traits": map[string]any{"email": fmt.Sprintf("schedule%d@example.org", n), "name": "Ann"}})
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		linked := func(id string) bool {
			p, ok := w.person(t, id)
			return ok && p.Link != nil && p.Link.State == "linked"
		}
		first := create(1)
		cmdtest.Eventually(t, "the first identity is linked", func() bool { return linked(first) })
		if p, _ := w.person(t, first); p.Link.Source != "reconcile" {
			t.Errorf("linked by %s", p.Link.Source)
		}
		if err := w.server.stop(); err != nil {
			t.Fatal(err)
		}
		second := create(2)
		w.server.start(t)
		cmdtest.Eventually(t, "the second identity is linked after a restart", func() bool { return linked(second) })
		if err := w.kratos.PatchIdentity(t.Context(), first, []map[string]any{{"op": "replace", "path": "/state", "value": "inactive"}}); err != nil {
			t.Fatal(err)
		}
		cmdtest.Eventually(t, "the row says that the identity is inactive", func() bool {
			p, _ := w.person(t, first)
			for _, e := range p.History {
				if e.Kind == "user.updated" {
					return true
				}
			}
			return false
		})
		out, err := w.server.command("reconcile", "--load", "100%", "--json").CombinedOutput()
		if err != nil || !strings.Contains(string(out), `"linked":2`) {
			t.Errorf("%v\n%s", err, out)
		}
	})
}
