package server

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/internal/chaos"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// TestSilentDatabase: Postgres vanishes without closing its connections, while link hooks use
// all of them. A new Postgres answers at the same address. People who are not cached are
// served again within 20 seconds, even if they ask one after the other.
func TestSilentDatabase(t *testing.T) {
	t.Parallel()
	const limit = 20 * time.Second
	rounds := e2e.Torture(2, 50)
	relay, database := behindRelay(t)
	w := startWorld(t, world{database: database, env: []string{"SYMBOLON_HOOKS_KEYS_LINK=" + cmdtest.Key}})
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

// behindRelay returns a relay to a new Postgres database, and the database's address behind
// it.
func behindRelay(t *testing.T) (relay *chaos.Relay, database string) {
	t.Helper()
	return relayTo(t, cmdtest.NewDatabase(t, sqlstore.Postgres))
}

// relayTo returns a relay to a database, and the database's address behind it.
func relayTo(t *testing.T, direct string) (relay *chaos.Relay, database string) {
	t.Helper()
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	relay = chaos.NewRelay(t, u.Host)
	u.Host = relay.Address
	return relay, u.String()
}

// TestStopWithSilentDatabase stops a server whose database fell silent while hooks, requests
// and jobs used it. The process ends before a container tool would kill it.
func TestStopWithSilentDatabase(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]bool{"its connections": false, "new connections, too": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			relay, database := behindRelay(t)
			k, p := cmdtest.StartKratos(t), newProcess(t)
			p.program = program(t, false)
			p.set("SYMBOLON_DATABASE="+database, "SYMBOLON_DATABASE_LISTEN="+database, "SYMBOLON_HOOKS_KEYS_LINK="+cmdtest.Key, "SYMBOLON_RECONCILE_EVERY=1s",
				"SYMBOLON_RECONCILE_LOAD=100%", "SYMBOLON_ORY_PUBLIC_URL="+k.PublicURL, "SYMBOLON_ORY_ADMIN_URL="+k.AdminURL)
			p.start(t)
			_, token := k.Add(0)
			if status, _, body := p.get(t, p.publicURL+"/auth", "X-Session-Token", token); status != 200 {
				t.Fatalf("a first request: %d %s", status, body)
			}
			relay.Drop(gone)
			relay.FallSilent()
			var all sync.WaitGroup
			for n := range 20 { // they use all connections
				id, token := k.Add(1 + n)
				all.Go(func() { p.attempt(t, "/auth", "", "X-Session-Token", token) })
				all.Go(func() {
					p.attempt(t, "/hooks/link", fmt.Sprintf(`{"identity_id":%q}`, id), "X-Symbolon-Key", cmdtest.Key)
				})
			}
			time.Sleep(time.Second) // the jobs meet the silence
			began := time.Now()
			err := p.stop()
			took := time.Since(began)
			if took > 10*time.Second {
				t.Errorf("the process ended after %s", took)
			}
			t.Logf("the process ended after %s: %v", took.Round(time.Millisecond), err)
			all.Wait()
		})
	}
}

