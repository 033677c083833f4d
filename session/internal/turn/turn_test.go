package turn

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// limiter is an Ory that counts questions in windows of a second and of a minute.
type limiter struct {
	perSecond, perMinute int
	silent               bool // it announces nothing, not even with a 429
	plain                bool // it announces the minute's limit only, with what remains

	start              time.Time
	second, minute     int64 // numbers of the windows
	inSecond, inMinute int
	sent, refused      int
}

func (o *limiter) ask() (a Announcement) {
	now := time.Since(o.start)
	if s := int64(now / time.Second); s != o.second {
		o.second, o.inSecond = s, 0
	}
	if m := int64(now / time.Minute); m != o.minute {
		o.minute, o.inMinute = m, 0
	}
	o.sent++
	left := func(window time.Duration) time.Duration {
		return time.Duration(math.Ceil((window - now%window).Seconds())) * time.Second
	}
	a = Announcement{PerSecond: o.perSecond, PerMinute: o.perMinute, Remaining: -1}
	switch {
	case o.inMinute >= o.perMinute:
		a.Refused, a.Pause = true, left(time.Minute)
	case o.perSecond > 0 && o.inSecond >= o.perSecond:
		a.Refused, a.Pause = true, time.Second
	default:
		o.inSecond++
		o.inMinute++
	}
	switch rest := o.perMinute - o.inMinute; {
	case a.Refused:
		o.refused++
	case o.plain || o.perSecond == 0 || rest < o.perSecond-o.inSecond:
		a.Remaining, a.Reset = rest, left(time.Minute)
	}
	if o.plain {
		a.PerSecond = 0
	}
	if o.silent {
		a = Announcement{Remaining: -1, Refused: a.Refused}
		if a.Refused {
			a.Pause = time.Second
		}
	}
	return a
}

// source sends questions at random times.
type source struct {
	name      string
	known     bool
	addresses int
	perSecond float64
	useless   bool // Ory does not accept the credentials
	burst     int  // so many at once, with pauses between
}

// simulation has clients at an Ory, in virtual time.
type simulation struct {
	ory    *limiter
	lines  []*Line // each gets the questions of all sources
	length time.Duration
	after  time.Duration // earlier questions are not counted
	mu     sync.Mutex
	got    map[string]outcome
}

// run runs the simulation and logs what became of the questions.
func (s *simulation) run(t *testing.T, sources ...source) map[string]outcome {
	t.Helper()
	s.got = map[string]outcome{}
	synctest.Test(t, func(*testing.T) {
		s.ory.start = time.Now()
		var wg sync.WaitGroup
		for at, l := range s.lines {
			for n, from := range sources {
				rnd := rand.New(rand.NewPCG(uint64(at), uint64(n)))
				pause := float64(max(1, from.burst)) / from.perSecond * float64(time.Second)
				count := 0
				for now := time.Duration(0); now < s.length; now += time.Duration(rnd.ExpFloat64() * pause) {
					for range max(1, from.burst) {
						count++
						who := count % max(1, from.addresses)
						address := netip.AddrFrom4([4]byte{10, byte(n), byte(who >> 8), byte(who)})
						wg.Add(1)
						time.AfterFunc(now, func() {
							defer wg.Done()
							asked, answered := s.ask(l, from, address)
							s.count(from.name, now, asked, answered)
						})
					}
				}
			}
		}
		wg.Wait()
	})
	for _, from := range sources {
		t.Logf("%s: %.4f of %d answered, %d got 429", from.name, s.got[from.name].share(), s.got[from.name].sent, s.got[from.name].refused)
	}
	t.Logf("%d questions of %d allowed", s.ory.sent-s.ory.refused, int(s.length.Minutes()*float64(s.ory.perMinute)))
	return s.got
}

// ask sends a question when it is its turn, and again after a 429.
func (s *simulation) ask(l *Line, from source, address netip.Addr) (asked, answered bool) {
	for began := time.Now(); !answered && time.Since(began) < Patience; {
		turn, err := l.Wait(context.Background(), Who{Known: from.known, Address: address})
		if err != nil {
			return asked, false
		}
		s.mu.Lock()
		a := s.ory.ask()
		s.mu.Unlock()
		time.Sleep(30 * time.Millisecond)
		result := Useful
		switch {
		case a.Refused:
			result = Unanswered
		case from.useless:
			result = Useless
		}
		l.Done(turn, result, a)
		asked, answered = true, !a.Refused
	}
	return asked, answered
}

