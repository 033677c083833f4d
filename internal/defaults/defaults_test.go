package defaults

import (
	"testing"
	"time"
)

func TestPositive(t *testing.T) {
	for v, want := range map[int]int{-1: 7, 0: 7, 1: 1, 9: 9} {
		if got := Positive(v, 7); got != want {
			t.Errorf("%d: %d, want %d", v, got, want)
		}
	}
}

func TestNow(t *testing.T) {
	then := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if got := Now(func() time.Time { return then }); got != then {
		t.Errorf("the clock says %v, want %v", then, got)
	}
	if got := Now(nil); time.Since(got) > time.Minute {
		t.Errorf("without a clock: %v", got)
	}
}
