package server

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
)

// beside creates a second server on the same database and the same Kratos.
func (i *installation) beside(t *testing.T) *installation {
	t.Helper()
	other := install(t, func(c *config.Config) {
		c.Database, c.Ory, c.Auth, c.Users = i.Config.Database, i.Config.Ory, i.Config.Auth, i.Config.Users
	})
	other.ory = i.ory
	return other
}

func (i *installation) status(token string) int {
	return cmdtest.Ask(i.Public(), "GET", "/auth", "", "X-Session-Token", token).Code
}

// TestRevokeEverywhere checks that a revocation by the operator works at once at one
// server, and soon at the other, which has cached the session for an hour. The same holds
// for an identity that loses its user by a command.
func TestRevokeEverywhere(t *testing.T) {
	cmdtest.OnBoth(t, func(t *testing.T, database string) {
		one := install(t, func(c *config.Config) { c.Database, c.Auth.MaxStale = config.Hidden(database), time.Hour })
		two := one.beside(t)
		for _, i := range []*installation{one, two} {
			cmdtest.Eventually(t, "the server listens for purges", func() bool {
				return strings.HasPrefix(database, "sqlite") || i.purges.listening.Load()
			})
		}
		time.Sleep(600 * time.Millisecond) // both servers have polled for the first time
		for n, path := range []string{"/admin/sessions/5e000000-0000-4000-8000-%012d", "/admin/identities/1d000000-0000-4000-8000-%012d/sessions"} {
			_, token := one.ory.Add(n + 1)
			_, stays := one.ory.Add(n + 10)
			for _, i := range []*installation{one, two} {
				i.signIn(t, token)
				i.signIn(t, stays)
			}
			w := cmdtest.Ask(one.Operator(), "DELETE", fmt.Sprintf(path, n+1), "")
			began := time.Now()
			if w.Code != 204 || w.Body.Len() != 0 {
				t.Fatalf("%s: %d %s", path, w.Code, w.Body)
			}
			if status := one.status(token); status != 401 {
				t.Errorf("%s: %d at the server that revoked", path, status)
			}
			cmdtest.Eventually(t, "the other server refuses the session", func() bool { return two.status(token) == 401 })
			t.Logf("%s: refused everywhere after %s", path, time.Since(began))
			if one.status(stays) != 200 || two.status(stays) != 200 {
				t.Error("another person is signed out")
			}
		}

		id, token := one.ory.Add(3)
		heir, _ := one.ory.Add(4)
		user := one.signIn(t, token)
		two.signIn(t, token)
		bindAsCommand(t, one, heir, user)
		for _, i := range []*installation{one, two} {
			cmdtest.Eventually(t, id+" has lost its user", func() bool { return i.status(token) == 403 })
		}
	})
}

// bindAsCommand links as `symbolon bind --move` does, in a process without a server.
func bindAsCommand(t *testing.T, i *installation, identity, user string) {
	t.Helper()
	t.Chdir(t.TempDir())
	var errs bytes.Buffer
	s, err := system.Open(&cli.App{Ctx: t.Context(), Stdio: cli.Stdio{Err: &errs}, Env: cmdtest.Env("SYMBOLON_DATABASE", i.Config.Database.Reveal(),
		"SYMBOLON_ORY_PUBLIC_URL", i.ory.PublicURL, "SYMBOLON_ORY_ADMIN_URL", i.ory.AdminURL)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	link, err := s.Linker.Bind(t.Context(), symbolon.IdentityID(identity), symbolon.UserID(user), symbolon.BindOptions{Move: true, Why: "test"})
	if err != nil || string(link.User) != user || errs.Len() > 0 {
		t.Fatalf("bind: %+v %v %s", link, err, &errs)
	}
	if err := s.Linker.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestRevokeBadInput(t *testing.T) {
	i := install(t, nil)
	for _, test := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"DELETE", "/admin/sessions/42", 400, "invalid_request"},
		{"DELETE", "/admin/sessions/00000000-0000-0000-0000-000000000000", 400, "invalid_request"},
		{"DELETE", "/admin/sessions/5e000000-0000-4000-8000-999999999999", 404, "not_found"},
		{"DELETE", "/admin/sessions/", 404, "not_found"},
		{"DELETE", "/admin/sessions", 404, "not_found"},
		{"GET", "/admin/sessions/5e000000-0000-4000-8000-999999999999", 405, "method_not_allowed"},
		{"DELETE", "/admin/identities/42/sessions", 400, "invalid_request"},
		{"DELETE", "/admin/identities/1d000000-0000-4000-8000-999999999999/sessions", 204, ""}, // no session is left
		{"POST", "/admin/identities/1d000000-0000-4000-8000-999999999999/sessions", 405, "method_not_allowed"},
	} {
		w := cmdtest.Ask(i.Operator(), test.method, test.path, "")
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.code) {
			t.Errorf("%s %s: %d %s", test.method, test.path, w.Code, w.Body)
		}
	}
	i.ory.SetDown(true)
	if w := cmdtest.Ask(i.Operator(), "DELETE", "/admin/sessions/5e000000-0000-4000-8000-000000000001", ""); w.Code != 503 {
		t.Errorf("Ory is down: %d %s", w.Code, w.Body)
	}
	without := install(t, func(c *config.Config) { c.Ory.AdminURL, c.Ory.Token = "", "" })
	if w := cmdtest.Ask(without.Operator(), "DELETE", "/admin/sessions/5e000000-0000-4000-8000-000000000001", ""); w.Code != 409 {
		t.Errorf("without an admin URL: %d %s", w.Code, w.Body)
	}
}

