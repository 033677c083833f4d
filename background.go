package symbolon

import (
	"context"
	"time"
)

// Patience is how long a question to Ory waits for the background's share of Ory's rate.
type Patience struct {
	For time.Duration

	// Done ends the wait, even if the question is shared and has a context of its own. It
	// is the Done of the context that [Background] got.
	Done <-chan struct{}
}

type patienceKey struct{}

// Background marks work that no person waits for: hints, schedules, repairs. Its
// questions to Ory get only the background's share of Ory's rate, so that people's
// requests always have the rest. If a question gets no turn within patience, its error
// matches [ErrRateLimited], and Ory was not asked.
func Background(ctx context.Context, patience time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, Patience{For: patience, Done: ctx.Done()})
}

// PatienceFrom returns the patience of a question. It returns false if a person waits.
func PatienceFrom(ctx context.Context) (Patience, bool) {
	p, ok := ctx.Value(patienceKey{}).(Patience)
	return p, ok
}
