//go:build torture

package server

import (
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// TestKilledServersWorkGoesOn kills the server while it follows a hint that it had
// answered with 200. The next server follows the hint within about a minute.
func TestKilledServersWorkGoesOn(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, database string) {
		ory := fakeory.Start(t, fakeory.Config{})
		var servers []*process
		for range 2 {
			p := newProcess(t)
			p.set("SYMBOLON_DATABASE="+database, "SYMBOLON_ORY_PUBLIC_URL="+ory.PublicURL, "SYMBOLON_ORY_ADMIN_URL="+ory.AdminURL)
			servers = append(servers, p)
		}
		servers[0].start(t)
		id, err := ory.CreateIdentity(t.Context(), map[string]any{"schema_id": "default", "traits": map[string]any{"email": "a@example.org"}})
		if err != nil {
			t.Fatal(err)
		}
		repair := ory.Break(fakeory.Latency{Route: "GET /admin/identities/*", Wait: time.Minute})
		key := hooks.DeriveKeys([]symbolon.Secret{symbolon.Secret(cmdtest.Secret)}).Link[0]
		status, _, body := servers[0].send(t, "POST", servers[0].publicURL+"/hooks/link", `{"identity_id":"`+id+`"}`, hooks.KeyHeader, key)
		if status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		time.Sleep(3 * time.Second) // the job runs now
		servers[0].kill()
		repair()
		start := time.Now()
		servers[1].start(t)
		w := &world{server: servers[1]}
		for time.Since(start) < 90*time.Second {
			if p, ok := w.person(t, id); ok && p.Link != nil && p.Link.State == "linked" {
				t.Logf("%s: hint followed %s after the kill", database[:8], time.Since(start).Round(time.Second))
				return
			}
			time.Sleep(250 * time.Millisecond)
		}
		t.Errorf("the hint was not followed within 90 seconds")
	})
}
