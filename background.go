package symbolon

import (
	"context"
	"time"
)

type patienceKey struct{}

// Patience is how long a question of the background waits for its turn.
type Patience struct {
	For time.Duration

	// Done ends the wait, whoever shares the question: it is the Done of the context
	// that [Background] was given.
	Done <-chan struct{}
}

// Background marks what no person waits for: hints, schedules, repairs. Whoever asks
// Ory with it gets no more than the background's share of what Ory gives, so that
// people's requests always have the rest. Where its turn does not come within
// patience the error matches [ErrRateLimited], and nothing was asked.
func Background(ctx context.Context, patience time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, Patience{For: patience, Done: ctx.Done()})
}

// PatienceFrom returns how patient a question is; false: a person waits for it.
func PatienceFrom(ctx context.Context) (Patience, bool) {
	p, ok := ctx.Value(patienceKey{}).(Patience)
	return p, ok
}
