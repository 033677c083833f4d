package session

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
)

// The floor is what no middleware can do without: a value in the request's context
// and one SHA-256 of the credential. "hot" is one session, "random" any of 10,000.
//
//	go test -run '^$' -bench Middleware -benchmem ./session

const crowd = 10_000

func cookieOf(n int) string { return fmt.Sprintf("%s%08d", aCookie[:420], n) }

func benchRequests(w *world, header, before string, value func(n int) string) []*http.Request {
	requests := make([]*http.Request, crowd)
	for n := range requests {
		_, s := w.person(n)
		v := value(n)
		w.sessions[v] = s
		requests[n] = httptest.NewRequest("GET", "/notes", nil)
		requests[n].Header.Set(header, before+v)
	}
	order := rand.New(rand.NewPCG(1, 2))
	order.Shuffle(crowd, func(a, b int) { requests[a], requests[b] = requests[b], requests[a] })
	return requests
}

var (
	somebody = &symbolon.Principal{}
	next     http.Handler // not a constant, so that nothing is inlined into the floor
)

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

func BenchmarkMiddleware(b *testing.B) {
	w := newWorld(b)
	w.v.MaxStale = 1 << 60 // nothing expires while it is measured
	var inside http.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, ok := symbolon.UserFrom(r.Context()); !ok {
			b.Error("nobody")
		}
	})
	next = inside
	kinds := []struct {
		name, header, before string
		value                func(int) string
	}{
		{"token", "X-Session-Token", "", func(n int) string { return fmt.Sprintf("ory_st_%032d", n) }},
		{"cookie", "Cookie", "ory_kratos_session=", cookieOf},
	}
	for _, kind := range kinds {
		requests := benchRequests(w, kind.header, kind.before, kind.value)
		h := w.v.Require(inside)
		floor := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			var room [512]byte
			sum := sha256.Sum256(append(room[:0], r.Header[kind.header][0][len(kind.before):]...))
			if sum[0] == 1 && sum[1] == 2 && sum[2] == 3 && sum[3] == 4 {
				b.Log("unlikely")
			}
			next.ServeHTTP(rw, r.WithContext(symbolon.WithPrincipal(r.Context(), somebody)))
		})
		for _, r := range requests {
			h.ServeHTTP(discard{http.Header{}}, r)
		}
		for _, spread := range []struct {
			name string
			n    int
		}{{"hot", 1}, {"random", crowd}} {
			for name, h := range map[string]http.Handler{"floor": floor, "require": h} {
				b.Run(kind.name+"/"+spread.name+"/"+name, func(b *testing.B) {
					rw := discard{http.Header{}}
					b.ReportAllocs()
					for i := 0; b.Loop(); i++ {
						h.ServeHTTP(rw, requests[i%spread.n])
					}
				})
			}
		}
	}
}

func BenchmarkForwardAuth(b *testing.B) {
	w := newWorld(b)
	w.v.MaxStale = 1 << 60
	token, _ := w.person(1)
	r := byToken(token)
	r.URL.Path = "/auth"
	h := &ForwardAuth{Verifier: w.v}
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(discard{http.Header{}}, r)
	}
}

func BenchmarkParallel(b *testing.B) {
	w := newWorld(b)
	w.v.MaxStale = 1 << 60
	requests := benchRequests(w, "X-Session-Token", "", func(n int) string { return fmt.Sprintf("ory_st_%032d", n) })
	for _, r := range requests {
		if _, err := w.v.Authenticate(r); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for i := rand.IntN(crowd); p.Next(); i++ {
			if _, err := w.v.Authenticate(requests[i%crowd]); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkHeld measures what a live session takes up: its answer, its place in the
// cache and what is known of it, for a million of them. Run it once:
//
//	go test -run '^$' -bench Held -benchtime 1x ./session
func BenchmarkHeld(b *testing.B) {
	const million = 1_000_000
	for b.Loop() {
		w := newWorld(b)
		w.v.MaxSessions, w.v.MaxStale = million, 1<<60
		if err := w.v.Check(); err != nil {
			b.Fatal(err)
		}
		_, s := w.person(1)
		w.set(func() { clear(w.sessions) })
		heap := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		for n := range million {
			// As it comes from Ory, without the transport, and each in strings of its own.
			s.id, s.identity = fmt.Sprintf("%08d-5e55-4000-8000-000000000000", n), fmt.Sprintf("%08d-1de0-4000-8000-000000000000", n)
			answer, err := ory.DecodeSession([]byte(s.json()))
			if err != nil {
				b.Fatal(err)
			}
			k := v256(n)
			e, err := w.v.admit(b.Context(), k, answer, w.v.moment())
			if err != nil {
				b.Fatal(err)
			}
			w.v.cache.Set(k, e)
		}
		w.v.cache.CleanUp()
		held := heap() - before
		b.ReportMetric(float64(held)/million, "bytes/session")
		b.ReportMetric(float64(w.v.Stats().Sessions), "sessions")
		b.ReportMetric(float64(w.v.Stats().Bytes)/million, "counted/session")
		if _, ok := w.v.cache.GetIfPresent(v256(million / 2)); !ok || w.v.Stats().Sessions < million*99/100 {
			b.Errorf("%d are held", w.v.Stats().Sessions)
		}
		w.v.Close()
	}
}

func v256(n int) key { return sha256.Sum256(fmt.Append(nil, n)) }
