package ory

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon/internal/wait"
)

// bucket is a kind of questions that share one of Ory Network's rate limits.
type bucket int

const (
	publicHigh  bucket = iota // whoami
	adminHigh                 // reading one identity
	adminMedium               // lists, sessions, look-ups by external_id
	adminLow                  // every write
	unlimited                 // health, version
	buckets
)

const (
	maxPause    = time.Minute // the longest window of Ory's limits
	shortPause  = time.Second // if Ory gives no time, or got too many questions at once
	pageRetries = 5           // how often a listing asks for one page again
)

// throttle stops all questions of a bucket for a while, after a 429 and after an answer
// that says that the limit is used up.
type throttle [buckets]wait.Pause

// wait returns a *RateLimited while the bucket pauses.
func (t *throttle) wait(b bucket) error {
	if left := t[b].Left(); left > 0 && b != unlimited {
		return &RateLimited{Reset: left}
	}
	return nil
}

// learn pauses the bucket for as long as an answer says. It returns a *RateLimited for a
// 429.
func (t *throttle) learn(b bucket, l Limit) error {
	if l.Pause > 0 {
		t[b].Extend(l.Pause)
	}
	if l.Refused {
		return &RateLimited{Reset: l.Pause}
	}
	return nil
}

// pauseFor returns for how long no further question may be sent, according to an answer.
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
	case counted && !empty: // the limit is not used up: there were only too many questions at once
		return min(max(reset, time.Millisecond), shortPause)
	}
	return min(max(reset, shortPause), maxPause)
}

func seconds(s string) (time.Duration, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	return time.Duration(n) * time.Second, err == nil
}
