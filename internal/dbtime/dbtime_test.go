package dbtime

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestClock checks that the local clock only measures, whatever time it shows.
func TestClock(t *testing.T) {
	database := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for name, local := range map[string]time.Time{"ahead": database.Add(time.Hour), "behind": database.Add(-time.Hour)} {
		c, err := Read(t.Context(), func(context.Context) (time.Time, error) { return database, nil }, func() time.Time { return local })
		if err != nil || !c.Now().Equal(database) {
			t.Errorf("%s: %s, %v", name, c.Now(), err)
		}
		local = local.Add(time.Minute)
		if want := database.Add(time.Minute); !c.Now().Equal(want) {
			t.Errorf("%s, a minute later: %s", name, c.Now())
		}
	}
	silent := errors.New("no answer")
	if _, err := Read(t.Context(), func(context.Context) (time.Time, error) { return time.Time{}, silent }, time.Now); !errors.Is(err, silent) {
		t.Error(err)
	}
}
