package ory

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// bucket names questions that share one of Ory Network's rate limits.
type bucket int

const (
	publicHigh  bucket = iota // whoami
	adminHigh                 // one identity
	adminMedium               // lists, sessions, look-ups by external_id
	adminLow                  // every write
	unlimited                 // health, version
	buckets
)

const (
	maxPause    = time.Minute // the longest window of Ory's limits
	shortPause  = time.Second // no word on how long, or only too many at once
	pageRetries = 5           // how often a listing waits for one page
)

// throttle keeps all callers from asking in vain: after a 429, and after an answer
// that says nothing is left, the whole bucket pauses.
type throttle struct {
	mu    sync.Mutex
	until [buckets]time.Time
}

// wait returns a *RateLimited while the bucket pauses.
func (t *throttle) wait(b bucket) error {
	if left := t.left(b); left > 0 && b != unlimited {
		return &RateLimited{Reset: left}
	}
	return nil
}

// left is how long the bucket pauses still.
func (t *throttle) left(b bucket) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Until(t.until[b])
}

// note reads what an answer says about its bucket's limit.
func (t *throttle) note(b bucket, status int, h http.Header) error {
	pause := pauseFor(status, h)
	if pause <= 0 {
		return nil
	}
	t.mu.Lock()
	if until := time.Now().Add(pause); until.After(t.until[b]) {
		t.until[b] = until
	}
	t.mu.Unlock()
	if status == http.StatusTooManyRequests {
		return &RateLimited{Reset: pause}
	}
	return nil
}

func pauseFor(status int, h http.Header) time.Duration {
	reset, known := seconds(h.Get("X-Ratelimit-Reset"))
	left, counted := seconds(h.Get("X-Ratelimit-Remaining"))
	empty := counted && left == 0
	if status != http.StatusTooManyRequests {
		if empty && known {
			return min(reset, maxPause)
		}
		return 0
	}
	if !known {
		reset, known = seconds(h.Get("Retry-After"))
	}
	switch {
	case !known:
		return shortPause
	case counted && !empty: // something is left: too many at once, no more than that
		return min(max(reset, time.Millisecond), shortPause)
	}
	return min(max(reset, shortPause), maxPause)
}

func seconds(s string) (time.Duration, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	return time.Duration(n) * time.Second, err == nil
}