// TestTakenUp has a server that loses its database for good during an erasure, a run and a
// job. Another server takes all of them up within a minute.
func TestTakenUp(t *testing.T) {
	t.Parallel()
	const within = time.Minute
	direct := cmdtest.NewDatabase(t, sqlstore.Postgres)
	relay, database := relayTo(t, direct)
	k, first, second := cmdtest.StartKratos(t), newProcess(t), newProcess(t)
	for p, database := range map[*process]string{first: database, second: direct} {
		p.program = program(t, false)
		p.set("SYMBOLON_DATABASE="+database, "SYMBOLON_DATABASE_LISTEN="+database, "SYMBOLON_HOOKS_KEYS_SYNC="+cmdtest.Key, "SYMBOLON_RECONCILE_EVERY=1h",
			"SYMBOLON_RECONCILE_LOAD=100%", "SYMBOLON_ORY_PUBLIC_URL="+k.PublicURL, "SYMBOLON_ORY_ADMIN_URL="+k.AdminURL)
	}
	for n := range 10 {
		k.Add(n)
	}
	first.start(t)
	db := cmdtest.OpenDB(t, direct)
	count := func(query string) (n int) {
		if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	cmdtest.Eventually(t, "the first run is over", func() bool {
		return count(`select count(*) from symbolon_users`) == 10 && count(`select count(*) from symbolon.runs where state = 'running'`) == 0
	})

	// The first server begins everything. Ory is slow, so it is not done with anything.
	repair := k.Break(fakeory.Latency{Wait: 20 * time.Second})
	const changed, erased, unknown = "1d000000-0000-4000-8000-000000000001", "1d000000-0000-4000-8000-000000000002", 20
	k.Set(changed, "traits", map[string]any{"email": "changed@example.com"})
	for n := range unknown {
		k.Add(10 + n)
	}
	for _, r := range []struct{ method, url, body string }{
		{"POST", first.publicURL + "/hooks/sync", fmt.Sprintf(`{"identity_id":%q}`, changed)},
		{"POST", first.operatorURL + "/admin/reconcile", `{"repair":true}`},
		{"DELETE", first.operatorURL + "/admin/identities/" + erased, ""},
	} {
		if status, _, body := first.send(t, r.method, r.url, r.body, "X-Symbolon-Key", cmdtest.Key); status > 202 {
			t.Fatalf("%s: %d %s", r.url, status, body)
		}
	}
	cmdtest.Eventually(t, "the jobs run", func() bool {
		return count(`select count(distinct args->>'task') from symbolon_river.river_job where state = 'running' and args->>'task' in ('look', 'erase')`) == 2
	})
	relay.Drop(true)
	relay.FallSilent()
	recorded := count(`select count(*) from symbolon.runs where state = 'running'`) > 0
	began := time.Now()
	repair()
	second.start(t)
	if !recorded { // an order whose run is not recorded yet ends with its server (decision 0026)
		if status, _, body := second.send(t, "POST", second.operatorURL+"/admin/reconcile", `{"repair":true}`); status > 202 {
			t.Fatalf("%d %s", status, body)
		}
	}
	for what, query := range map[string]string{
		"the hint is followed": `select count(*) from symbolon_users where email = 'changed@example.com'`,
		"the erasure is done":  `select count(*) from symbolon.erasures where step = 'done'`,
		"the run is done":      fmt.Sprintf(`select 1 where (select count(*) from symbolon_users where ory_identity_id is not null) = %d`, 10+unknown-1),
		"no run is unfinished": `select 1 where not exists (select 1 from symbolon.runs where state = 'running')`,
	} {
		cmdtest.Eventually(t, what, func() bool { return count(`select count(*) from (`+query+`) as q(n) where n > 0`) == 1 })
		took := time.Since(began)
		t.Logf("%s after %s", what, took.Round(time.Millisecond))
		if took > within {
			t.Errorf("%s after %s", what, took)
		}
	}
}

// TestSilentPurges: the database of one replica falls silent, and a session is revoked at the
// other replica. A token of the session is accepted for a few seconds only, because a replica
// that hears no purges asks Ory.
func TestSilentPurges(t *testing.T) {
	t.Parallel()
	const limit = 10 * time.Second // three until the replica knows, and what a busy machine needs
	for name, gone := range map[string]bool{"its connections": false, "new connections, too": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			direct := cmdtest.NewDatabase(t, sqlstore.Postgres)
			relay, silent := relayTo(t, direct)
			k, template := cmdtest.StartKratos(t), cmdtest.NewTemplate(t)
			here, there := newProcess(t), newProcess(t)
			for p, database := range map[*process]string{here: silent, there: direct} {
				p.program = program(t, false)
				p.set("SYMBOLON_DATABASE="+database, "SYMBOLON_DATABASE_LISTEN="+database, "SYMBOLON_ORY_PUBLIC_URL="+k.PublicURL, "SYMBOLON_ORY_ADMIN_URL="+k.AdminURL,
					"SYMBOLON_AUTH_JWT_JWKS="+template.Public, "SYMBOLON_AUTH_JWT_ISSUER=https://ory.example/", "SYMBOLON_AUTH_JWT_AUDIENCE=notes")
				p.start(t)
			}
			id, _ := k.Add(1)
			token := template.Token(t, id)
			ask := func() int {
				status, _, _ := here.get(t, here.publicURL+"/auth", "Authorization", "Bearer "+token)
				return status
			}
			if status := ask(); status != 200 {
				t.Fatalf("before the silence: %d", status)
			}
			relay.Drop(gone)
			relay.FallSilent()
			if status, _, body := there.send(t, "DELETE", there.operatorURL+"/admin/sessions/5e"+id[2:], ""); status != 204 {
				t.Fatalf("revoke: %d %s", status, body)
			}
			revoked, accepted, refused := time.Now(), time.Duration(0), 0
			for refused < 10 && time.Since(revoked) < time.Minute {
				began := time.Since(revoked)
				switch status := ask(); status {
				case 200:
					accepted, refused = began, 0
				case 401:
					refused++
				}
				time.Sleep(50 * time.Millisecond)
			}
			t.Logf("accepted until %v", accepted.Round(time.Millisecond))
			if accepted > limit || refused == 0 && !gone {
				t.Errorf("accepted until %v after the revocation, and refused %d times", accepted, refused)
			}
		})
	}
}

// attempt sends a POST or, without a body, a GET, whose answer does not matter.
func (p *process) attempt(t *testing.T, path, body string, header ...string) {
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(t.Context(), method, p.publicURL+path, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(header[0], header[1])
	if resp, err := http.DefaultClient.Do(r); err == nil {
		_ = resp.Body.Close()
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
