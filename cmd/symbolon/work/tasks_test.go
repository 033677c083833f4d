package work

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/internal/chaos"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// TestBackReferenceSurvivesACrash stops the server that made the link before it writes
// the back-reference. The next server writes it once.
func TestBackReferenceSurvivesACrash(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		b := p.bond(fakeory.Config{}, link.WriteCreate, 1)
		id := b.identity(t, 1)
		bond, err := b.linker.Refresh(t.Context(), id, symbolon.FromOperator)
		if err != nil {
			t.Fatal(err)
		}
		if b.patches() != 0 {
			t.Fatal("the back-reference was written before the queue was started")
		}
		next := p.queue(nil, Own(b.linker, slog.New(slog.DiscardHandler))...)
		p.start(next)
		eventually(t, "the ledger has the back-reference", func() bool {
			r, err := b.linker.Record(t.Context(), string(id))
			return err == nil && r.Link.BackReference == string(bond.User)
		})
		eventually(t, "the job is done", func() bool { return p.count(`state = 'completed'`) == 1 })
		if n := b.patches(); n != 1 {
			t.Errorf("%d PATCHes, want 1", n)
		}
	})
}

// TestBackReferenceComesTooLate runs the job after the first minute. With create no
// request is sent to Ory. With repair the value is written when nobody has changed or
// used the identity for ten minutes. After a day it is a finding.
func TestBackReferenceComesTooLate(t *testing.T) {
	t.Parallel()
	for _, write := range []link.Write{link.WriteCreate, link.WriteRepair} {
		t.Run(string(write), func(t *testing.T) {
			onBoth(t, func(t *testing.T, p *place) {
				b := p.bond(fakeory.Config{Generation: fakeory.V26}, write, 1)
				var clock chaos.Clock
				b.linker.Now = clock.Now
				id := b.identity(t, 1)
				if _, err := b.linker.Refresh(t.Context(), id, symbolon.FromOperator); err != nil {
					t.Fatal(err)
				}
				b.ory.ForgetRequests()
				clock.Set(2 * time.Minute)
				p.start(b.queue)
				if write == link.WriteCreate {
					eventually(t, "the job is done", func() bool { return p.count(`state = 'completed'`) == 1 })
					if n := len(b.ory.Requests()); n != 0 {
						t.Errorf("Ory was asked %d times without need", n)
					}
					return
				}
				eventually(t, "the job waits", func() bool { return p.count(`state = 'scheduled'`) == 1 })
				clock.Set(11 * time.Minute)
				p.hurry()
				eventually(t, "the back-reference is written", func() bool { return b.patches() == 1 })
			})
		})
	}
}

// TestHintsComeFirst checks that a hint does not wait behind back-references that wait
// for their turn at Ory.
func TestHintsComeFirst(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		b := p.bond(fakeory.Config{}, link.WriteCreate, 1)
		var last symbolon.IdentityID
		for n := range 20 {
			last = b.identity(t, n)
			if _, err := b.linker.Refresh(t.Context(), last, symbolon.FromOperator); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.queue.Hint(t.Context(), last, symbolon.FromSyncHook); err != nil {
			t.Fatal(err)
		}
		followed := make(chan struct{})
		tasks := Own(b.linker, slog.New(slog.DiscardHandler))
		for n, task := range tasks {
			tasks[n].Do = func(ctx context.Context, job Job) error {
				if task.Name == Look {
					defer close(followed)
					return task.Do(ctx, job)
				}
				select {
				case <-followed:
				case <-ctx.Done():
					t.Error("the hint waited behind the back-references")
				}
				return task.Do(ctx, job)
			}
		}
		p.start(p.queue(nil, tasks...))
		eventually(t, "all jobs are done", func() bool { return p.count(`state <> 'completed'`) == 0 })
	})
}

// TestBackReferenceIsGivenUp checks that with repair an unwritten value is a finding
// after a day. A later write closes the finding.
func TestBackReferenceIsGivenUp(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		b := p.bond(fakeory.Config{Generation: fakeory.V26}, link.WriteRepair, 1)
		id := b.identity(t, 1)
		if _, err := b.linker.Refresh(t.Context(), id, symbolon.FromOperator); err != nil {
			t.Fatal(err)
		}
		repair := b.ory.Break(fakeory.Failing{Route: "PATCH /admin/identities/*", Status: 500})
		p.age(25 * time.Hour)
		p.start(b.queue)
		findings := func() (kinds []symbolon.FindingKind) {
			r, err := b.linker.Record(t.Context(), string(id))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range r.Findings {
				kinds = append(kinds, f.Kind)
			}
			return kinds
		}
		eventually(t, "there is a finding", func() bool { return len(findings()) == 1 && findings()[0] == symbolon.MissingBackReference })
		repair()
		b.linker.Now = func() time.Time { return time.Now().Add(time.Hour) }
		if wrote, err := b.linker.RepairBackReference(t.Context(), id); err != nil || wrote != link.WroteNow {
			t.Fatalf("%s, %v", wrote, err)
		}
		if len(findings()) != 0 {
			t.Errorf("open findings: %v", findings())
		}
	})
}

