// Package wait has pauses that end early when their caller gives up.
package wait

import (
	"context"
	"time"
)

// For waits for d. If ctx has ended or ends first, it returns the error of ctx.
func For(ctx context.Context, d time.Duration) error {
	if ctx.Err() == nil {
		Until(ctx.Done(), d)
	}
	return ctx.Err()
}

// Until waits until done is closed, but at most for d, and reports whether it was closed.
func Until(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// Ended calls f in a goroutine and reports whether it ends before ctx does. Otherwise the
// goroutine goes on.
func Ended(ctx context.Context, f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// Detached returns a context that ends d after the call, even if ctx has ended. It is for
// cleaning up after work that ctx may have cancelled. It keeps the values of ctx.
func Detached(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), d)
}
