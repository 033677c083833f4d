package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/internal/e2e"
)

// aims are the moments of the kills: a random time after the beginning of a link hook, a
// PATCH of a back-reference, a reconcile run or an erasure. "" means any moment. After
// the kill of a reconcile run the next one starts only after half a minute, so this aim
// is rare.
var aims = []string{"reconcile", "link", "write", "erase", "", "erase", "link", "write", "", "link", "erase", "write"}

// lateness is the longest time between the beginning and the kill.
var lateness = map[string]time.Duration{"link": 15 * time.Millisecond, "write": 15 * time.Millisecond,
	"erase": 80 * time.Millisecond, "reconcile": 2 * time.Second, "": time.Second}

// TestKilledUnderLoad kills the server again and again while people sign up, send
// requests, are erased and are deleted at Ory, and reconcile runs all the time. Nothing
// that was acknowledged is lost, and no identity gets a second user. After the last start
// the server finishes everything by itself.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	kills, torture := e2e.Torture(6, 100), os.Getenv("SYMBOLON_TORTURE") != ""
	onBoth(t, func(t *testing.T, database string) {
		c := newCrowd(t, database)
		ctx, cancel := context.WithCancel(t.Context())
		defer func() { cancel(); c.load.Wait() }()
		c.begin(ctx, t)
		c.awaitPeople(t, 12)
		hit, run := map[string]int{}, ""
		for n := range kills {
			aim := aims[n%len(aims)]
			c.taps.await(aim, 75*time.Second)
			time.Sleep(rand.N(1 + rand.N(lateness[aim]))) // short times are more likely
			underWay := c.taps.underWay()
			c.w.server.kill()
			l := c.nothingLost(t)
			if l.run != "" && l.run != run && !slices.Contains(underWay, "reconcile") {
				underWay = append(underWay, "reconcile") // killed between two requests of a run
			}
			run = l.run
			for _, what := range underWay {
				hit[what]++
			}
			c.age(t)
			if t.Failed() {
				break
			}
			c.w.server.start(t)
		}
		cancel()
		c.load.Wait()
		if t.Failed() {
			return
		}
		started := time.Now()
		c.converge(t)
		t.Logf("%d kills, of them in the middle of: %v; %s; all was finished %s after the load ended", kills, hit, c.figures(), time.Since(started).Round(time.Second))
		for _, what := range aims {
			if torture && what != "" && hit[what] == 0 {
				t.Errorf("no kill came in the middle of: %s", what)
			}
		}
		c.checkOry(t)
		c.checkUsers(t)
		c.checkRequests(t)
		c.checkErasures(t)
		c.checkReconcile(t)
	})
}

// nothingLost compares the database with everything that was acknowledged before it was
// read.
func (c *crowd) nothingLost(t *testing.T) ledger {
	t.Helper()
	c.mu.Lock()
	users, linked, erasures := maps.Clone(c.users), maps.Clone(c.linked), map[string]string{}
	for _, m := range c.members {
		if m.erasure != "" {
			erasures[m.IdentityID] = m.erasure
		}
	}
	c.mu.Unlock()
	l := c.ledger(t)
	for identity, user := range users {
		if got := l.bonds[identity].user; got != user {
			t.Errorf("an answer named user %s for identity %s, but the ledger says %q", user, identity, got)
		}
	}
	for identity := range linked {
		if l.bonds[identity].user == "" {
			t.Errorf("the link hook of identity %s was answered with 2xx, but the ledger has no link", identity)
		}
	}
	for identity, erasure := range erasures {
		if _, ok := l.erasures[erasure]; !ok {
			t.Errorf("erasure %s of identity %s was accepted, but is not in the database", erasure, identity)
		}
	}
	return l
}

// converge waits until the server has finished all started work, also the reconcile run
// that was killed last, which resumes within a minute.
func (c *crowd) converge(t *testing.T) {
	t.Helper()
	var left []string
	for until := time.Now().Add(5 * time.Minute); ; time.Sleep(500 * time.Millisecond) {
		l := c.nothingLost(t)
		if left = c.unfinished(l); len(left) == 0 {
			return
		}
		if t.Failed() || time.Now().After(until) {
			t.Fatalf("%d are not finished: %.2000q", len(left), left)
		}
	}
}

