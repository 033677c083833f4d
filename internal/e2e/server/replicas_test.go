package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// delivery is one request or hook that brings an identity to a server.
type delivery struct {
	person *symbolontest.Person
	server *process
	way    string
}

// deliver returns the user that the answer names, or an empty ID. A busy database may
// answer "don't know", because two processes that write one SQLite file block each other.
// deliver then asks again for up to two minutes.
func (d delivery) deliver(t *testing.T, keys hooks.Keys) (user string, again int) {
	for until := time.Now().Add(2 * time.Minute); ; again++ {
		status, user, body := d.once(t, keys)
		if status == http.StatusServiceUnavailable && strings.Contains(string(body), `{"error":{"code":"unavailable"`) && time.Now().Before(until) {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if status != http.StatusOK {
			t.Errorf("%s of %s: %d %s", d.way, d.person.IdentityID, status, body)
		}
		return user, again
	}
}

func (d delivery) once(t *testing.T, keys hooks.Keys) (status int, user string, body []byte) {
	id := d.person.IdentityID
	switch d.way {
	case "link":
		status, _, body = d.server.send(t, "POST", d.server.publicURL+"/hooks/link", fmt.Sprintf(`{"identity_id":%q,"id":null,"columns":{}}`, id), "X-Symbolon-Key", keys.Link[0])
	case "sync":
		status, _, body = d.server.send(t, "POST", d.server.publicURL+"/hooks/sync", fmt.Sprintf(`{"identity_id":%q}`, id), "X-Symbolon-Key", keys.Sync[0])
	case "operator":
		status, _, body = d.server.send(t, "POST", d.server.operatorURL+"/admin/identities/"+id+"/sync", "")
		var answer struct{ Link system.Bond }
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Error(err)
		}
		user = string(answer.Link.User)
	case "request":
		var header http.Header
		status, header, body = d.server.get(t, d.server.publicURL+"/auth", "X-Session-Token", d.person.Token)
		user = header.Get("X-User-Id")
	}
	return status, user, body
}

// TestTwoReplicas runs two servers on one database. 64 workers send sixteen deliveries of
// every identity in any order, at once and again. Each identity gets one user, and all
// answers name this user.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	people := e2e.Torture(60, 1000)
	onBoth(t, func(t *testing.T, database string) {
		w := startWorld(t, world{database: database, actions: []string{"none"}})
		other := w.second(t)
		other.start(t)
		keys := hooks.DeriveKeys([]symbolon.Secret{symbolon.Secret(cmdtest.Secret)})

		var work []delivery
		for i := range people {
			p := w.register(t, fmt.Sprintf("replica%d@example.com", i))
			for n := range 16 {
				way := []string{"link", "link", "link", "sync", "sync", "request", "request", "operator"}[n%8]
				work = append(work, delivery{p, []*process{w.server, other}[n/8], way})
			}
		}
		rand.Shuffle(len(work), func(i, j int) { work[i], work[j] = work[j], work[i] })

		var mu sync.Mutex
		var history []porcupine.Operation
		again := 0
		queue := make(chan delivery)
		var wg sync.WaitGroup
		began := time.Now()
		for worker := range 64 {
			wg.Go(func() {
				for d := range queue {
					call := time.Since(began)
					user, n := d.deliver(t, keys)
					op := porcupine.Operation{ClientId: worker, Input: d.person.IdentityID, Call: int64(call), Output: user, Return: int64(time.Since(began))}
					mu.Lock()
					history, again = append(history, op), again+n
					mu.Unlock()
				}
			})
		}
		for _, d := range work {
			queue <- d
		}
		close(queue)
		wg.Wait()

		if !porcupine.CheckOperations(oneUserEach, history) {
			t.Error("there is no order of the answers in which each identity has one user from its first delivery on")
		}
		users := map[string]string{}
		for _, op := range history {
			user, identity := op.Output.(string), op.Input.(string)
			if user == "" {
				continue
			}
			if before, ok := users[user]; ok && before != identity {
				t.Errorf("user %s has the identities %s and %s", user, before, identity)
			}
			users[user] = identity
		}
		if len(users) != people {
			t.Errorf("%d users for %d people", len(users), people)
		}
		t.Logf("%d deliveries in %s, %d answers were \"don't know\"", len(history), time.Since(began).Round(time.Millisecond), again)
	})
}

// oneUserEach is a model of an identity. It has no user until a delivery gives it one,
// which then never changes.
var oneUserEach = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		by := map[any][]porcupine.Operation{}
		for _, op := range history {
			by[op.Input] = append(by[op.Input], op)
		}
		var out [][]porcupine.Operation
		for _, ops := range by {
			out = append(out, ops)
		}
		return out
	},
	Init: func() any { return "" },
	Step: func(state, _, output any) (bool, any) {
		has, says := state.(string), output.(string)
		switch {
		case says == "": // a hook's answer names no user
			return true, state
		case has == "":
			return true, says
		}
		return has == says, has
	},
}

// summary is the last line of `reconcile --json`.
type summary struct {
	Summary system.RunSummary `json:"summary"`
}

// TestServerDownDuringAnImport stops the server during an import and sign-ups, so that
// every hook is lost. Two passes link all identities, and a third finds nothing.
func TestServerDownDuringAnImport(t *testing.T) {
	t.Parallel()
	imported, signedUp := e2e.Torture(150, 9_900), e2e.Torture(10, 100)
	onOne(t, func(t *testing.T, database string) {
		w := startWorld(t, world{database: database, actions: []string{"--without-reserve"}})
		w.server.kill()
		var bodies []map[string]any
		for i := range imported {
			bodies = append(bodies, map[string]any{"schema_id": "default", "traits": map[string]any{"email": fmt.Sprintf("imported%d@example.com", i)}})
		}
		if _, err := w.kratos.CreateIdentities(t.Context(), bodies); err != nil {
			t.Fatal(err)
		}
		for i := range signedUp {
			w.register(t, fmt.Sprintf("signed-up%d@example.com", i))
		}
		for pass := range 3 {
			out, err := w.server.command("reconcile", "--repair", "--load", "100%", "--json").Output()
			if err != nil {
				t.Fatalf("pass %d: %v\n%s", pass, err, out)
			}
			lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
			var last summary
			if err := json.Unmarshal(lines[len(lines)-1], &last); err != nil {
				t.Fatal(err)
			}
			s := last.Summary
			if !s.Complete || s.Linked != imported+signedUp || pass > 0 && len(s.Repaired) > 0 {
				t.Errorf("pass %d: %+v", pass, s)
			}
		}
	})
}
