package wait

import (
	"context"
	"errors"
	"time"

	"github.com/symbolon-id/symbolon"
)

// limitError is an error of Ory's rate limit that says how long to wait.
type limitError interface {
	error
	Wait() time.Duration
}

// PastLimit calls ask. If Ory's rate limit is reached, it waits as long as the error says
// and calls ask again. It makes at most maxCalls calls in all. If ctx ends first, it
// returns the last result.
func PastLimit[T any](ctx context.Context, maxCalls int, ask func(context.Context) (T, error)) (T, error) {
	for calls := 1; ; calls++ {
		v, err := ask(ctx)
		if !errors.Is(err, symbolon.ErrRateLimited) || calls == maxCalls {
			return v, err
		}
		pause := time.Second
		if limited, ok := errors.AsType[limitError](err); ok {
			pause = min(max(limited.Wait(), time.Millisecond), time.Minute)
		}
		if For(ctx, pause) != nil {
			return v, err
		}
	}
}
