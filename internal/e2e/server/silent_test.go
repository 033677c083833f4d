package server

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// TestSilentDatabase: Postgres vanishes without closing its connections, while link hooks use
// all of them. A new Postgres answers at the same address. People who are not cached are
// served again within 20 seconds, even if they ask one after the other.
func TestSilentDatabase(t *testing.T) {
	t.Parallel()
	const limit = 20 * time.Second
	rounds := e2e.Torture(2, 50)
	u, err := url.Parse(symbolontest.SharedPostgres(t).NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	relay := e2e.NewRelay(t, u.Host)
	u.Host = relay.Address
	w := startWorld(t, world{database: u.String(), env: []string{"SYMBOLON_HOOKS_KEYS_LINK=" + cmdtest.Key}})
	for round := range rounds {
		var people []*symbolontest.Person
		for n := range 12 {
			p := w.register(t, fmt.Sprintf("p%d-%d@example.com", round, n))
			people = append(people, p)
			w.linked(t, p.IdentityID)
		}
		strangers := w.strangers(t, 30)
		relay.FallSilent()
		silent := time.Now()
		var hooks sync.WaitGroup // more than the pool has connections
		for _, id := range strangers {
			hooks.Go(func() { new(acknowledged).ask(t.Context(), t, w.server.publicURL, id) })
		}
		for n, p := range people[1:] {
			var status int
			for time.Since(silent) < limit || status == 0 {
				if status, _ = w.auth(t, p); status == 200 {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
			if status != 200 {
				t.Errorf("round %d: person %d gets %d after %v", round, n, status, time.Since(silent))
				break
			}
		}
		t.Logf("round %d: everybody was served after %v", round, time.Since(silent).Round(time.Millisecond))
		hooks.Wait()
		late := w.register(t, fmt.Sprintf("late%d@example.com", round))
		w.linked(t, late.IdentityID)
	}
	if log := w.server.log(); strings.Contains(log, "panic") {
		t.Error("the server panicked")
	}
}

// strangers are identities that Symbolon does not know.
func (w *world) strangers(t *testing.T, n int) []string {
	t.Helper()
	var bodies []map[string]any
	for range n {
		bodies = append(bodies, map[string]any{"schema_id": "default", "traits": map[string]any{"email": newIdentity() + "@example.com"}})
	}
	ids, err := w.kratos.CreateIdentities(t.Context(), bodies)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}
