package createurl

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxPause limits the pause that an application may ask for, because people are waiting.
const maxPause = time.Minute

// retryAfter reads a header Retry-After: a number of seconds or a date.
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
