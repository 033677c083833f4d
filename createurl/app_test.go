package createurl_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/createurl"
)

// application follows the contract: it verifies signatures with the reference library and
// creates one user for each webhook-id.
type application struct {
	*httptest.Server
	secret string
	pause  time.Duration // of each request

	mu     sync.Mutex
	users  map[string]string // by webhook-id
	byID   map[string]string // webhook-id by identity
	bodies []string
	faults []string
	now    map[string]int // number of running requests by identity
	all    int
	most   int
	posts  int
	answer func(n int) int // a status instead of the normal answer; 0: normal
}

func startApplication(t *testing.T) *application {
	a := &application{secret: createurl.DeriveSecrets([]symbolon.Secret{secret})[0],
		users: map[string]string{}, byID: map[string]string{}, now: map[string]int{}}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	hook, hookErr := standardwebhooks.NewWebhook(a.secret)
	if err = errors.Join(err, hookErr); err == nil {
		err = hook.Verify(body, r.Header)
	}
	var q struct {
		Identity string `json:"identity_id"`
	}
	if err := errors.Join(err, json.Unmarshal(body, &q)); err != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	defer a.enter(q.Identity, string(body))()
	time.Sleep(a.pause)
	status, user := a.make(r.Header.Get("webhook-id"), q.Identity)
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"id":%q}`, user)
}

func (a *application) enter(identity, body string) (leave func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.posts++
	a.bodies = append(a.bodies, body)
	a.all++
	a.now[identity]++
	a.most = max(a.most, a.all)
	if a.now[identity] > 1 {
		a.faults = append(a.faults, "two questions at once for "+identity)
	}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.all--
		a.now[identity]--
	}
}

func (a *application) make(message, identity string) (status int, user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.answer != nil {
		if status := a.answer(a.posts); status != 0 {
			return status, ""
		}
	}
	if before := a.byID[identity]; before != "" && before != message {
		a.faults = append(a.faults, "two messages for "+identity)
	}
	a.byID[identity] = message
	if user = a.users[message]; user != "" {
		return http.StatusConflict, user
	}
	user = fmt.Sprintf("u%d", len(a.users)+1)
	a.users[message] = user
	return http.StatusCreated, user
}

func (a *application) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.posts
}

// TestUnsigned checks that an application that follows the contract refuses a POST
// without a signature and creates no user.
func TestUnsigned(t *testing.T) {
	a := startApplication(t)
	c := &createurl.Client{URL: a.URL, Secrets: []string{a.secret}}
	defer c.Close()
	if status, err := c.Unsigned(t.Context()); status != http.StatusUnauthorized || err != nil || a.count() != 0 {
		t.Errorf("%d %v, %d questions", status, err, a.count())
	}
	a.Close()
	if status, err := c.Unsigned(t.Context()); status != 0 || !errors.Is(err, symbolon.ErrUnavailable) {
		t.Errorf("without a listener: %d %v", status, err)
	}
}

// TestCrowd has 16 workers in two processes that ask for every identity many times in any
// order. The application fails now and then. All callers get the same user for an
// identity, and a process never sends two requests for one identity at the same time.
func TestCrowd(t *testing.T) {
	identities, copies := 40, 8
	if os.Getenv("SYMBOLON_TORTURE") != "" {
		identities, copies = 1000, 16
	}
	for _, processes := range []int{1, 2} {
		t.Run(fmt.Sprint(processes), func(t *testing.T) {
			onBoth(t, func(t *testing.T, db database) {
				app := startApplication(t)
				app.pause = time.Millisecond
				app.answer = func(n int) int {
					if n%9 == 0 {
						return 500
					}
					return 0
				}
				var worlds []*world
				for range processes {
					worlds = append(worlds, newWorld(t, db, &createurl.Client{URL: app.URL, Concurrency: 5, Timeout: time.Minute}))
				}
				var work []int
				for n := range identities * copies {
					work = append(work, n%identities)
				}
				rand.Shuffle(len(work), func(i, j int) { work[i], work[j] = work[j], work[i] })
				var mu sync.Mutex
				users := map[symbolon.IdentityID]symbolon.UserID{}
				var wg sync.WaitGroup
				for k := range 16 {
					wg.Go(func() {
						for i := k; i < len(work); i += 16 {
							id := person(work[i])
							link, err := worlds[k%processes].link(t, id)
							for tries := 0; errors.Is(err, symbolon.ErrUnavailable) && tries < 50; tries++ {
								link, err = worlds[k%processes].link(t, id)
							}
							mu.Lock()
							if before := users[id.ID]; err != nil || before != "" && before != link.User {
								t.Errorf("%s: user %s, before %s, %v", id.ID, link.User, before, err)
							}
							users[id.ID] = link.User
							mu.Unlock()
						}
					})
				}
				wg.Wait()
				if len(app.users) != identities || len(users) != identities {
					t.Errorf("%d users at the application, %d here", len(app.users), len(users))
				}
				if app.most > 5*processes {
					t.Errorf("%d questions at once", app.most)
				}
				if processes == 1 && len(app.faults) > 0 {
					t.Errorf("%d faults: %s", len(app.faults), app.faults[0])
				}
			})
		})
	}
}

// TestRequest compares the request to the application byte for byte.
func TestRequest(t *testing.T) {
	db, app := open(t, "sqlite"), startApplication(t)
	w := newWorld(t, db, &createurl.Client{URL: app.URL, Columns: map[string]string{
		"email": "traits.email", "the name": "traits.name", "active": "active", "plan": "'free'", "n": "42",
		"missing": "traits.nothing", "default": "default(traits.nothing, 'x')", "big": "traits.big", "odd": "traits.odd"}})
	if _, err := w.link(t, person(7)); err != nil {
		t.Fatal(err)
	}
	const want = `{"identity_id":"1d000000-0000-4000-8000-000000000007","columns":{"active":true,"big":null,"default":"x",` +
		`"email":"person7@example.org","missing":null,"n":42,"odd":null,"plan":"free","the name":{"first":"Ada"}}}`
	if len(app.bodies) != 1 || app.bodies[0] != want {
		t.Errorf("sent %q", app.bodies)
	}
}

// TestMessage checks that webhook-id depends only on the identity and the project.
func TestMessage(t *testing.T) {
	db, app := open(t, "sqlite"), startApplication(t)
	app.answer = func(int) int { return 500 }
	for _, project := range []string{"", "default", "other"} {
		for n := range 3 {
			for range 2 {
				w := newWorld(t, db, &createurl.Client{URL: app.URL, Project: project, Columns: map[string]string{"x": fmt.Sprint(app.count())}})
				_, _ = w.link(t, person(n))
			}
		}
	}
	app.answer = nil
	ids := map[string]bool{}
	for _, project := range []string{"", "default", "other"} {
		for n := range 3 {
			c := &createurl.Client{URL: app.URL, Project: project, Secrets: createurl.DeriveSecrets([]symbolon.Secret{secret})}
			t.Cleanup(c.Close)
			user, err := c.Create(t.Context(), person(n))
			if err != nil {
				t.Fatal(err)
			}
			ids[string(user)] = true
		}
	}
	if len(ids) != 6 {
		t.Errorf("%d users for 3 identities in 2 projects: %v", len(ids), ids)
	}
}

// TestRotation checks that during a rotation an application accepts both secrets, and
// that an application with another secret creates no user.
func TestRotation(t *testing.T) {
	old, next, other := symbolon.Secret("a-0ld-one-J8vQ0zR5tXw9LmB4nYc7Hd"), secret, symbolon.Secret("an0ther-J8vQ0zR5tXw9LmB4nYc7HdF1")
	for i, s := range []symbolon.Secret{old, next, other} {
		app := startApplication(t)
		app.secret = createurl.DeriveSecrets([]symbolon.Secret{s})[0]
		c := &createurl.Client{URL: app.URL, Secrets: createurl.DeriveSecrets([]symbolon.Secret{next, old, other})}
		_, err := c.Create(t.Context(), person(i))
		c.Close()
		if known := i < 2; known != (err == nil) || known != (len(app.users) == 1) {
			t.Errorf("secret %d: %d users, %v", i, len(app.users), err)
		}
	}
}

// TestPatience checks that a denial is cached for a while, for the same request only.
func TestPatience(t *testing.T) {
	db, app := open(t, "sqlite"), startApplication(t)
	app.answer = func(int) int { return 422 }
	w := newWorld(t, db, &createurl.Client{URL: app.URL, Columns: map[string]string{"email": "traits.email"}, Patience: time.Hour})
	id := person(1)
	for round := 1; round <= 2; round++ {
		for range 5 {
			if _, err := w.link(t, id); !errors.Is(err, symbolon.ErrCannotCreate) {
				t.Fatal(err)
			}
		}
		if n := app.count(); n != round {
			t.Errorf("%d questions in round %d", n, round)
		}
		id.Traits = []byte(`{"email":"better@example.org"}`)
	}
}
