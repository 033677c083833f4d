package server

import (
	"sync"
	"testing"

	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// TestFourStartAtOnce runs four programs that migrate one empty database at once, with
// our tables and River's. Then two servers start on it together, and both become ready.
func TestFourStartAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, database string) {
		ory := fakeory.Start(t, fakeory.Config{})
		var all sync.WaitGroup
		for range 4 {
			p := newProcess(t)
			p.set("SYMBOLON_DATABASE=" + database)
			all.Go(func() {
				if out, err := p.command("migrate").CombinedOutput(); err != nil {
					t.Errorf("migrate: %v\n%s", err, out)
				}
			})
		}
		all.Wait()
		var servers []*process
		for range 2 {
			p := newProcess(t)
			p.set("SYMBOLON_DATABASE="+database, "SYMBOLON_ORY_PUBLIC_URL="+ory.PublicURL, "SYMBOLON_ORY_ADMIN_URL="+ory.AdminURL)
			servers = append(servers, p)
			all.Go(func() { p.start(t) })
		}
		all.Wait()
		for _, p := range servers {
			if err := p.stop(); err != nil {
				t.Errorf("stop: %v\n%s", err, p.log())
			}
		}
	})
}