// deafened gets no answers from Ory after its first write.
type deafened struct {
	*ory.Client
	deaf bool
}

func (d *deafened) AddPublicMetadata(ctx context.Context, id symbolon.IdentityID, key, value string) (symbolon.Identity, error) {
	i, err := d.Client.AddPublicMetadata(ctx, id, key, value)
	d.deaf = true
	return i, err
}

func (d *deafened) Identity(ctx context.Context, id symbolon.IdentityID) (symbolon.Identity, error) {
	if d.deaf {
		return symbolon.Identity{}, symbolon.ErrUnavailable
	}
	return d.Client.Identity(ctx, id)
}

// TestBackReferenceUnanswered loses Ory's answer to the write, and then also cannot read
// the identity. The value is written once, and the ledger records it as soon as Ory
// answers.
func TestBackReferenceUnanswered(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p *place) {
		b := p.bond(fakeory.Config{}, link.WriteCreate, 1)
		for n, wrote := range []link.Wrote{link.WroteNow, link.Stands} {
			id, before := b.identity(t, n), b.patches()
			bond, err := b.linker.Refresh(t.Context(), id, symbolon.FromOperator)
			if err != nil {
				t.Fatal(err)
			}
			repair := b.ory.Break(fakeory.Dropped{Times: 1, Route: "PATCH /admin/identities/*", After: true})
			if wrote == link.Stands {
				b.linker.Ory = &deafened{Client: b.client}
				if wrote, err := b.linker.WriteBackReference(t.Context(), id); !errors.Is(err, symbolon.ErrUnavailable) {
					t.Errorf("unheard: %s, %v", wrote, err)
				}
				b.linker.Ory = b.client
			}
			if got, err := b.linker.WriteBackReference(t.Context(), id); err != nil || got != wrote {
				t.Errorf("%s, %v, want %s", got, err, wrote)
			}
			repair()
			if r, err := b.linker.Record(t.Context(), string(id)); err != nil || r.Link.BackReference != string(bond.User) {
				t.Errorf("%+v, %v", r.Link, err)
			}
			if n := b.patches() - before; n != 1 {
				t.Errorf("%d PATCHes", n)
			}
		}
	})
}

func (b *bond) patches() (n int) {
	for _, r := range b.ory.Requests() {
		if r.Method == http.MethodPatch {
			n++
		}
	}
	return n
}

// hurry wakes sleeping jobs.
func (p *place) hurry() {
	p.t.Helper()
	if _, err := p.app.ExecContext(p.t.Context(), `update `+p.river("river_job")+` set scheduled_at = created_at`); err != nil {
		p.t.Fatal(err)
	}
}

// age makes all jobs older.
func (p *place) age(d time.Duration) {
	p.t.Helper()
	old := time.Now().UTC().Add(-d).Format("2006-01-02 15:04:05.000")
	if _, err := p.app.ExecContext(p.t.Context(), `update `+p.river("river_job")+` set created_at = '`+old+`', scheduled_at = '`+old+`'`); err != nil {
		p.t.Fatal(err)
	}
}

// hookServer receives the hooks of a fake Ory.
func (b *bond) hookServer(t *testing.T) (*httptest.Server, func(http.Handler)) {
	var next atomic.Pointer[http.Handler]
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*next.Load()).ServeHTTP(w, r) }))
	t.Cleanup(s.Close)
	return s, func(h http.Handler) { next.Store(&h) }
}

