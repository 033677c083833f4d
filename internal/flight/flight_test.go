package flight

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// calls counts calls. Each call takes a second and returns its number.
type calls struct{ begun atomic.Int32 }

func (c *calls) call(context.Context) (int32, error) {
	n := c.begun.Add(1)
	time.Sleep(time.Second)
	return n, nil
}

// each runs f as n callers, which start 10 ms apart.
func each(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * 10 * time.Millisecond)
			f(i)
		})
	}
	wg.Wait()
}

func TestJoinSharesTheRunningCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, int32]
		var c calls
		each(16, func(i int) {
			if n, err := g.Join(t.Context(), "a", c.call); n != 1 || err != nil {
				t.Errorf("caller %d got call %d, %v", i, n, err)
			}
		})
		if n, err := g.Join(t.Context(), "a", c.call); n != 2 || err != nil {
			t.Errorf("a later caller got call %d, %v", n, err)
		}
		if g.Len() != 0 {
			t.Errorf("%d keys are left", g.Len())
		}
	})
}

func TestAfterNeverSharesACallThatBeganBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, int32]
		var c calls
		each(16, func(i int) {
			want := int32(2)
			if i == 0 {
				want = 1
			}
			if n, err := g.After(t.Context(), "a", c.call); n != want || err != nil {
				t.Errorf("caller %d got call %d, %v; want call %d", i, n, err, want)
			}
		})
		if n := c.begun.Load(); n != 2 || g.Len() != 0 {
			t.Errorf("%d calls for 16 callers, and %d keys are left", n, g.Len())
		}
	})
}

func TestKeysAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[int, int32]
		var c calls
		start := time.Now()
		each(4, func(i int) { _, _ = g.After(t.Context(), i, c.call) })
		if took := time.Since(start); c.begun.Load() != 4 || took > 1100*time.Millisecond {
			t.Errorf("%d calls for 4 keys took %v", c.begun.Load(), took)
		}
	})
}

func TestBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, int32]
		var c calls
		if g.Running("a") != nil {
			t.Error("a call runs before the first")
		}
		first, began := g.Begin("a", c.call)
		if second, again := g.Begin("a", c.call); !began || again || second != first || g.Running("a") != first || g.Len() != 1 {
			t.Error("a second call begins beside the first")
		}
		if n, err := first.Wait(t.Context()); n != 1 || err != nil || g.Running("a") != nil {
			t.Errorf("call %d, %v", n, err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if n, err := first.Wait(ended); n != 1 || err != nil {
			t.Errorf("a result that is there is not returned: %d, %v", n, err)
		}
	})
}

type valueKey struct{}

// TestACallerThatStopsWaiting checks that the call continues for the others, and does not
// see the end or the values of any caller's context.
func TestACallerThatStopsWaiting(t *testing.T) {
	for name, ask := range map[string]func(*Group[string, int], context.Context, func(context.Context) (int, error)) (int, error){
		"Join": func(g *Group[string, int], ctx context.Context, f func(context.Context) (int, error)) (int, error) {
			return g.Join(ctx, "a", f)
		},
		"After": func(g *Group[string, int], ctx context.Context, f func(context.Context) (int, error)) (int, error) {
			return g.After(ctx, "a", f)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g Group[string, int]
				f := func(ctx context.Context) (int, error) {
					time.Sleep(time.Second)
					if ctx.Value(valueKey{}) != nil {
						t.Error("the call sees a caller's values")
					}
					return 7, ctx.Err()
				}
				ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), valueKey{}, 1), 100*time.Millisecond)
				defer cancel()
				var wg sync.WaitGroup
				wg.Go(func() {
					if _, err := ask(&g, ctx, f); !errors.Is(err, ErrNoResult) || !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("the caller that stopped waiting: %v", err)
					}
				})
				synctest.Wait()
				if n, err := ask(&g, t.Context(), f); n != 7 || err != nil {
					t.Errorf("the caller that waited: %d, %v", n, err)
				}
				wg.Wait()
			})
		})
	}
}

func TestAFollowerBeginsThoughNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, int32]
		var c calls
		g.Begin("a", c.call)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := g.After(ended, "a", c.call); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := g.Drain(t.Context()); err != nil || c.begun.Load() != 2 {
			t.Errorf("%d calls, %v", c.begun.Load(), err)
		}
	})
}

// TestTimeout checks that the timeout starts when a call begins, also for a follower.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := Group[string, time.Duration]{Timeout: time.Second}
		f := func(ctx context.Context) (time.Duration, error) {
			start := time.Now()
			<-ctx.Done()
			return time.Since(start), ctx.Err()
		}
		each(3, func(i int) {
			took, err := g.After(t.Context(), "a", f)
			if took != time.Second || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNoResult) {
				t.Errorf("caller %d: %v after %v", i, err, took)
			}
		})
	})
}

