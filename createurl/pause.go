package createurl

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxPause limits the pause that an application may ask for, because people are waiting.
const maxPause = time.Minute

// pause is the time during which the application asked for no requests.
type pause struct {
	mu    sync.Mutex
	until time.Time
}

func (r *pause) left() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Until(r.until)
}

// begin starts the pause that Retry-After asks for, as a number of seconds or a date.
func (r *pause) begin(h http.Header, otherwise time.Duration) {
	until := time.Now().Add(retryAfter(h.Get("Retry-After"), time.Now(), otherwise))
	r.mu.Lock()
	defer r.mu.Unlock()
	if until.After(r.until) {
		r.until = until
	}
}

func retryAfter(text string, now time.Time, otherwise time.Duration) time.Duration {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxPause)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), maxPause)
	}
	return otherwise
}
