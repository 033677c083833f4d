package server

import (
	"context"
	"database/sql"
	"maps"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/internal/chaos"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// battered is a crowd whose servers, database and Ory have faults.
type battered struct {
	*crowd
	t       *testing.T
	rnd     *rand.Rand
	longest time.Duration // of a fault

	db      *sql.DB // past every relay
	path    string  // the file on SQLite
	disk    *chaos.Disk
	toDB    []*chaos.Relay // one for each server on Postgres
	toOry   []*chaos.Relay // the public API, the admin API
	spared  bool           // the servers are not killed, stopped or suspended
	started []sizes        // of each server

	reserved []string // IDs of sign-ups that failed
}

// newBattered starts two servers on Postgres, or one on SQLite, with a relay in front of
// everything that they ask. The database is on a small disk.
func newBattered(t *testing.T, d sqlstore.Dialect, seed uint64) *battered {
	t.Helper()
	database, disk := onDisk(t, d)
	b := &battered{t: t, rnd: rand.New(rand.NewPCG(seed, 10)), longest: time.Duration(e2e.Torture(300, 5000)) * time.Millisecond, disk: disk}
	b.db = cmdtest.OpenDB(t, database)
	addresses := []string{database}
	if d == sqlstore.Postgres {
		addresses = nil
		for range 2 {
			relay, address := relayTo(t, database)
			b.toDB, addresses = append(b.toDB, relay), append(addresses, address)
		}
	} else {
		b.path = strings.TrimPrefix(database, "sqlite://")
	}
	b.crowd = newCrowd(t, addresses[0])
	b.direct, b.w.database = database, database
	first := b.w.server
	first.kill()
	first.set("SYMBOLON_ORY_PUBLIC_URL="+b.relayOry(b.w.kratos.PublicURL), "SYMBOLON_ORY_ADMIN_URL="+b.relayOry(b.taps.before(t, b.w.kratos.AdminURL)))
	b.adopt()
	first.start(t)
	for _, address := range addresses[1:] {
		p := b.w.second(t)
		p.set("SYMBOLON_DATABASE=" + address)
		p.start(t)
		b.serve(p)
	}
	return b
}

// relayOry puts a relay in front of one of Kratos' addresses.
func (b *battered) relayOry(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		b.t.Fatal(err)
	}
	relay := chaos.NewRelay(b.t, u.Host)
	b.toOry = append(b.toOry, relay)
	u.Host = relay.Address
	return u.String()
}

// fault begins a fault, and returns what repairs it.
type fault func(b *battered) (repair func())

// The faults, by what they concern. Two faults that last at the same time concern different
// things.
var faults = map[string]map[string]fault{
	"Postgres": {
		"is silent":          relayed(anyDatabase, (*chaos.Relay).FallSilent),
		"loses its answers":  relayed(anyDatabase, (*chaos.Relay).HalfOpen),
		"resets connections": relayed(anyDatabase, (*chaos.Relay).Reset),
		"is gone":            gone(anyDatabase),
		"is slow":            slow(anyDatabase),
		"ends connections": func(b *battered) func() {
			chaos.Terminate(b.t, b.db, "")
			return func() {}
		},
		"is a standby": func(b *battered) func() {
			repair := chaos.ReadOnly(b.t, b.db)
			chaos.Terminate(b.t, b.db, "")
			return func() {
				chaos.Terminate(b.t, b.db, "")
				repair()
			}
		},
		"has a full disk": fullDisk,
	},
	"SQLite": {
		"has a full disk": fullDisk,
		"is read by another process": func(b *battered) func() {
			chaos.SQLite3(b.t, b.path, "select count(*) from symbolon_links")
			return func() {}
		},
		"is written by another process": func(b *battered) func() {
			chaos.Python(b.t, b.path, "select count(*) from symbolon_users", "create table if not exists orders (id integer primary key)")
			return func() {}
		},
		"is backed up": func(b *battered) func() {
			chaos.SQLite3(b.t, b.path, ".backup '"+filepath.Join(b.t.TempDir(), "backup.db")+"'")
			return func() {}
		},
		"is vacuumed": func(b *battered) func() {
			chaos.SQLite3(b.t, b.path, "vacuum")
			return func() {}
		},
	},
	"Ory": {
		"is silent":          relayed(anyOry, (*chaos.Relay).FallSilent),
		"loses its answers":  relayed(anyOry, (*chaos.Relay).HalfOpen),
		"resets connections": relayed(anyOry, (*chaos.Relay).Reset),
		"is gone":            gone(anyOry),
		"is slow":            slow(anyOry),
		"lists nobody":       lying(nobody),
		"lists a half":       lying(half),
	},
	"a server": {
		"is killed": func(b *battered) func() {
			p := b.one()
			p.kill()
			return func() { p.launch(b.t) }
		},
		"is stopped": func(b *battered) func() {
			p := b.one()
			_ = p.stop() // an error means that requests or jobs were cut off
			return func() { p.launch(b.t) }
		},
		"is suspended": func(b *battered) func() {
			running := b.one().child.Load()
			if err := running.Pause(); err != nil {
				b.t.Error(err)
			}
			return func() {
				if err := running.Resume(); err != nil {
					b.t.Error(err)
				}
			}
		},
	},
}

func anyDatabase(b *battered) *chaos.Relay { return b.toDB[b.rnd.IntN(len(b.toDB))] }

func anyOry(b *battered) *chaos.Relay { return b.toOry[b.rnd.IntN(len(b.toOry))] }

