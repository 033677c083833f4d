package session

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// newLimitedWorld is a world whose Ory is an Ory Network with a rate limit.
func newLimitedWorld(t testing.TB, limits fakeory.Limits) *world {
	w := newWorld(t)
	w.Ory = fakeory.Start(t, fakeory.Config{InMemory: true, Network: true, Limits: limits})
	w.latency = 20 * time.Millisecond
	return w
}

// tally counts the requests of one kind, and how many got the right answer.
type tally struct {
	mu          sync.Mutex
	sent, right int
}

func (n *tally) count(want int, w *world, r *http.Request) {
	status, _ := w.ask(r)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sent++; status == want {
		n.right++
	}
}

func (n *tally) share() float64 { return float64(n.right) / float64(max(1, n.sent)) }

// every calls f at random times, on average once in each interval, until the end.
func every(wg *sync.WaitGroup, rnd *rand.Rand, interval, end time.Duration, f func(n int)) {
	for n, at := 0, time.Duration(0); ; n++ {
		at += time.Duration(rnd.ExpFloat64() * float64(interval))
		if at > end {
			return
		}
		wg.Add(1)
		time.AfterFunc(at, func() { defer wg.Done(); f(n) })
	}
}

// from returns a request of the client with this number.
func from(client int, token string) *http.Request {
	r := byToken(token)
	r.RemoteAddr = fmt.Sprintf("[2001:db8:0:%x::1]:80", client)
	return r
}

// TestJunkLeavesTheRate sends 30 made-up tokens a second to a Verifier whose Ory allows 1,400
// questions a minute. People who are signed in send a request every two seconds. Every half
// second somebody new comes, and every second somebody with a session that has ended.
func TestJunkLeavesTheRate(t *testing.T) {
	for _, tt := range []struct {
		name              string
		addresses         int // of the junk; 0: each token has its own
		people            int
		known, new, ended float64 // how many of them get the right answer
	}{
		{"one address", 1, 60, 0.999, 0.95, 0.95},
		{"a thousand addresses", 1000, 60, 0.999, 0.5, 0},
		{"an address for each token", 0, 60, 0.999, 0, 0},
		{"nobody is signed in", 1, 0, 0, 0.95, 0.95},
		{"people need three quarters", 1, 125, 0.999, 0.95, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newLimitedWorld(t, nil)
				rnd := rand.New(rand.NewPCG(7, uint64(tt.people)))
				const end = 2 * time.Minute
				var wg sync.WaitGroup
				var people, newcomers, ended, junk tally
				for n := range tt.people {
					token, _ := w.person(n)
					time.Sleep(50 * time.Millisecond)
					w.ask(byToken(token))
					every(&wg, rnd, 2*time.Second, end, func(int) { people.count(200, w, byToken(token)) })
				}
				every(&wg, rnd, time.Second/2, end, func(n int) {
					token, _ := w.person(1000 + n)
					newcomers.count(200, w, from(n, token))
				})
				every(&wg, rnd, time.Second, end, func(n int) { ended.count(401, w, from(10_000+n, fmt.Sprintf("ory_st_ended%d", n))) })
				every(&wg, rnd, time.Second/30, end, func(n int) {
					at := 20_000 + n
					if tt.addresses > 0 {
						at = 20_000 + n%tt.addresses
					}
					junk.count(200, w, from(at, fmt.Sprintf("ory_st_junk%d", n)))
				})
				wg.Wait()
				t.Logf("right answers: %.4f for %d requests of people, %.4f of %d newcomers, %.4f of %d with an ended session; %v",
					people.share(), people.sent, newcomers.share(), newcomers.sent, ended.share(), ended.sent, w.asked)
				if people.share() < tt.known || newcomers.share() < tt.new || ended.share() < tt.ended || junk.right > 0 {
					t.Errorf("wanted %.3f of the people, %.2f of the newcomers and %.2f of those whose session has ended", tt.known, tt.new, tt.ended)
				}
				if most := int(end.Minutes()+1) * 90 / 2; w.times("probe") > most {
					t.Errorf("proofs took %d questions of the admin API; the rest of its limit is for others", w.times("probe"))
				}
			})
		})
	}
}

