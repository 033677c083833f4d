package ory

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Limit is what one answer of Ory said about the rate limit of its kind of request.
type Limit struct {
	PerSecond, PerMinute int // 0: the answer does not say it

	// Remaining is the rest of the current minute's limit, and Reset the time until this
	// minute ends. Remaining is -1 if the answer does not say it.
	Remaining int
	Reset     time.Duration

	Refused bool          // the answer was 429
	Pause   time.Duration // no request of this kind is sent for this time
}

type limitKey struct{}

// WithLimit returns a context for one request of a [Client]. When the request has ended, l
// holds what its answer said about the rate limit. If no answer came, l is not changed.
func WithLimit(ctx context.Context, l *Limit) context.Context {
	return context.WithValue(ctx, limitKey{}, l)
}

// report tells the caller of a request about the rate limit.
func report(ctx context.Context, told Limit) {
	if l, ok := ctx.Value(limitKey{}).(*Limit); ok {
		*l = told
	}
}

// limitOf reads the headers of an answer. Ory Network sends the limit that is nearest to its
// end, and then the limit of each window:
//
//	x-ratelimit-limit: 10, 10;w=1, 300;w=60
//	x-ratelimit-remaining: 8
//	x-ratelimit-reset: 1
//
// The other two headers are about the first limit of the list. If the list has no windows,
// the first limit is taken as requests per minute, unless its reset is so near that it may be
// the limit of a second.
func limitOf(status int, h http.Header) Limit {
	first, windows := 0, map[string]int{}
	for n, item := range strings.Split(h.Get("X-Ratelimit-Limit"), ",") {
		number, params, _ := strings.Cut(item, ";")
		most, err := strconv.ParseInt(strings.TrimSpace(number), 10, 32)
		if err != nil || most <= 0 {
			continue
		}
		if n == 0 {
			first = int(most)
		}
		for param := range strings.SplitSeq(params, ";") {
			if w, is := strings.CutPrefix(strings.TrimSpace(param), "w="); is {
				windows[w] = int(most)
			}
		}
	}
	l := Limit{PerSecond: windows["1"], PerMinute: windows["60"], Remaining: -1, Refused: status == http.StatusTooManyRequests, Pause: pauseFor(status, h)}
	left, counted := seconds(h.Get("X-Ratelimit-Remaining"))
	reset, known := seconds(h.Get("X-Ratelimit-Reset"))
	short := known && reset <= 2*time.Second
	if len(windows) == 0 && !l.Refused && !short { // a 429 may tell the limit of another window
		l.PerMinute = first
	}
	if counted && known && first > 0 && first == l.PerMinute && first != l.PerSecond {
		l.Remaining, l.Reset = int(left/time.Second), min(reset, maxPause)
	}
	return l
}