func (s *simulation) count(name string, at time.Duration, asked, answered bool) {
	if at < s.after {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.got[name]
	sum.sent++
	switch {
	case answered:
		sum.answered++
	case asked:
		sum.refused++
	}
	s.got[name] = sum
}

type outcome struct{ sent, answered, refused int }

func (o outcome) share() float64 { return float64(o.answered) / float64(max(1, o.sent)) }

// network is Ory Network's limit of whoami for a Production project. plain: the header has
// the limit of a minute only.
func network(plain bool) *limiter {
	if plain {
		return &limiter{perMinute: 1400, plain: true}
	}
	return &limiter{perSecond: 57, perMinute: 1400}
}

// TestReplicas has two replicas use one limit, and each gets junk. Neither knows about the
// other one until the limit of a minute is used up.
func TestReplicas(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("plain %t", plain), func(t *testing.T) {
			s := &simulation{ory: network(plain), lines: []*Line{{}, {}}, length: 6 * time.Minute, after: time.Minute}
			people := s.run(t, source{name: "people", known: true, perSecond: 4}, source{name: "junk", addresses: 1, perSecond: 30, useless: true})["people"]
			if people.share() < 0.995 {
				t.Errorf("%.4f of the people", people.share())
			}
		})
	}
}

// TestLearned has an Ory that announces no limit.
func TestLearned(t *testing.T) {
	for _, perSecond := range []int{25, 200} {
		o := &limiter{perSecond: perSecond, perMinute: 60 * perSecond, silent: true}
		s := &simulation{ory: o, lines: []*Line{{}}, length: 4 * time.Minute}
		people := s.run(t, source{name: "people", known: true, perSecond: 10}, source{name: "junk", addresses: 1, perSecond: 60, useless: true})["people"]
		if people.share() < 0.99 {
			t.Errorf("%d a second: %.4f of the people", perSecond, people.share())
		}
	}
}

// TestShares checks who is served at a limit of 1,400 questions a minute.
func TestShares(t *testing.T) {
	const length = 2 * time.Minute
	for _, tt := range []struct {
		name    string
		sources []source
		least   map[string]float64 // of the questions of a source
		used    float64            // of the limit
	}{
		{"nobody waits", []source{{name: "people", known: true, perSecond: 10}, {name: "new", addresses: 500, perSecond: 5}},
			map[string]float64{"people": 1, "new": 1}, 0},
		{"only known ones", []source{{name: "people", known: true, perSecond: 50}}, map[string]float64{"people": 0.43}, 0.95},
		{"only new ones", []source{{name: "new", addresses: 5000, perSecond: 50}}, map[string]float64{"new": 0.43}, 0.95},
		{"both need more", []source{{name: "people", known: true, perSecond: 50}, {name: "new", addresses: 5000, perSecond: 50}},
			map[string]float64{"people": 0.75 * 0.43, "new": 0.25 * 0.43}, 0.95},
		{"known ones need three quarters", []source{{name: "people", known: true, perSecond: 16}, {name: "junk", addresses: 1, perSecond: 100, useless: true}},
			map[string]float64{"people": 1}, 0.95},
		{"known ones come in bursts", []source{{name: "people", known: true, perSecond: 8, burst: 20}, {name: "junk", addresses: 1, perSecond: 100, useless: true}},
			map[string]float64{"people": 1}, 0.95},
		{"junk from one address", []source{{name: "people", known: true, perSecond: 15}, {name: "new", addresses: 2000, perSecond: 4}, {name: "junk", addresses: 1, perSecond: 100, useless: true}},
			map[string]float64{"people": 1, "new": 1}, 0.95},
		{"junk from one address, nobody is known", []source{{name: "new", addresses: 2000, perSecond: 20}, {name: "junk", addresses: 1, perSecond: 150, useless: true}},
			map[string]float64{"new": 0.99}, 0.95},
		{"junk from a thousand addresses", []source{{name: "people", known: true, perSecond: 10}, {name: "new", addresses: 2000, perSecond: 4}, {name: "junk", addresses: 1000, perSecond: 60, useless: true}},
			map[string]float64{"people": 1, "new": 0.5}, 0.95},
		{"two addresses", []source{{name: "one", addresses: 1, perSecond: 40}, {name: "other", addresses: 1, perSecond: 20}},
			map[string]float64{"one": 0.28, "other": 0.56}, 0.95},
	} {
		for _, plain := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, plain %t", tt.name, plain), func(t *testing.T) {
				s := &simulation{ory: network(plain), lines: []*Line{{}}, length: length}
				got := s.run(t, tt.sources...)
				for name, least := range tt.least {
					if got[name].share() < least*0.99 {
						t.Errorf("%s: %.4f, wanted %.4f", name, got[name].share(), least)
					}
				}
				if used := float64(s.ory.sent-s.ory.refused) / (length.Minutes() * float64(s.ory.perMinute)); used < tt.used {
					t.Errorf("%.4f of the limit was used", used)
				}
			})
		}
	}
}

