package createurl

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxRest bounds what an application may ask for: people are waiting.
const maxRest = time.Minute

// rest is the time for which the application asked to be left alone.
type rest struct {
	mu    sync.Mutex
	until time.Time
}

func (r *rest) left() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Until(r.until)
}

// begin obeys Retry-After, a number of seconds or a date.
func (r *rest) begin(h http.Header, otherwise time.Duration) {
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
		return min(time.Duration(n)*time.Second, maxRest)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), maxRest)
	}
	return otherwise
}