// TestBrokenCalls checks that a panic, or the end of the goroutine, is an error for all
// callers that wait. The follower and later calls still run.
func TestBrokenCalls(t *testing.T) {
	for name, breaks := range map[string]func(){
		"a panic (*errors.errorString)":    func() { panic(errors.New("canary")) },
		"a panic (runtime.boundsError)":    func() { _ = make([]int, 1)[len(name(t))] },
		"the call ended its goroutine":     runtime.Goexit,
		"a panic (*runtime.PanicNilError)": func() { panic(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				g := Group[string, int]{Log: slog.New(slog.NewTextHandler(&log, nil))}
				f := func(context.Context) (int, error) {
					time.Sleep(time.Second)
					breaks()
					return 1, nil
				}
				each(3, func(i int) {
					n, err := g.After(t.Context(), "a", f)
					if n != 0 || !errors.Is(err, ErrNoResult) || !strings.HasSuffix(err.Error(), name) {
						t.Errorf("caller %d: %d, %v", i, n, err)
					}
				})
				if n, err := g.Join(t.Context(), "a", func(context.Context) (int, error) { return 2, nil }); n != 2 || err != nil {
					t.Errorf("a later call: %d, %v", n, err)
				}
				if panics := strings.HasPrefix(name, "a panic"); strings.Contains(log.String(), "canary") ||
					strings.Count(log.String(), "panic in a shared call") != map[bool]int{true: 2}[panics] || panics && !strings.Contains(log.String(), "flight_test.go") {
					t.Errorf("log: %s", &log)
				}
			})
		})
	}
}

func name(t *testing.T) string { return t.Name() }

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, int]
		started := 0
		f := func(ctx context.Context) (int, error) {
			started++
			<-ctx.Done()
			time.Sleep(time.Second) // as a database that rolls back
			return 1, ctx.Err()
		}
		refused := func(_ int, err error) {
			t.Helper()
			if !errors.Is(err, ErrNoResult) || !strings.Contains(err.Error(), "closed") {
				t.Error(err)
			}
		}
		var wg sync.WaitGroup
		first, _ := g.Begin("a", f)
		for range 2 {
			wg.Go(func() { refused(g.After(t.Context(), "a", f)) })
		}
		synctest.Wait()
		start := time.Now()
		wg.Go(g.Close) // two calls at once
		g.Close()
		if took := time.Since(start); took != time.Second {
			t.Errorf("Close took %v", took)
		}
		if n, err := first.Wait(t.Context()); n != 1 || !errors.Is(err, context.Canceled) {
			t.Errorf("the call that ran: %d, %v", n, err)
		}
		wg.Wait()
		refused(g.Join(t.Context(), "a", f))
		refused(g.After(t.Context(), "b", f))
		if _, began := g.Begin("c", f); began || started != 1 {
			t.Errorf("%d calls began", started)
		}
		g.Close()
	})
}

func TestCloseBeforeTheFirstCall(t *testing.T) {
	var g Group[string, int]
	g.Close()
	if _, err := g.Join(t.Context(), "a", func(context.Context) (int, error) { return 1, nil }); !errors.Is(err, ErrNoResult) {
		t.Error(err)
	}
}

// TestDrain checks that accepted calls and followers still run, and others are refused.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[string, int32]
		var c calls
		g.Begin("a", c.call)
		var wg sync.WaitGroup
		wg.Go(func() {
			if n, err := g.After(t.Context(), "a", c.call); n != 2 || err != nil {
				t.Errorf("the follower: %d, %v", n, err)
			}
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		if err := g.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) || c.begun.Load() != 2 {
			t.Errorf("too early: %v, %d calls", err, c.begun.Load())
		}
		if _, err := g.After(t.Context(), "a", c.call); !errors.Is(err, ErrNoResult) {
			t.Errorf("a new follower: %v", err)
		}
		if _, err := g.Join(t.Context(), "b", c.call); !errors.Is(err, ErrNoResult) {
			t.Errorf("a new call: %v", err)
		}
		if err := g.Drain(t.Context()); err != nil || g.Len() != 0 {
			t.Errorf("%v, and %d calls are left", err, g.Len())
		}
		wg.Wait()
		g.Close()
	})
}

// TestCrowd checks with many callers that a key never has two calls at a time. After
// returns no call that began before the caller came, and Join returns no result from
// before.
func TestCrowd(t *testing.T) {
	var g Group[int, int64]
	var clock atomic.Int64
	var running [3]atomic.Int32
	var returned [3]atomic.Int64
	call := func(key int) func(context.Context) (int64, error) {
		return func(context.Context) (int64, error) {
			begun := clock.Add(1)
			if running[key].Add(1) != 1 {
				t.Error("two calls of one key run at a time")
			}
			time.Sleep(rand.N(20 * time.Microsecond))
			running[key].Add(-1)
			return begun, nil
		}
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range 500 {
				key := rand.N(len(running))
				name, ask, before := "Join", g.Join, returned[key].Load()
				if i%2 == 0 {
					name, ask, before = "After", g.After, clock.Add(1)
				}
				begun, err := ask(t.Context(), key, call(key))
				if err != nil || begun <= before {
					t.Errorf("%s returned a call that began at %d, not after %d: %v", name, begun, before, err)
				}
				returned[key].Store(begun)
			}
		})
	}
	wg.Wait()
	if g.Close(); g.Len() != 0 {
		t.Errorf("%d keys are left", g.Len())
	}
}
