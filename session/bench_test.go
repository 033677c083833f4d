package session

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/symbolon-id/symbolon"
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
	h := &ForwardAuth{w.v}
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
