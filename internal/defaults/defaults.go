// Package defaults returns default values for fields that are not set. For strings,
// pointers and similar types cmp.Or is enough.
package defaults

import (
	"cmp"
	"time"
)

// Positive returns v if v is positive, and fallback if it is not.
func Positive[T cmp.Ordered](v, fallback T) T {
	var zero T
	if v > zero {
		return v
	}
	return fallback
}

// Now returns the time of a clock. If clock is nil, it is time.Now.
func Now(clock func() time.Time) time.Time {
	if clock == nil {
		return time.Now()
	}
	return clock()
}
