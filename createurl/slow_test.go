package createurl_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/createurl"
)

// slowly is a slow application in a synctest bubble.
type slowly struct {
	pause time.Duration
	rest  string // the Retry-After of the 429 to the first request
	deny  bool

	mu    sync.Mutex
	posts int
}

func (s *slowly) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.posts++
	n := s.posts
	s.mu.Unlock()
	select {
	case <-time.After(s.pause):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	out := &http.Response{StatusCode: http.StatusCreated, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(fmt.Sprintf(`{"id":"u%d"}`, n))), Request: r}
	if n == 1 && s.rest != "" {
		out.StatusCode = http.StatusTooManyRequests
		out.Header.Set("Retry-After", s.rest)
	}
	if s.deny {
		out.StatusCode = http.StatusForbidden
	}
	return out, nil
}

func (s *slowly) client() *createurl.Client {
	return &createurl.Client{URL: "http://127.0.0.1:3000/", HTTP: &http.Client{Transport: s}, Secrets: createurl.DeriveSecrets([]symbolon.Secret{secret})}
}

// TestPauseAfter429 checks that no request is sent until Retry-After has passed.
func TestPauseAfter429(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := &slowly{rest: "3"}
		outcomes := map[string]int{}
		c := app.client()
		c.Observe = func(o string) { outcomes[o]++ }
		defer c.Close()
		start, tries := time.Now(), 0
		for ; ; tries++ {
			_, err := c.Create(t.Context(), person(tries%3))
			if err == nil {
				break
			}
			if !errors.Is(err, symbolon.ErrUnavailable) || tries > 3 {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(start); took != 3*time.Second || app.posts != 2 || tries != 3 {
			t.Errorf("%d questions in %v, after %d tries", app.posts, took, tries)
		}
		if outcomes[createurl.Limited] != tries || outcomes[createurl.Created] != 1 {
			t.Errorf("outcomes %v", outcomes)
		}
	})
}

// TestCallerLeaves checks that the request continues for the other callers if one caller
// gives up, and that no caller waits longer than the timeout.
func TestCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := &slowly{pause: 400 * time.Millisecond}
		c := app.client()
		c.Concurrency, c.Timeout = 1, time.Second
		defer c.Close()
		ctx, cancel := timeout(t, 50*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.Create(ctx, person(1)); !errors.Is(err, symbolon.ErrUnavailable) {
				t.Errorf("the caller that gave up: %v", err)
			}
		})
		time.Sleep(20 * time.Millisecond)
		if user, err := c.Create(t.Context(), person(1)); err != nil || user != "u1" {
			t.Errorf("the caller that stayed: %q, %v", user, err)
		}
		wg.Wait()
		if app.posts != 1 {
			t.Errorf("%d questions", app.posts)
		}
		// Three requests wait in a queue, and the last one is too late.
		errs, began := make([]error, 3), time.Now()
		for i := range errs {
			wg.Go(func() { _, errs[i] = c.Create(t.Context(), person(10+i)) })
		}
		wg.Wait()
		late := 0
		for _, err := range errs {
			if err != nil {
				late++
			}
		}
		if late != 1 || time.Since(began) != time.Second {
			t.Errorf("%d of 3 came too late, after %s: %v", late, time.Since(began), errs)
		}
	})
}

// TestClose checks that Close cancels the running requests.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := &slowly{pause: time.Second}
		c := app.client()
		done := make(chan error, 1)
		go func() {
			_, err := c.Create(t.Context(), person(1))
			done <- err
		}()
		synctest.Wait()
		start := time.Now()
		c.Close()
		if err := <-done; !errors.Is(err, symbolon.ErrUnavailable) || app.posts != 1 || time.Since(start) > 0 {
			t.Errorf("%v after %v, %d questions", err, time.Since(start), app.posts)
		}
	})
}

// TestOneQuestionForAnIdentity checks that callers share a running request, also if the
// person's data has changed. A user is not cached. A denial is cached until the request
// differs.
func TestOneQuestionForAnIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := &slowly{pause: time.Second}
		c := app.client()
		c.Columns, c.Patience = map[string]string{"email": "traits.email"}, time.Minute
		defer c.Close()
		changed := person(1)
		changed.Traits = []byte(`{"email":"better@example.org"}`)
		asked := func(want int, ids ...symbolon.Identity) {
			t.Helper()
			users := make([]symbolon.UserID, len(ids))
			errs := make([]error, len(ids))
			var wg sync.WaitGroup
			for i, id := range ids {
				wg.Go(func() { users[i], errs[i] = c.Create(t.Context(), id) })
				time.Sleep(time.Millisecond)
			}
			if wg.Wait(); app.posts != want {
				t.Errorf("%d questions, want %d", app.posts, want)
			}
			for i := range ids {
				if users[i] != users[0] || errors.Is(errs[i], symbolon.ErrCannotCreate) != app.deny {
					t.Errorf("%q and %q, %v", users[0], users[i], errs[i])
				}
			}
		}
		asked(1, person(1), changed, person(1))
		asked(2, person(1))
		app.deny = true
		asked(3, person(1), changed)
		asked(3, person(1), person(1))
		asked(4, changed)
		asked(4, changed)
		time.Sleep(time.Minute)
		asked(5, changed)
		app.deny = false
		asked(6, person(1)) // a different request, so the cached denial is dropped
		asked(7, changed)
	})
}

// TestPanic checks that a panic in the caller's transport is "don't know", and that later
// requests are sent.
func TestPanic(t *testing.T) {
	app := &slowly{}
	c := app.client()
	c.Concurrency = 1
	panics := true
	c.HTTP = &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		if panics {
			panic("canary")
		}
		return app.RoundTrip(r)
	})}
	defer c.Close()
	if _, err := c.Create(t.Context(), person(1)); !errors.Is(err, symbolon.ErrUnavailable) || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
	panics = false
	if user, err := c.Create(t.Context(), person(1)); err != nil || user != "u1" {
		t.Errorf("afterwards %q, %v", user, err)
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