// TestForget checks that a 429 without a reason limits nobody for long.
func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Line{}
		ask := func(a Announcement) {
			turn, err := l.Wait(t.Context(), Who{Known: false, Address: netip.Addr{}})
			if err != nil {
				t.Fatal(err)
			}
			l.Done(turn, Useless, a)
		}
		ask(Announcement{Refused: true, Pause: time.Second, Remaining: -1})
		time.Sleep(forget)
		ask(Announcement{Remaining: -1})
		time.Sleep(forget)
		began := time.Now()
		for range 10_000 {
			ask(Announcement{Remaining: -1})
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("10,000 questions took %s", took)
		}
	})
}

// TestLineIsBounded checks that a client with endless questions loses its own, and that a
// client that gives up leaves nothing behind.
func TestLineIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Line{}
		first, err := l.Wait(t.Context(), Who{Known: false, Address: netip.Addr{}})
		if err != nil {
			t.Fatal(err)
		}
		l.Done(first, Useful, Announcement{PerMinute: 6, Remaining: 0, Reset: time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var dropped [2]atomic.Int32
		wait := func(n int, address string, known bool) {
			wg.Go(func() {
				if _, err := l.Wait(ctx, Who{Known: known, Address: netip.MustParseAddr(address)}); !errors.Is(err, ErrLimited) {
					t.Errorf("%v", err)
				}
				if ctx.Err() == nil {
					dropped[n].Add(1)
				}
			})
			synctest.Wait()
		}
		for range maxWaiting {
			wait(0, "192.0.2.1", false)
		}
		for n := range 50 {
			wait(1, fmt.Sprintf("192.0.2.%d", 2+n), false)
		}
		for range maxWaiting + 5 {
			wait(1, "192.0.2.1", true)
		}
		if dropped[0].Load() != 50 || dropped[1].Load() != 5 {
			t.Errorf("%d of the one client and %d of the others were dropped", dropped[0].Load(), dropped[1].Load())
		}
		cancel()
		wg.Wait()
		if o := l.order; o.others != 0 || len(o.clients)+len(o.of)+len(o.known) != 0 || l.flying != 0 {
			t.Errorf("left behind: %d, %d, %d, %d, %d", o.others, len(o.clients), len(o.of), len(o.known), l.flying)
		}
		if n := l.Refused(); n.Others != 50+maxWaiting || n.Known != 5+maxWaiting {
			t.Errorf("%+v", n)
		}
	})
}

// TestWastedIsBounded counts turns for nothing of more addresses than there is room for.
func TestWastedIsBounded(t *testing.T) {
	var w wasted
	a := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}) }
	for n := range 5 * maxAddresses {
		w.add(0, a(n), 1)
	}
	if len(w.young) > maxAddresses || len(w.old) > maxAddresses {
		t.Errorf("%d and %d addresses", len(w.young), len(w.old))
	}
	last := a(5*maxAddresses - 1)
	for _, tt := range []struct {
		after time.Duration
		count int
	}{{0, 1}, {wastedFor, 1}, {3 * wastedFor, 0}} {
		if n := w.of(tt.after, last); n != tt.count {
			t.Errorf("after %s: %d", tt.after, n)
		}
	}
	w.add(3*wastedFor, last, 1)
	w.clear(last)
	if n := w.of(3*wastedFor, last); n != 0 {
		t.Errorf("after it was useful: %d", n)
	}
}

// TestPause checks that nobody waits for a pause that is longer than Patience, and that a
// shorter one is waited for.
func TestPause(t *testing.T) {
	for pause, wants := range map[time.Duration]time.Duration{time.Second: time.Second, 30 * time.Second: 0} {
		synctest.Test(t, func(t *testing.T) {
			l := &Line{}
			first, _ := l.Wait(t.Context(), Who{Known: true, Address: netip.Addr{}})
			l.Done(first, Unanswered, Announcement{Refused: true, Pause: pause, Remaining: -1})
			began := time.Now()
			_, err := l.Wait(t.Context(), Who{Known: true, Address: netip.Addr{}})
			if (err == nil) != (pause <= Patience) || time.Since(began).Round(time.Second) != wants {
				t.Errorf("%s: %v after %s", pause, err, time.Since(began))
			}
		})
	}
}

func TestClient(t *testing.T) {
	for address, want := range map[string]string{"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "fe80::1%eth0": "fe80::"} {
		if got := Client(netip.MustParseAddr(address)); got != netip.MustParseAddr(want) {
			t.Errorf("%s: %s", address, got)
		}
	}
	if Client(netip.Addr{}).IsValid() {
		t.Error("no address became one")
	}
}
