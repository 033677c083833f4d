package sqlstore_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// size returns the size of a test: ci in every run, torture with `make torture`.
func size(ci, torture int) int {
	if os.Getenv("SYMBOLON_TORTURE") != "" {
		return torture
	}
	return ci
}

// TestChild is not a test. Other tests start it as a second process.
func TestChild(t *testing.T) {
	job := strings.Split(os.Getenv("SYMBOLON_TEST_CHILD"), "|")
	if len(job) != 4 {
		return
	}
	db := database{dialect: sqlstore.Dialect(job[1]), dsn: job[2]}
	db.DB = db.again(t)
	store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}
	n, _ := strconv.Atoi(job[3])
	switch job[0] {
	case "deliver":
		deliver(t, store, n)
	case "acknowledge together":
		linkTogether(t, store)
	case "acknowledge":
		for {
			link, err := linkNew(store, symbolon.UserID(newUUID()))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Printf("\nACK %s %s\n", link.Identity, link.User)
		}
	}
}

func child(t *testing.T, job string, db database, n int) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestChild$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("SYMBOLON_TEST_CHILD=%s|%s|%s|%d", job, db.dialect, db.dsn, n))
	cmd.Stderr = os.Stderr
	return cmd
}

// deliver links n identities, each eight times, from 32 goroutines, in random order.
func deliver(t *testing.T, store *sqlstore.Store, n int) {
	jobs := make(chan symbolon.Identity)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			l := linkerOf(store)
			for id := range jobs {
				if _, err := l.Link(context.Background(), symbolon.Reading{Identity: id, Source: symbolon.FromLinkHook}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, i := range rand.Perm(8 * n) {
		jobs <- symbolon.Identity{ID: symbolon.IdentityID(fmt.Sprintf("9f425a8d-7efc-4768-8f23-%012x", i%n+1)), State: symbolon.Active}
	}
	close(jobs)
	wg.Wait()
}

// TestTwoProcesses (I1) runs two processes with 64 goroutines, which link every identity
// sixteen times.
func TestTwoProcesses(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		n := size(100, 1000)
		other := child(t, "deliver", db, n)
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		deliver(t, &sqlstore.Store{DB: db.DB, Dialect: db.dialect}, n)
		if err := other.Wait(); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d calls for %d identities in %v", 16*n, n, time.Since(began))
		p := &people{database: db}
		prefix := map[sqlstore.Dialect]string{sqlstore.SQLite: "symbolon_", sqlstore.Postgres: "symbolon."}[db.dialect]
		for query, want := range map[string]int{
			`select count(*) from symbolon_users`:                                                     n,
			`select count(distinct ory_identity_id) from symbolon_users`:                              n,
			`select count(*) from ` + prefix + `links where state = 'linked'`:                         n,
			`select count(*) from ` + prefix + `links`:                                                n,
			`select count(*) from ` + prefix + `events`:                                               n,
			`select count(distinct identity_id) from ` + prefix + `events where kind = 'user.linked'`: n,
			`select count(*) from ` + prefix + `findings`:                                             0,
			`select count(*) from symbolon_users u join ` + prefix + `links l on l.user_id = cast(u.id as text) and l.identity_id = cast(u.ory_identity_id as text)`: n,
		} {
			if got := p.count(t, query); got != want {
				t.Errorf("%s: %d, want %d", query, got, want)
			}
		}
	})
}

// TestKilled (I8) checks that acknowledged links survive kill -9 at any moment.
func TestKilled(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		acknowledged := killed(t, db, "acknowledge", size(3, 100))
		store := &sqlstore.Store{DB: db.DB, Dialect: db.dialect}
		for identity, user := range acknowledged {
			h, err := store.Read(t.Context(), queryFor(symbolon.Identity{ID: symbolon.IdentityID(identity)}))
			if err != nil || h.Link == nil || h.User == nil || h.User != h.Row || h.User.ID != symbolon.UserID(user) {
				t.Fatalf("identity %s was acknowledged with user %s, but: %+v %v", identity, user, h, err)
			}
		}
		t.Logf("%d acknowledged, all found", len(acknowledged))
		halves(t, db)
	})
}

// killed starts a child again and again and kills each at a random moment after its first
// output. It returns everything that they acknowledged.
func killed(t *testing.T, db database, job string, times int) map[string]string {
	t.Helper()
	acknowledged := map[string]string{}
	for range times {
		cmd := child(t, job, db, 0)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var once sync.Once
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == "ACK" {
				acknowledged[fields[1]] = fields[2]
				once.Do(func() {
					time.AfterFunc(time.Duration(rand.N(50_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
				})
			}
		}
		_ = cmd.Wait()
	}
	if len(acknowledged) == 0 {
		t.Fatal("nothing was acknowledged")
	}
	return acknowledged
}

// halves checks that no link is half written.
func halves(t *testing.T, db database) {
	prefix := map[sqlstore.Dialect]string{sqlstore.SQLite: "symbolon_", sqlstore.Postgres: "symbolon."}[db.dialect]
	var users, links, events, left int
	err := db.QueryRow(`select (select count(*) from symbolon_users), (select count(*) from `+prefix+`links where state = 'linked'),
		(select count(*) from `+prefix+`events where kind = 'user.linked'), (select count(*) from `+prefix+`links where state = 'new')`).Scan(&users, &links, &events, &left)
	if err != nil || users != links || links != events || left != 0 {
		t.Fatalf("%d users, %d links, %d events, %d locks: %v", users, links, events, left, err)
	}
	if db.dialect == sqlstore.SQLite {
		var ok sql.NullString
		if err := db.QueryRow(`pragma integrity_check`).Scan(&ok); err != nil || ok.String != "ok" {
			t.Fatalf("integrity: %q %v", ok.String, err)
		}
	}
}