// TestListenConnectionIsCut cuts the connection that listens. The server polls the table
// meanwhile, shows it in a metric, and listens again.
func TestListenConnectionIsCut(t *testing.T) {
	cmdtest.OnBoth(t, func(t *testing.T, database string) {
		var line *cable
		i := install(t, func(c *config.Config) {
			c.Database, c.Auth.MaxStale, c.Auth.OutageGrace = config.Hidden(database), time.Hour, time.Minute
			if !strings.HasPrefix(database, "sqlite") {
				line = newCable(t, database)
				c.DatabaseListen = config.Hidden(line.dsn)
			}
		})
		metric := func(line string) bool {
			w := cmdtest.Ask(i.Operator(), "GET", "/metrics", "")
			return w.Code == http.StatusOK && strings.Contains(w.Body.String(), "\n"+line+"\n")
		}
		if !metric("symbolon_session_max_staleness_seconds 3660") {
			t.Error("the metrics lack the bound")
		}
		if strings.HasPrefix(database, "sqlite") {
			if !metric("symbolon_replicas_listening 0") {
				t.Error("SQLite has no notifications, but the metric says so")
			}
			return
		}
		cmdtest.Eventually(t, "the server listens for purges", func() bool { return metric("symbolon_replicas_listening 1") })
		_, token := i.ory.Add(1)
		i.signIn(t, token)
		line.cut()
		cmdtest.Eventually(t, "the metric says that the server does not listen", func() bool { return metric("symbolon_replicas_listening 0") })
		i.ory.SignOut(token)
		if _, err := i.DB.ExecContext(t.Context(), `insert into symbolon.purges (project, what, at) values ('default', '1d000000-0000-4000-8000-000000000001', now())`); err != nil {
			t.Fatal(err)
		}
		cmdtest.Eventually(t, "the server reads the purge from the table", func() bool { return i.status(token) == 401 })
		if !metric("symbolon_replicas_listening 0") {
			t.Error("the server listened while the connection was cut")
		}
		line.repair()
		cmdtest.Eventually(t, "the server listens again", func() bool { return metric("symbolon_replicas_listening 1") })
		if !strings.Contains(i.logs.String(), "the table is polled instead") {
			t.Error("the log does not report it")
		}
	})
}

// cable is a connection to a Postgres that can be cut.
type cable struct {
	dsn string // the Postgres through the cable

	mu    sync.Mutex
	isCut bool
	ends  []net.Conn
}

func newCable(t *testing.T, dsn string) *cable {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := u.Host
	u.Host = l.Addr().String()
	c := &cable{dsn: u.String()}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil || !c.join(near, far) {
				_ = near.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
				all.Go(func() { _, _ = io.Copy(way[0], way[1]); _ = way[0].Close() })
			}
		}
	})
	t.Cleanup(func() { _ = l.Close(); c.cut(); all.Wait() })
	return c
}

func (c *cable) join(ends ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isCut {
		_ = ends[1].Close()
		return false
	}
	c.ends = append(c.ends, ends...)
	return true
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, end := range c.ends {
		_ = end.Close()
	}
	c.isCut, c.ends = true, nil
}

func (c *cable) repair() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = false
}

// TestListenByTheDirectAddress checks that database_listen is used if the pooler does not
// support listening.
func TestListenByTheDirectAddress(t *testing.T) {
	c := config.Defaults()
	c.Database = "postgres://nobody@127.0.0.1:1/nothing"
	cmdtest.OnBoth(t, func(t *testing.T, database string) {
		if strings.HasPrefix(database, "sqlite") {
			database = ""
		}
		c.DatabaseListen = config.Hidden(database)
		e := listenForPurges(c, cli.NewLogger(&cmdtest.Buffer{}, 0))
		defer e.close()
		if database == "" {
			time.Sleep(200 * time.Millisecond)
			if e.listening.Load() {
				t.Error("the server does not listen")
			}
			return
		}
		cmdtest.Eventually(t, "the server listens for purges", func() bool { return e.listening.Load() })
	})
}
