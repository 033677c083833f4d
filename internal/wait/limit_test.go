package wait

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
)

// limited is an error of Ory's rate limit with the time to wait.
type limited time.Duration

func (l limited) Error() string       { return "too many requests" }
func (l limited) Unwrap() error       { return symbolon.ErrRateLimited }
func (l limited) Wait() time.Duration { return time.Duration(l) }

func TestPastLimit(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []error
		most    int
		calls   int
		takes   time.Duration
		err     error
	}{
		{"no limit", []error{nil}, 5, 1, 0, nil},
		{"another error", []error{symbolon.ErrNotFound}, 5, 1, 0, symbolon.ErrNotFound},
		{"a limit with a time", []error{limited(time.Second * 7), nil}, 5, 2, 7 * time.Second, nil},
		{"a limit without a time", []error{symbolon.ErrRateLimited, nil}, 5, 2, time.Second, nil},
		{"a very long limit", []error{limited(time.Hour), nil}, 5, 2, time.Minute, nil},
		{"always limited", []error{limited(1), limited(1), limited(1)}, 3, 3, 2 * time.Millisecond, symbolon.ErrRateLimited},
		{"the context ends first", []error{limited(time.Minute), limited(time.Minute), limited(time.Minute)}, 5, 2, 90 * time.Second, symbolon.ErrRateLimited},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
				defer cancel()
				start, calls := time.Now(), 0
				got, err := PastLimit(ctx, c.most, func(context.Context) (int, error) {
					calls++
					return calls, c.answers[calls-1]
				})
				if got != c.calls || !errors.Is(err, c.err) || time.Since(start) != c.takes {
					t.Errorf("%d, %v after %v", got, err, time.Since(start))
				}
			})
		})
	}
}
