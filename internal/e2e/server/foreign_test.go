package server

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/internal/chaos"
	"github.com/symbolon-id/symbolon/internal/e2e"
)

// TestForeignProcesses: other processes read the SQLite file, write a table of their own,
// back it up and vacuum it, while two servers answer link hooks and commands run. Then both
// servers are killed. No acknowledged link is lost, and the file is sound. At full size the
// servers are killed a hundred times.
func TestForeignProcesses(t *testing.T) {
	t.Parallel()
	visits, kills := e2e.Torture(200, 1000), e2e.Torture(1, 100)
	path := filepath.Join(t.TempDir(), "symbolon.db")
	w := startWorld(t, world{database: "sqlite://" + path, killed: true, noAdmin: true, actions: []string{"none"},
		env: []string{"SYMBOLON_HOOKS_KEYS_LINK=" + cmdtest.Key}})
	first, second := w.server, w.second(t)
	second.start(t)

	var links acknowledged
	chaos.SQLite3(t, path, "create table orders (id integer primary key, note text)")
	for round := range kills {
		links.under(t, []*process{first, first, second}, func() {
			for n := round * visits / kills; n < (round+1)*visits/kills && !t.Failed(); n++ {
				visit(t, path, first, n)
			}
			first.kill()
			second.kill()
		})
		links.areIn(t, path)
		if t.Failed() {
			break
		}
		first.start(t)
		second.start(t)
	}

	t.Logf("%d links were acknowledged, %d calls were refused, beside %d visits and %d kills", len(links.ids), links.refused.Load(), visits, kills)
	if len(links.ids) < visits {
		t.Errorf("only %d links: the visitors hinder the servers", len(links.ids))
	}
	if got, want := chaos.SQLite3(t, path, "select count(*) from orders"), fmt.Sprint(orders(visits)); got != want {
		t.Errorf("the application has %s orders, want %s", got, want)
	}
	for _, log := range []string{first.log(), second.log()} {
		for _, fault := range []string{"disk I/O error", "malformed", "not a database"} {
			if strings.Contains(log, fault) {
				t.Errorf("a server met: %s", fault)
			}
		}
	}
}

// under calls f while the link hook is called at each of the servers. f kills them.
func (a *acknowledged) under(t *testing.T, servers []*process, f func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var load sync.WaitGroup
	for _, server := range servers {
		load.Go(func() { a.make(ctx, t, server.publicURL) })
	}
	f()
	stop()
	load.Wait()
}

// areIn checks that the file is sound and has every acknowledged link.
func (a *acknowledged) areIn(t *testing.T, path string) {
	t.Helper()
	if got := chaos.SQLite3(t, path, "pragma integrity_check"); got != "ok" {
		t.Errorf("integrity_check: %s", got)
	}
	have := map[string]bool{}
	for _, id := range strings.Fields(chaos.SQLite3(t, path, "select l.identity_id from symbolon_links l join symbolon_users u on u.ory_identity_id = l.identity_id and u.id = l.user_id where state = 'linked'")) {
		have[id] = true
	}
	for _, id := range a.ids {
		if !have[id] {
			t.Errorf("the link of %s was acknowledged, and is lost", id)
		}
	}
}

// visit is what another process does with the file.
func visit(t *testing.T, path string, server *process, n int) {
	t.Helper()
	switch n % 10 {
	case 0, 3, 5, 7:
		chaos.SQLite3(t, path, "select count(*) from symbolon_links")
	case 1, 6:
		chaos.SQLite3(t, path, fmt.Sprintf("insert into orders (note) values ('%d')", n))
	case 2:
		chaos.SQLite3(t, path, ".backup '"+filepath.Join(t.TempDir(), "backup.db")+"'")
	case 4:
		chaos.Python(t, path, "select count(*) from symbolon_users", "insert into orders (note) values ('python')")
	case 8:
		if n%40 == 8 {
			chaos.SQLite3(t, path, "vacuum")
		}
	case 9:
		if out, err := server.command("show", newIdentity()).CombinedOutput(); err != nil && !strings.Contains(string(out), "no identity and no user has the ID") {
			t.Errorf("show: %v\n%s", err, out)
		}
	}
}

// orders returns how many orders a number of visits has inserted.
func orders(visits int) (n int) {
	for v := range visits {
		if v%10 == 1 || v%10 == 4 || v%10 == 6 {
			n++
		}
	}
	return n
}

// acknowledged are the identities whose link hook was answered with 200.
type acknowledged struct {
	refused atomic.Int32
	mu      sync.Mutex
	ids     []string
}

// make calls the link hook for new identities until the server is gone.
func (a *acknowledged) make(ctx context.Context, t *testing.T, server string) {
	for ctx.Err() == nil {
		id := newIdentity()
		switch status := a.ask(ctx, t, server, id); status {
		case 200:
			a.mu.Lock()
			a.ids = append(a.ids, id)
			a.mu.Unlock()
		case 0:
			return // killed
		case queued: // the link is made later
		case 503:
			a.refused.Add(1)
		default:
			t.Errorf("the link hook answered %d", status)
			return
		}
		time.Sleep(rand.N(10 * time.Millisecond))
	}
}

// queued is what ask returns for a hint that the server has stored for later.
const queued = http.StatusAccepted

// ask calls the link hook and returns the status. 0 means that there was no answer.
func (a *acknowledged) ask(ctx context.Context, t *testing.T, server, id string) int {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server+"/hooks/link", strings.NewReader(`{"identity_id":"`+id+`"}`))
	if err != nil {
		t.Error(err)
		return 0
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Symbolon-Key", cmdtest.Key)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	if body, _ := io.ReadAll(resp.Body); strings.Contains(string(body), hooks.Queued) {
		return queued
	}
	return resp.StatusCode
}

func newIdentity() string {
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", rand.N(1<<32), rand.N(1<<16), rand.N(1<<12), rand.N(1<<12), rand.N(1<<48))
}
