// Package defaults gives the values of fields that were left out. For strings, pointers and
// the like cmp.Or is enough.
package defaults

import (
	"cmp"
	"time"
)

// Positive returns v, or otherwise if v is not positive.
func Positive[T cmp.Ordered](v, otherwise T) T {
	var zero T
	if v > zero {
		return v
	}
	return otherwise
}

// Now returns the time of a clock. The clock nil is time.Now.
func Now(clock func() time.Time) time.Time {
	if clock == nil {
		return time.Now()
	}
	return clock()
}
