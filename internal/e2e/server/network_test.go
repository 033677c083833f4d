package server

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/symbolontest"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// TestNetworksLimits has up to 5,000 sign-ups a minute at an Ory Network that answers 80
// GETs of an identity and 175 writes a minute. Symbolon runs with hooks, queue,
// back-references and schedule. Each person has a user and is let in at once. Ory never
// answers 429. Unfinished work stays queued, also after a kill -9. At full size no
// sign-up waits two seconds for its hook. The queue is worked off after the minute of the
// back-references.
func TestNetworksLimits(t *testing.T) {
	t.Parallel()
	people, minute, atOnce, torture := 300, 4*time.Second, 4, os.Getenv("SYMBOLON_TORTURE") != ""
	if torture {
		people, minute, atOnce = 5000, time.Minute, 16
	}
	onOne(t, func(t *testing.T, database string) {
		p := newProcess(t)
		p.set("SYMBOLON_DATABASE="+database, "SYMBOLON_LOG_LEVEL=info")
		printed, err := p.command("actions", "print", "--for", "kratos.yml").Output()
		if err != nil {
			t.Fatal(err)
		}
		fired, err := fakeory.HooksFromKratos(printed)
		if err != nil {
			t.Fatal(err)
		}
		for n := range fired.Registration {
			fired.Registration[n].Ignore = false // so that the test notices a slow hook
		}
		limits := fakeory.ProductionLimits()
		delete(limits, fakeory.PublicLow) // sign-ups are not limited
		delete(limits, fakeory.PublicHigh)
		ory := fakeory.Start(t, fakeory.Config{Network: true, Hooks: fired, Limits: limits, RetryUnit: 10 * time.Second}) // three tries: a machine that is too slow for the two seconds may be fast enough later
		p.set("SYMBOLON_ORY_PUBLIC_URL="+ory.PublicURL, "SYMBOLON_ORY_ADMIN_URL="+ory.AdminURL)
		p.start(t)

		began := time.Now()
		slowest := signUpAll(t, ory, p, people, minute, atOnce)
		took := time.Since(began)
		if torture && slowest > 2*time.Second {
			t.Errorf("%d sign-ups took %s, the slowest %s", people, took, slowest)
		}
		w := &world{database: database, server: p}
		users, kept := w.count(t, "symbolon_users where ory_identity_id is not null and email is not null"), w.hints(t, "true")
		done, queued := p.metric(t, `symbolon_hooks_total{hook="link",outcome="done"}`), p.metric(t, `symbolon_hooks_total{hook="link",outcome="queued"}`)
		if users != people || done+queued != people || queued == 0 || kept < queued {
			t.Errorf("%d people: %d users; %d hooks done, %d queued, %d hints queued", people, users, done, queued, kept)
		}
		p.kill()
		if n := w.hints(t, "true"); n < kept {
			t.Errorf("of %d hints %d are still queued after a kill", kept, n)
		}
		p.start(t)
		if torture {
			before, began := w.hints(t, "state = 'completed'"), time.Now()
			for w.hints(t, "state = 'completed'") < before+3 {
				if time.Sleep(time.Second); time.Since(began) > 8*time.Minute {
					t.Fatal("no hint was followed")
				}
			}
			t.Logf("three hints were followed %s after the restart", time.Since(began).Round(time.Second))
		}
		for _, r := range ory.Requests() {
			if r.Status == http.StatusTooManyRequests {
				t.Fatalf("Ory answered 429 to %s %s", r.Method, r.Path)
			}
		}
		t.Logf("%d sign-ups in %s, the slowest %s; %d hooks done, %d queued", people, took.Round(time.Millisecond), slowest.Round(time.Millisecond), done, queued)
	})
}

// signUpAll signs people up within a time. Some of them send a request at once. atOnce
// limits the concurrent sign-ups on a slow machine.
func signUpAll(t *testing.T, ory *fakeory.Ory, p *process, people int, within time.Duration, atOnce int) (slowest time.Duration) {
	var all sync.WaitGroup
	var mu sync.Mutex
	tick := time.NewTicker(within / time.Duration(people))
	defer tick.Stop()
	places := make(chan struct{}, atOnce)
	one := func(n int) {
		start := time.Now()
		person, err := ory.Register(context.WithoutCancel(t.Context()), fmt.Sprintf("p%d@example.org", n), cmdtest.Password, "Ann")
		took := time.Since(start)
		if err != nil {
			t.Errorf("sign-up %d: %v", n, err)
			return
		}
		mu.Lock()
		slowest = max(slowest, took)
		mu.Unlock()
		if n%25 == 0 {
			letIn(t, p, person)
		}
	}
	for n := range people {
		<-tick.C
		places <- struct{}{}
		all.Go(func() { defer func() { <-places }(); one(n) })
	}
	all.Wait()
	return slowest
}

func letIn(t *testing.T, p *process, person *symbolontest.Person) {
	status, header, body := p.get(t, p.publicURL+"/auth", "X-Session-Token", person.Token)
	if status != http.StatusOK || header.Get("X-User-Id") == "" {
		t.Errorf("a person who has just signed up is answered %d %s", status, body)
	}
}

// hints counts the jobs that follow hints.
func (w *world) hints(t *testing.T, where string) int {
	t.Helper()
	table := "river_job"
	if strings.HasPrefix(w.database, "postgres") {
		table = "symbolon_river.river_job"
	}
	return w.count(t, table+" where cast(args as text) like '%look%' and "+where)
}

func (w *world) count(t *testing.T, what string) (n int) {
	t.Helper()
	db, _ := openWorld(t, w.database)
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(t.Context(), "select count(*) from "+what).Scan(&n); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return n
}

// metric returns one value of /metrics. A missing metric is 0.
func (p *process) metric(t *testing.T, name string) (n int) {
	t.Helper()
	_, _, body := p.get(t, p.operatorURL+"/metrics")
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(value, &n); err != nil {
				t.Fatal(err)
			}
		}
	}
	return n
}
