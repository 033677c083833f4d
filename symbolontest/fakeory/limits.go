package fakeory

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bucket is a rate limit counter of Ory Network. Several endpoints share one.
type Bucket string

const (
	AdminLow    Bucket = "kratos-admin-low"    // writes of identities, deletes of sessions
	AdminMedium Bucket = "kratos-admin-medium" // listings, look-ups by external_id, sessions
	AdminHigh   Bucket = "kratos-admin-high"   // GET of one identity
	PublicHigh  Bucket = "kratos-public-high"  // whoami
	PublicLow   Bucket = "kratos-public-low"   // submits of login, registration and settings
)

// Limit is the number of requests that a bucket allows. 0 means no limit.
type Limit struct{ PerSecond, PerMinute int }

// Limits are the limits of a project. A missing bucket has no limit.
type Limits map[Bucket]Limit

// ProductionLimits are the limits of a Production project in its production environment,
// from the table that Ory published in June 2026.
func ProductionLimits() Limits {
	return Limits{AdminLow: {8, 175}, AdminMedium: {5, 90}, AdminHigh: {5, 80}, PublicHigh: {57, 1400}, PublicLow: {5, 60}}
}

// limiter counts requests in windows of a second and a minute. It also refuses a write of an
// identity while another write of this identity is under way, and a create or an import while
// another one is under way.
type limiter struct {
	mu      sync.Mutex
	limits  Limits
	windows map[Bucket]*window
	writing map[string]bool
}

type window struct {
	second, minute     time.Time
	inSecond, inMinute int
}

func bucketOf(r *http.Request) Bucket {
	p, read := r.URL.Path, r.Method == http.MethodGet
	switch {
	case p == "/sessions/whoami":
		return PublicHigh
	case strings.HasPrefix(p, "/self-service/") && r.Method == http.MethodPost:
		return PublicLow
	case !strings.HasPrefix(p, "/admin/identities") && !strings.HasPrefix(p, "/admin/sessions"):
		return ""
	case !read:
		return AdminLow
	case strings.Count(p, "/") == 3 && strings.HasPrefix(p, "/admin/identities/"):
		return AdminHigh
	}
	return AdminMedium
}

// admit either answers 429, or lets a request in. The caller calls done after the
// request.
func (l *limiter) admit(network bool, r *http.Request) (refused *answer, done func()) {
	if !network {
		return nil, func() {}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.count(bucketOf(r)); a != nil {
		return a, nil
	}
	key := ""
	switch p := r.URL.Path; {
	case r.Method == http.MethodGet:
	case p == "/admin/identities":
		key = "project"
	case strings.HasPrefix(p, "/admin/identities/") && strings.Count(p, "/") == 3:
		key = p
	}
	if key == "" {
		return nil, func() {}
	}
	if l.writing[key] {
		a := tooMany(1, 1, time.Second)
		return &a, nil
	}
	if l.writing == nil {
		l.writing = map[string]bool{}
	}
	l.writing[key] = true
	return nil, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.writing, key)
	}
}

// count counts a request. The caller holds the lock.
func (l *limiter) count(b Bucket) *answer {
	limit, ok := l.limits[b]
	if !ok {
		return nil
	}
	w := l.window(b)
	for _, x := range w.rest(limit) {
		if x.most > 0 && x.used >= x.most {
			a := tooMany(x.most, 0, time.Until(x.end))
			a.header.Set("X-Ratelimit-Limit", announced(x.most, limit))
			return &a
		}
	}
	w.inSecond++
	w.inMinute++
	return nil
}

// rest is what each window has used.
type rest struct {
	used, most int
	end        time.Time
}

func (w *window) rest(limit Limit) [2]rest {
	return [2]rest{{w.inSecond, limit.PerSecond, w.second.Add(time.Second)}, {w.inMinute, limit.PerMinute, w.minute.Add(time.Minute)}}
}

// announced is Ory Network's x-ratelimit-limit: the limit that is nearest to its end, then
// the limit of each window.
func announced(nearest int, limit Limit) string {
	s := strconv.Itoa(nearest)
	if limit.PerSecond > 0 {
		s += ", " + strconv.Itoa(limit.PerSecond) + ";w=1"
	}
	if limit.PerMinute > 0 {
		s += ", " + strconv.Itoa(limit.PerMinute) + ";w=60"
	}
	return s
}

func (l *limiter) window(b Bucket) *window {
	if l.windows == nil {
		l.windows = map[Bucket]*window{}
	}
	w := l.windows[b]
	if w == nil {
		w = &window{}
		l.windows[b] = w
	}
	t := time.Now()
	if t.Sub(w.second) >= time.Second {
		w.second, w.inSecond = t, 0
	}
	if t.Sub(w.minute) >= time.Minute {
		w.minute, w.inMinute = t, 0
	}
	return w
}

// mark adds Ory Network's headers, about the window that is nearest to its limit.
func (l *limiter) mark(r *http.Request, a *answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := bucketOf(r)
	limit, ok := l.limits[b]
	if !ok || limit.PerMinute == 0 || a.header == nil {
		return
	}
	w := l.window(b).rest(limit)
	near := w[1]
	if second := w[0]; second.most > 0 && second.most-second.used < near.most-near.used {
		near = second
	}
	limitHeaders(a.header, near.most, near.most-near.used, time.Until(near.end))
	a.header.Set("X-Ratelimit-Limit", announced(near.most, limit))
}

// tooMany is a 429. Ory documents only the status and the headers, so the body is
// invented.
func tooMany(limit, remaining int, reset time.Duration) answer {
	a := failed(http.StatusTooManyRequests, errorBody{Message: "The request was rate limited"})
	limitHeaders(a.header, limit, remaining, reset)
	return a
}

func limitHeaders(h http.Header, limit, remaining int, reset time.Duration) {
	h.Set("X-Ratelimit-Limit", strconv.Itoa(limit))
	h.Set("X-Ratelimit-Remaining", strconv.Itoa(max(0, remaining)))
	h.Set("X-Ratelimit-Reset", strconv.Itoa(int(math.Ceil(max(0, reset.Seconds())))))
}

// lieOnPage applies a HostileListing to a page.
func (o *Ory) lieOnPage(r *http.Request, a answer) answer {
	if r.Method != http.MethodGet || r.URL.Path != "/admin/identities" || a.status != http.StatusOK {
		return a
	}
	f, _, ok := strikes(o, func(HostileListing) bool { return true })
	if !ok {
		return a
	}
	first, _, _ := strings.Cut(a.header.Get("Link"), ",")
	switch f.Kind {
	case EmptyPage:
		a.body = []byte("[]\n")
		a.header.Set("Link", first)
	case NoLink:
		a.header.Del("Link")
	case LoopLink:
		q := r.URL.Query()
		if !q.Has("page_token") {
			q.Set("page_token", nilUUID)
		}
		target := (&url.URL{Path: r.URL.Path, RawQuery: q.Encode()}).String()
		a.header.Set("Link", first+",<"+target+`>; rel="next"`)
	case LostRows:
		var rows []json.RawMessage
		if json.Unmarshal(a.body, &rows) == nil {
			a.body = encode(rows[:len(rows)/2])
		}
	case CutPage:
		a.cut = len(a.body) / 2
	}
	return a
}