// one returns a server, by the seed.
func (b *battered) one() *process { return b.servers[b.rnd.IntN(len(b.servers))] }

func relayed(which func(*battered) *chaos.Relay, begin func(*chaos.Relay)) fault {
	return func(b *battered) func() {
		begin(which(b))
		return func() {}
	}
}

func gone(which func(*battered) *chaos.Relay) fault {
	return func(b *battered) func() {
		relay := which(b)
		relay.Drop(true)
		relay.FallSilent()
		return func() { relay.Drop(false) }
	}
}

func slow(which func(*battered) *chaos.Relay) fault {
	return func(b *battered) func() {
		relay := which(b)
		relay.Slow(10*time.Millisecond + time.Duration(b.rnd.Int64N(int64(100*time.Millisecond))))
		return func() { relay.Slow(0) }
	}
}

func lying(l lie) fault {
	return func(b *battered) func() {
		b.taps.lies.Store(&l)
		return func() { b.taps.lies.Store(nil) }
	}
}

func fullDisk(b *battered) func() { return b.disk.Fill() }

// cause causes one fault, or two at the same time, and repairs them.
func (b *battered) cause() (what string) {
	concerned := []string{map[bool]string{true: "SQLite", false: "Postgres"}[b.path != ""], "Ory", "a server"}
	if b.spared {
		concerned = concerned[:2]
	}
	b.rnd.Shuffle(len(concerned), func(i, j int) { concerned[i], concerned[j] = concerned[j], concerned[i] })
	var repairs []func()
	for _, name := range concerned[:1+b.rnd.IntN(2)] {
		fault := pick(b.rnd, faults[name])
		what += ", " + name + " " + fault
		repairs = append(repairs, faults[name][fault](b))
		time.Sleep(time.Duration(b.rnd.Int64N(int64(b.longest))))
	}
	for _, repair := range repairs {
		repair()
	}
	return what[2:]
}

// restart kills all servers, compares the database with what was acknowledged, and starts
// them.
func (b *battered) restart() {
	for _, p := range b.servers {
		p.kill()
	}
	b.nothingLost(b.t)
	b.age(b.t) // so that people may be deleted at Ory
	for _, p := range b.servers {
		p.launch(b.t)
	}
	for _, p := range b.servers {
		p.answers(b.t, "/readyz", 200)
	}
}

// served waits until people who live are let in by every server, and returns how long it
// took.
func (b *battered) served() time.Duration {
	b.t.Helper()
	const limit = 20 * time.Second
	began := time.Now()
	b.mu.Lock()
	people := append([]*member(nil), b.members...)
	b.mu.Unlock()
	for _, m := range people[max(0, len(people)-5):] {
		for _, p := range b.servers {
			for {
				status, _, _ := b.ask(b.t.Context(), "GET", p.publicURL+"/auth", "", "X-Session-Token", m.Token)
				b.mu.Lock()
				ends := m.asked || m.deleted
				b.mu.Unlock()
				if status == 200 || ends {
					break
				}
				if took := time.Since(began); took > 2*time.Minute || took > limit && e2e.Torture(0, 1) == 1 {
					b.t.Errorf("a person gets %d %v after the fault", status, took)
					return took
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
	}
	return time.Since(began)
}

// finish ends the load, waits until the servers have finished everything, and checks all.
func (b *battered) finish(stop context.CancelFunc) {
	t := b.t
	t.Helper()
	stop()
	b.load.Wait()
	for _, p := range b.servers {
		p.answers(t, "/readyz", 200)
	}
	if t.Failed() {
		return
	}
	began := time.Now()
	b.converge(t)
	t.Logf("%s; all was finished %s after the load ended", b.figures(), time.Since(began).Round(time.Second))
	b.checkOry(t)
	b.checkUsers(t)
	b.checkRequests(t)
	b.checkErasures(t)
	b.checkReconcile(t)
	b.checkTables()
	b.checkEnded()
	b.checkReserved()
	b.checkMessages()
	b.checkHistory()
	b.checkLogs()
	b.checkQuiet()
	b.checkSizes()
}

// TestAllFaults has people sign up, send requests, be erased and be deleted at Ory while
// faults come at random: of the connections to the database and to Ory, of the disk, of the
// servers, and by foreign processes. Afterwards nothing that was acknowledged is lost, the
// servers finish everything by themselves, and the invariants hold.
func TestAllFaults(t *testing.T) {
	t.Parallel()
	const seed = 1
	lasts := time.Duration(e2e.Torture(4, 600)) * time.Second
	for _, d := range e2e.Both {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			b := newBattered(t, d, seed)
			ctx, stop := context.WithCancel(t.Context())
			defer func() { stop(); b.load.Wait() }()
			b.begin(ctx)
			b.awaitPeople(t, adoptees+4)
			b.noteSizes()
			count, slowest := 0, time.Duration(0)
			for end := time.Now().Add(lasts); time.Now().Before(end) && !t.Failed(); count++ {
				what := b.cause()
				took := b.served()
				slowest = max(slowest, took)
				t.Logf("%s: served after %v", what, took.Round(time.Millisecond))
				if count%6 == 1 {
					b.restart()
				}
			}
			t.Logf("seed %d: %d rounds, everybody was served again after at most %v", seed, count, slowest.Round(time.Millisecond))
			b.finish(stop)
		})
	}
}

func pick(rnd *rand.Rand, of map[string]fault) string {
	names := slices.Sorted(maps.Keys(of))
	return names[rnd.IntN(len(names))]
}