// TestRestartServesLogins checks that a verifier that knows nobody serves logins at Ory's
// full rate.
func TestRestartServesLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLimitedWorld(t, nil)
		rnd := rand.New(rand.NewPCG(7, 7))
		var wg sync.WaitGroup
		var logins tally
		for n := range 50 {
			token, _ := w.person(10_000 + n)
			wg.Go(func() { logins.count(200, w, from(n, token)) }) // all at once
		}
		every(&wg, rnd, time.Minute/1250, 3*time.Minute, func(n int) {
			token, _ := w.person(n)
			logins.count(200, w, from(n%30, token)) // all from few addresses
		})
		wg.Wait()
		if logins.share() < 0.99 {
			t.Errorf("%.4f of %d logins", logins.share(), logins.sent)
		}
	})
}

// TestEndedIsNotKnown checks that a session has no part in what is kept for known ones after
// its end was proved.
func TestEndedIsNotKnown(t *testing.T) {
	w := newWorld(t)
	w.v.MaxStale = time.Nanosecond
	token, s := w.person(1)
	k := key{}
	for n, known := range []bool{true, false} {
		w.ask(byToken(token))
		if k = w.v.key(credOf(w, s)); w.v.known.has(k) != known {
			t.Errorf("question %d: known is not %t", n+1, known)
		}
		w.set(func() { s.active = false })
	}
	if id, ok := w.v.known.recall(k); !ok || id != (sessionID{}) {
		t.Error("the proof was forgotten")
	}
}

// TestOrigin reads the client's address from requests.
func TestOrigin(t *testing.T) {
	v := &Verifier{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
	for _, tt := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"a client", "192.0.2.1:80", nil, "192.0.2.1"},
		{"a client that forges", "192.0.2.1:80", []string{"198.51.100.1"}, "192.0.2.1"},
		{"a proxy", "10.0.0.1:80", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a proxy, and a client that forges", "10.0.0.1:80", []string{"203.0.113.5, 198.51.100.1"}, "198.51.100.1"},
		{"two headers", "10.0.0.1:80", []string{"203.0.113.5", "198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "[::1]:80", []string{"203.0.113.5,198.51.100.1 , 10.3.4.5"}, "198.51.100.1"},
		{"only proxies", "10.0.0.1:80", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"with a port", "10.0.0.1:80", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"IPv6", "10.0.0.1:80", []string{"2001:db8:1:2:3::4"}, "2001:db8:1:2:3::4"},
		{"IPv6 with a port", "10.0.0.1:80", []string{"[2001:db8:1:2:3::4]:1"}, "2001:db8:1:2:3::4"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:80", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"no header", "10.0.0.1:80", nil, "10.0.0.1"},
		{"nonsense", "10.0.0.1:80", []string{"198.51.100.1, unknown"}, "10.0.0.1"},
		{"nonsense before a proxy", "10.0.0.1:80", []string{"unknown, 10.0.0.2"}, "10.0.0.2"},
		{"too many proxies", "10.0.0.1:80", []string{"198.51.100.1" + strings.Repeat(", 10.0.0.2", maxHops)}, "10.0.0.2"},
		{"a socket without addresses", "@", []string{"198.51.100.1"}, "invalid IP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := request()
			r.RemoteAddr, r.Header["X-Forwarded-For"] = tt.peer, tt.forwarded
			if got := v.origin(r).String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	v.ClientAddress = func(context.Context) netip.Addr { return netip.MustParseAddr("2001:db8::9") }
	if got := addressIn(v.withOrigin(t.Context(), nil)).String(); got != "2001:db8::" {
		t.Errorf("without a request: %s", got)
	}
}
