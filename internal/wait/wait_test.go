package wait

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFor(t *testing.T) {
	for _, c := range []struct {
		name          string
		end, d, takes time.Duration
		err           error
	}{
		{"the time is over first", time.Hour, time.Minute, time.Minute, nil},
		{"the context ends first", time.Minute, time.Hour, time.Minute, context.DeadlineExceeded},
		{"the context has ended", 0, time.Minute, 0, context.DeadlineExceeded},
		{"nothing to wait for", time.Minute, 0, 0, nil},
		{"a negative wait", time.Minute, -1, 0, nil},
		{"nothing to wait for, but the context has ended", 0, -1, 0, context.DeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.end)
				defer cancel()
				start := time.Now()
				if err := For(ctx, c.d); !errors.Is(err, c.err) || time.Since(start) != c.takes {
					t.Errorf("%v after %v", err, time.Since(start))
				}
			})
		})
	}
}

func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, done := time.Now(), make(chan struct{})
		time.AfterFunc(time.Minute, func() { close(done) })
		if Until(done, time.Second) || time.Since(start) != time.Second {
			t.Errorf("not closed: %v", time.Since(start))
		}
		if !Until(done, time.Hour) || time.Since(start) != time.Minute {
			t.Errorf("closed: %v", time.Since(start))
		}
		if !Until(done, time.Hour) || time.Since(start) != time.Minute {
			t.Errorf("closed before: %v", time.Since(start))
		}
		if Until(nil, time.Second) {
			t.Error("Until took a nil channel for closed")
		}
	})
}

func TestDetached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, end := context.WithCancel(context.Background())
		end()
		ctx, cancel := Detached(parent, time.Second)
		defer cancel()
		if err := ctx.Err(); err != nil {
			t.Errorf("at once: %v", err)
		}
		<-ctx.Done()
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("after a second: %v", ctx.Err())
		}
	})
}

func TestEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		start := time.Now()
		if !Ended(ctx, func() { time.Sleep(time.Second) }) || time.Since(start) != time.Second {
			t.Errorf("it ends before the context: %v", time.Since(start))
		}
		if Ended(ctx, func() { time.Sleep(time.Hour) }) || time.Since(start) != time.Minute {
			t.Errorf("it ends after the context: %v", time.Since(start))
		}
		time.Sleep(time.Hour) // the goroutine ends
	})
}