func (c *crowd) unfinished(l ledger) (left []string) {
	for _, m := range c.members {
		b := l.bonds[m.IdentityID]
		switch done := l.erasures[b.erasure]; {
		case m.deleted && b.state == "gone", m.asked && b.state == "erased" && done:
		case !m.deleted && m.erasure == "" && b.state == "linked" && b.erasure == "":
			m.lives = true
		default:
			left = append(left, fmt.Sprintf("%s %s, deleted %t, erasure %q asked %t done %t", m.IdentityID, b.state, m.deleted, m.erasure, m.asked, done))
		}
	}
	return left
}

// checkOry checks that Ory has exactly the remaining identities, with their own user's ID
// or none.
func (c *crowd) checkOry(t *testing.T) {
	t.Helper()
	l := c.ledger(t)
	for _, m := range c.members {
		raw, status, err := c.w.kratos.GetIdentity(t.Context(), m.IdentityID)
		if err != nil || (status == 200) != m.lives || !m.lives && status != 404 {
			t.Errorf("identity %s at Ory: %d %v, lives: %t", m.IdentityID, status, err, m.lives)
			continue
		}
		var identity struct {
			MetadataPublic struct{ ID string } `json:"metadata_public"`
		}
		if err := json.Unmarshal(raw, &identity); m.lives && err != nil {
			t.Error(err)
		}
		if id := identity.MetadataPublic.ID; id == l.bonds[m.IdentityID].user {
			c.written++
		} else if id != "" {
			t.Errorf("identity %s has %s at Ory, its user is %s", m.IdentityID, id, l.bonds[m.IdentityID].user)
		}
	}
	t.Logf("%d of the remaining identities have their user's ID at Ory", c.written)
}

// checkUsers checks that each remaining person has one row, and that there are no other
// rows.
func (c *crowd) checkUsers(t *testing.T) {
	t.Helper()
	l := c.ledger(t)
	owners := map[string]string{}
	for identity, b := range l.bonds {
		if other := owners[b.user]; other != "" {
			t.Errorf("user %s has the identities %s and %s", b.user, identity, other)
		}
		owners[b.user] = identity
	}
	for user, identity := range l.rows {
		if owners[user] == "" || identity != "" && owners[user] != identity {
			t.Errorf("the row of user %s has identity %q, but the ledger has %q", user, identity, owners[user])
		}
	}
	for _, m := range c.members {
		if user := l.bonds[m.IdentityID].user; m.lives && l.rows[user] != m.IdentityID {
			t.Errorf("identity %s has user %s, whose row has %q", m.IdentityID, user, l.rows[user])
		}
	}
	if len(l.bonds) != len(c.members) {
		t.Errorf("%d entries in the ledger for %d people", len(l.bonds), len(c.members))
	}
}

// checkRequests checks that remaining people are let in as the same user as before, and
// nobody else is.
func (c *crowd) checkRequests(t *testing.T) {
	t.Helper()
	l := c.ledger(t)
	for _, m := range c.members {
		status, user := c.w.auth(t, m.Person)
		for try := 0; m.lives && status == 503 && try < 50; try++ { // on a slow machine answers can be older than max_stale
			time.Sleep(20 * time.Millisecond)
			status, user = c.w.auth(t, m.Person)
		}
		if m.lives && (status != 200 || user != l.bonds[m.IdentityID].user) || !m.lives && status == 200 {
			t.Errorf("the session of identity %s is answered %d, user %q; lives: %t", m.IdentityID, status, user, m.lives)
		}
	}
}

// checkErasures checks each erasure's evidence, and that the database has no data of the
// person.
func (c *crowd) checkErasures(t *testing.T) {
	t.Helper()
	var words []string
	for _, m := range c.members {
		if m.lives || m.deleted {
			continue
		}
		words = append(words, m.Email)
		known, _ := c.w.person(t, m.IdentityID)
		complete(t, known.Erasure)
		if known.Erasure != nil && m.erasure != "" && known.Erasure.ID != m.erasure {
			t.Errorf("identity %s: erasure %s was accepted, but the database has %s", m.IdentityID, m.erasure, known.Erasure.ID)
		}
	}
	if len(words) > 0 {
		c.w.traceless(t, words...)
	}
}

// checkReconcile checks that the next reconcile run finds nothing.
func (c *crowd) checkReconcile(t *testing.T) {
	t.Helper()
	living := 0
	for _, m := range c.members {
		if m.lives {
			living++
		}
	}
	out, err := c.w.server.command("reconcile", "--load", "100%", "--json").Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var last summary
	if e := json.Unmarshal(lastLine(out), &last); e != nil || err != nil || !last.Summary.Complete || last.Summary.Linked != living || last.Summary.Identities != living || len(last.Summary.Left) > 0 {
		t.Errorf("%d live; reconcile: %v\n%s", living, err, out)
	}
}
