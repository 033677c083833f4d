// Package wait waits for a time, and no longer than its caller wants.
package wait

import (
	"context"
	"time"
)

// For waits for d. If ctx ends first, or has ended before, its error is returned.
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

// Detached returns a context that outlives ctx by d at most: for cleaning up after work
// that ctx may have ended. It keeps the values of ctx, and d counts from the call.
func Detached(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), d)
}
