package session

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
)

// The baseline is the work of every middleware: a value in the request's context and one
// SHA-256 of the credential. "hot" is one session, "random" any of 10,000.
//
// 	go test -run '^$' -bench Middleware -benchmem ./session

const crowd = 10_000

func cookieOf(n int) string { return fmt.Sprintf("%s%08d", aCookie[:420], n) }

func benchRequests(w *world, header, before string, value func(n int) string) []*http.Request {
	requests := make([]*http.Request, crowd)
	for n := range requests {
		_, s := w.person(n)
		v := value(n)
		w.shows(s, v)
		requests[n] = httptest.NewRequest("GET", "/notes", nil)
		requests[n].Header.Set(header, before+v)
	}
	order := rand.New(rand.NewPCG(1, 2))
	order.Shuffle(crowd, func(a, b int) { requests[a], requests[b] = requests[b], requests[a] })
	return requests
}

var (
	somebody = &symbolon.Principal{}
	next     http.Handler // a variable, so that the compiler does not inline the baseline
)

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkMiddleware measures the baseline and Require in turns of some milliseconds, so
// that other load on the machine affects both. It reports the medians of both times and
// of their ratio in each turn.
func BenchmarkMiddleware(b *testing.B) {
	w := newWorld(b)
	w.v.MaxStale = 1 << 60 // nothing expires during the measurement
	var inside http.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, ok := symbolon.UserFrom(r.Context()); !ok {
			b.Error("no user")
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
		require := w.v.Require(inside)
		floor := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			var room [512]byte
			sum := sha256.Sum256(append(room[:0], r.Header[kind.header][0][len(kind.before):]...))
			if sum[0] == 1 && sum[1] == 2 && sum[2] == 3 && sum[3] == 4 {
				b.Log("unlikely")
			}
			next.ServeHTTP(rw, r.WithContext(symbolon.WithPrincipal(r.Context(), somebody)))
		})
		for _, r := range requests {
			require.ServeHTTP(discard{http.Header{}}, r)
		}
		b.Run(kind.name+"/hot", func(b *testing.B) { takeTurns(b, floor, require, requests[:1]) })
		b.Run(kind.name+"/random", func(b *testing.B) { takeTurns(b, floor, require, requests) })
	}
}

func takeTurns(b *testing.B, floor, require http.Handler, requests []*http.Request) {
	rw := discard{http.Header{}}
	turn := func(h http.Handler) float64 {
		began := time.Now()
		for i := range crowd {
			h.ServeHTTP(rw, requests[i%len(requests)])
		}
		return float64(time.Since(began)) / crowd
	}
	var floors, ours, ratios []float64
	for b.Loop() {
		f, o := turn(floor), turn(require)
		floors, ours, ratios = append(floors, f), append(ours, o), append(ratios, o/f)
	}
	b.ReportMetric(median(floors), "ns/floor")
	b.ReportMetric(median(ours), "ns/require")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(testing.AllocsPerRun(1000, func() { require.ServeHTTP(rw, requests[0]) }), "allocs/require")
	b.ReportMetric(0, "ns/op") // hidden, because it would be the sum of both
}

func median(of []float64) float64 { return slices.Sorted(slices.Values(of))[len(of)/2] }

// BenchmarkContention runs four goroutines per core over 10,000 sessions. It reports the
// share of time that they waited for locks of this package and of Go's runtime.
func BenchmarkContention(b *testing.B) {
	requests, w := benchCached(b)
	defer runtime.SetMutexProfileFraction(runtime.SetMutexProfileFraction(1))
	before := waits(b)
	benchParallel(b, w, requests)
	after := waits(b)
	all := b.Elapsed().Seconds() * float64(runtime.GOMAXPROCS(0)) / 100
	var waited, runtimes float64
	for lock := range after {
		after[lock] -= before[lock]
		if strings.HasPrefix(lock, "runtime.") {
			runtimes += after[lock]
			continue
		}
		waited += after[lock]
		if after[lock] > 0 {
			b.Logf("waited for: %.4f %% of the time: %s", after[lock]/all, lock)
		}
	}
	b.ReportMetric(waited/all, "%waited")
	b.ReportMetric(runtimes/all, "%runtime")
}

// waits reads the mutex profile: the seconds waited, by the functions that unlocked.
func waits(b *testing.B) map[string]float64 {
	var text bytes.Buffer
	if err := pprof.Lookup("mutex").WriteTo(&text, 1); err != nil {
		b.Fatal(err)
	}
	out := map[string]float64{}
	var perSecond, waited float64
	var where []string
	keep := func() {
		if where != nil {
			out[strings.Join(where[:min(len(where), 4)], " < ")] += waited / perSecond
		}
		where = nil
	}
	for line := range strings.Lines(text.String()) {
		var count int
		if n, _ := fmt.Sscanf(line, "cycles/second=%f", &perSecond); n == 1 {
			continue
		}
		if n, _ := fmt.Sscanf(line, "%f %d @", &waited, &count); n == 2 {
			keep()
			where = []string{}
		} else if f := strings.Fields(line); len(f) > 2 && f[0] == "#" {
			name, _, _ := strings.Cut(f[2], "+0x")
			where = append(where, name[strings.LastIndex(name, "/")+1:])
		}
	}
	keep()
	return out
}

func BenchmarkParallel(b *testing.B) {
	requests, w := benchCached(b)
	benchParallel(b, w, requests)
}

// benchCached returns a verifier that has cached all sessions.
func benchCached(b *testing.B) ([]*http.Request, *world) {
	w := newWorld(b)
	w.v.MaxStale = 1 << 60
	requests := benchRequests(w, "X-Session-Token", "", func(n int) string { return fmt.Sprintf("ory_st_%032d", n) })
	for _, r := range requests {
		if _, err := w.v.Authenticate(r); err != nil {
			b.Fatal(err)
		}
	}
	return requests, w
}

func benchParallel(b *testing.B, w *world, requests []*http.Request) {
	b.ReportAllocs()
	b.SetParallelism(4)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for i := rand.IntN(crowd); p.Next(); i++ {
			if _, err := w.v.Authenticate(requests[i%crowd]); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkHeld measures the memory of a live session for a million sessions: its answer,
// its cache entry and its remembered credential. Run it once:
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
		text := w.json(s)
		w.set(func() { s.deleted = true })
		heap := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before := heap()
		for n := range million {
			// The answer as Ory sends it, without the transport. Each session has its own
			// strings.
			own := strings.Replace(text, s.id, fmt.Sprintf("%08d-5e55-4000-8000-000000000000", n), 1)
			answer, err := ory.DecodeSession([]byte(strings.Replace(own, s.identity, fmt.Sprintf("%08d-1de0-4000-8000-000000000000", n), 1)))
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