// TestSignUpsFasterThanOryAllows has up to 5,000 sign-ups a minute at an Ory that answers
// 80 GETs of an identity a minute. No hook waits for Ory's next minute, and each person
// has a user at once. A reading that is not possible now is queued. Ory never answers
// 429, and a person's own request is answered. At full size each hook is answered within
// two seconds.
func TestSignUpsFasterThanOryAllows(t *testing.T) {
	t.Parallel()
	people, minute := torture(500, 5000), time.Duration(torture(6, 60))*time.Second
	patience, slow := time.Duration(torture(120, 2))*time.Second, time.Duration(torture(30, 2))*time.Second
	onBoth(t, func(t *testing.T, p *place) {
		var b *bond
		server, route := b.hookServer(t)
		var printed bytes.Buffer
		if err := (&hooks.Actions{URL: server.URL, Keys: hooks.DeriveKeys(secrets),
			Columns: map[string]string{"email": "traits.email"}}).WriteKratos(&printed); err != nil {
			t.Fatal(err)
		}
		fired, err := fakeory.HooksFromKratos(printed.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for n := range fired.Registration {
			fired.Registration[n].Ignore = false // so that the test notices a slow hook
		}
		b = p.bond(fakeory.Config{Network: true, Hooks: fired, Limits: fakeory.Limits{fakeory.AdminHigh: {PerSecond: 5, PerMinute: 80}}},
			link.WriteReserve, ory.DefaultLoad)
		outcomes := tally{}
		mux := http.NewServeMux()
		(&hooks.Handler{Linker: b.linker, Queue: b.queue.Hint, Timeout: patience, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
			Observe: func(_, outcome string) { outcomes.add(outcome) }}).Mount(mux)
		route(mux)
		p.start(b.queue)

		start := time.Now()
		slowest := b.signUpAll(t, people, minute)
		if took := time.Since(start); slowest > slow || torture(0, 1) == 1 && took > minute+minute/10 {
			t.Errorf("%d sign-ups took %s, the slowest %s", people, took, slowest)
		}
		if n := outcomes.of(hooks.Done) + outcomes.of(hooks.Queued); n != people || outcomes.of(hooks.Undetermined) != 0 {
			t.Errorf("of %d hooks: %v", people, outcomes.n)
		}
		var users int
		if err := p.app.QueryRowContext(t.Context(), `select count(distinct ory_identity_id) from symbolon_users where email is not null`).Scan(&users); err != nil || users != people {
			t.Errorf("%d users, %v; want %d", users, err, people)
		}
		if kept := p.count(`1 = 1`); kept < outcomes.of(hooks.Queued) {
			t.Errorf("%d jobs for %d hints", kept, outcomes.of(hooks.Queued))
		}
		person := b.identity(t, people)
		for range 3 {
			if _, err := b.client.Identity(t.Context(), person); err != nil {
				t.Errorf("a person's question: %v", err)
			}
		}
		for _, r := range b.ory.Requests() {
			if r.Status == http.StatusTooManyRequests {
				t.Fatalf("Ory answered 429 to %s %s", r.Method, r.Path)
			}
		}
		t.Logf("%d sign-ups: %v, slowest %s", people, outcomes.n, slowest)
	})
}

func (b *bond) signUpAll(t *testing.T, people int, within time.Duration) (slowest time.Duration) {
	var all sync.WaitGroup
	var mu sync.Mutex
	tick := time.NewTicker(within / time.Duration(people))
	defer tick.Stop()
	atOnce := make(chan struct{}, torture(4, 16)) // limits the load on a slow machine
	for n := range people {
		<-tick.C
		atOnce <- struct{}{}
		all.Go(func() {
			defer func() { <-atOnce }()
			start := time.Now()
			if _, err := b.ory.Register(context.Background(), fmt.Sprintf("p%d@example.org", n), "a-long-Enough-passw0rd", "Ann"); err != nil {
				t.Errorf("sign-up %d: %v", n, err)
			}
			mu.Lock()
			slowest = max(slowest, time.Since(start))
			mu.Unlock()
		})
	}
	all.Wait()
	return slowest
}

// TestHintsOutliveAnOutage sends hooks while Ory is down. Each is answered with 200. When
// Ory is back, a new server follows every hint.
func TestHintsOutliveAnOutage(t *testing.T) {
	t.Parallel()
	const people = 40
	onBoth(t, func(t *testing.T, p *place) {
		b := p.bond(fakeory.Config{}, link.WriteReserve, 1)
		h := &hooks.Handler{Linker: b.linker, Queue: b.queue.Hint, Log: slog.New(slog.DiscardHandler), Timeout: time.Minute}
		var ids []symbolon.IdentityID
		for n := range people {
			ids = append(ids, b.identity(t, n))
		}
		repair := b.ory.Break(fakeory.Failing{Route: "GET /admin/identities/*", Status: 503})
		for _, id := range ids {
			r := httptest.NewRequest(http.MethodPost, "/hooks/link", strings.NewReader(`{"identity_id":"`+string(id)+`"}`))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set(hooks.KeyHeader, hooks.DeriveKeys(secrets).Link[0])
			w := httptest.NewRecorder()
			h.Link().ServeHTTP(w, r)
			if w.Code != 200 || !strings.Contains(w.Body.String(), hooks.Queued) {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
		next := p.start(p.queue(nil, Own(b.linker, slog.New(slog.DiscardHandler))...))
		if err := next.Hint(t.Context(), ids[0], symbolon.FromSyncHook); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
		repair()
		eventually(t, "every identity has its user", func() bool {
			for _, id := range ids {
				r, err := b.linker.Record(t.Context(), string(id))
				if errors.Is(err, symbolon.ErrNotFound) || r.Link == nil || r.Link.State != symbolon.Linked {
					return false
				}
			}
			return true
		})
	})
}
