package ory

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
)

// paced is an Ory for synctest. It answers after took, with limit in its header if limit
// is not 0.
type paced struct {
	took    time.Duration
	limit   int
	status  int
	asked   atomic.Int32
	current atomic.Int32
	most    atomic.Int32
}

const paceID = "0b5c1d3e-9f2a-4c6b-8e7d-1a2b3c4d5e6f"

func (p *paced) RoundTrip(r *http.Request) (*http.Response, error) {
	p.asked.Add(1)
	p.most.Store(max(p.most.Load(), p.current.Add(1)))
	defer p.current.Add(-1)
	time.Sleep(p.took)
	h := http.Header{"Content-Type": {"application/json"}}
	if p.limit > 0 {
		h.Set("X-Ratelimit-Limit", strconv.Itoa(p.limit))
	}
	status := p.status
	if status == 0 {
		status = 200
	}
	body := `{"id":"` + paceID + `","state":"active","created_at":"2026-01-01T00:00:00Z","schema_id":"default","traits":{}}`
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (p *paced) client(load float64) *Client {
	return &Client{PublicURL: "http://127.0.0.1:1", AdminURL: "http://127.0.0.1:1", Load: load, HTTP: &http.Client{Transport: p}}
}

func askBackground(ctx context.Context, c *Client, patience time.Duration) error {
	_, err := c.Identity(symbolon.Background(ctx, patience), paceID)
	return err
}

// TestBackgroundKeepsToItsShare checks that four callers that ask all the time get a
// tenth of Ory's limit, or of its time. Requests of people never wait.
func TestBackgroundKeepsToItsShare(t *testing.T) {
	for _, tt := range []struct {
		name     string
		took     time.Duration
		limit    int
		load     float64
		min, max int32 // per ten minutes
	}{
		{name: "limit", took: 10 * time.Millisecond, limit: 80, load: 0.1, min: 79, max: 84},
		{name: "half of a limit", took: 10 * time.Millisecond, limit: 80, load: 0.5, min: 398, max: 404},
		{name: "time", took: 100 * time.Millisecond, load: 0.1, min: 590, max: 601},
		{name: "time of a slow Ory", took: time.Second, load: 0.1, min: 59, max: 61},
		{name: "all of the time", took: time.Second, load: 1, min: 599, max: 601},
		{name: "the default", took: 100 * time.Millisecond, min: 590, max: 601},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ory := &paced{took: tt.took, limit: tt.limit}
				c := ory.client(tt.load)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				var all sync.WaitGroup
				for range 4 {
					all.Go(func() {
						for ctx.Err() == nil {
							if err := askBackground(ctx, c, time.Hour); err != nil && ctx.Err() == nil {
								t.Error(err)
							}
						}
					})
				}
				all.Wait()
				if n := ory.asked.Load(); n < tt.min || n > tt.max || ory.most.Load() != 1 {
					t.Errorf("asked %d times in ten minutes, %d at once; want %d to %d, one by one", n, ory.most.Load(), tt.min, tt.max)
				}
				start := time.Now()
				for range 50 {
					if _, err := c.Identity(t.Context(), paceID); err != nil {
						t.Error(err)
					}
				}
				if waited := time.Since(start) - 50*tt.took; waited > 0 {
					t.Errorf("people waited %s", waited)
				}
			})
		})
	}
}

// TestBackgroundIsPatient checks that a caller without patience gets the time that it
// would have to wait, and Ory is not asked. A caller whose context ends stops at once,
// also if the question has another context.
func TestBackgroundIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ory := &paced{took: time.Second}
		c := ory.client(0.1)
		if err := askBackground(t.Context(), c, 0); err != nil {
			t.Fatal(err)
		}
		var limited *RateLimited
		if err := askBackground(t.Context(), c, 8*time.Second); !errors.As(err, &limited) || limited.Reset != 9*time.Second ||
			!errors.Is(err, symbolon.ErrRateLimited) || !errors.Is(err, symbolon.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(2*time.Second, cancel)
		start := time.Now()
		hidden := context.WithoutCancel(symbolon.Background(ctx, time.Minute))
		if _, err := c.Identity(hidden, paceID); !errors.Is(err, symbolon.ErrUnavailable) || time.Since(start) != 2*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		if n := ory.asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		if err := askBackground(t.Context(), c, 10*time.Second); err != nil {
			t.Error(err)
		}
	})
}

// TestLimitOfA429IsIgnored ignores the limit in a 429, because it may belong to another
// window.
func TestLimitOfA429IsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ory := &paced{limit: 5, status: 429}
		c := ory.client(0.1)
		if err := askBackground(t.Context(), c, 0); !errors.Is(err, symbolon.ErrRateLimited) {
			t.Fatal(err)
		}
		ory.status, ory.limit = 200, 0
		for range 20 {
			if err := askBackground(t.Context(), c, 2*time.Second); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestNewestSignIn decodes lists of an identity's sessions as Kratos writes them.
func TestNewestSignIn(t *testing.T) {
	for _, tt := range []struct {
		body, want string
		bad        bool
	}{
		{body: `[]`, want: "0001-01-01T00:00:00Z"},
		{body: `null`, bad: true},
		{body: `[{"authenticated_at":"2026-01-02T03:04:05Z"},{"authenticated_at":"2026-01-03T03:04:05.5Z"},{"authenticated_at":"2025-01-01T00:00:00Z"}]`,
			want: "2026-01-03T03:04:05.5Z"},
		{body: `[{"id":"x"}]`, bad: true},
		{body: `{}`, bad: true},
		{body: `[`, bad: true},
		{body: `[{"authenticated_at":"soon"}]`, bad: true},
	} {
		got, err := newestSignIn([]byte(tt.body))
		if (err != nil) != tt.bad || err == nil && got.Format(time.RFC3339Nano) != tt.want {
			t.Errorf("%s: %s, %v", tt.body, got, err)
		}
	}
}
