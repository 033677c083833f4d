package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/forwardauth"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// crowd is a world with many people, and what its servers have acknowledged about them.
type crowd struct {
	w       *world
	direct  string // the database's address for the test; empty: the server's
	taps    *taps
	client  *http.Client
	load    sync.WaitGroup
	written int

	mu      sync.Mutex
	servers []*process
	members []*member
	users   map[string]string // identity to the user that an answer named
	linked  map[string]bool   // identities whose link hook was answered with 2xx
	acks    map[string]int    // counts of acknowledgements, for the log
	wrong   []string          // answers to requests that must not be given
}

// member is one person of the crowd.
type member struct {
	*symbolontest.Person
	aged    bool   // the ledger has the link as an old one
	deleted bool   // deleted at Ory by an administrator
	buried  bool   // the ledger was seen in state gone
	asked   bool   // an erasure was requested, with any result
	erasure string // ID of the accepted erasure
	lives   bool   // exists at the end
}

// newCrowd starts a server that runs reconcile every second, with taps on its hooks and
// on its requests to Ory. Only the link hook is configured, and back_reference.write is create,
// so every user's ID is written to Ory by a PATCH. env is more of the server's environment.
func newCrowd(t *testing.T, database string, env ...string) *crowd {
	t.Helper()
	c := &crowd{users: map[string]string{}, linked: map[string]bool{}, acks: map[string]int{},
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	c.taps = &taps{flying: map[string]int{}, outgoing: outgoing{deleted: map[string]bool{}}}
	hooks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		defer c.taps.enter("link")()
		status, answer := forward(t, c.server().publicURL, r)
		c.hookAnswered(body, status, answer)
		w.WriteHeader(status)
		_, _ = w.Write(answer)
	}))
	t.Cleanup(hooks.Close)
	c.w = startWorld(t, world{database: database, killed: true, actions: []string{"--without-reserve"},
		env: append([]string{"SYMBOLON_SERVE_URL=" + hooks.URL, "SYMBOLON_RECONCILE_EVERY=1s", "SYMBOLON_RECONCILE_LOAD=100%",
			"SYMBOLON_DELETION_PROOF_GAP=1s", "SYMBOLON_BACK_REFERENCE_WRITE=create", "SYMBOLON_LOG_LEVEL=info"}, env...),
		before: func(w *world) { c.serve(w.server) }})
	c.w.server.kill()
	c.w.server.set("SYMBOLON_ORY_ADMIN_URL=" + c.taps.before(t, c.w.kratos.AdminURL))
	c.w.server.start(t)
	t.Cleanup(c.client.CloseIdleConnections)
	return c
}

// serve adds a server, which gets a part of the requests and hooks.
func (c *crowd) serve(p *process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers = append(c.servers, p)
}

// server returns one of the servers.
func (c *crowd) server() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.servers[rand.IntN(len(c.servers))]
}

// taps watch the server's requests and report when one begins.
type taps struct {
	mu     sync.Mutex
	flying map[string]int
	want   string
	seen   chan struct{}

	outgoing outgoing
	lies     atomic.Pointer[lie] // about the identities; nil: none
}

// enter notes that a request begins. The returned function notes its end.
func (p *taps) enter(what string) (leave func()) {
	p.add(what, 1)
	return func() { p.add(what, -1) }
}

func (p *taps) add(what string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flying[what] += n
	if n > 0 && p.want == what && p.seen != nil {
		close(p.seen)
		p.seen = nil
	}
}

// await waits for the next request of a kind, but at most for patience.
func (p *taps) await(what string, patience time.Duration) {
	if what == "" {
		return
	}
	seen := make(chan struct{})
	p.mu.Lock()
	p.want, p.seen = what, seen
	p.mu.Unlock()
	select {
	case <-seen:
	case <-time.After(patience):
	}
}

// underWay returns the requests that have begun and not ended.
func (p *taps) underWay() (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for what, n := range p.flying {
		if n > 0 {
			all = append(all, what)
		}
	}
	return all
}

// before puts a tap in front of Kratos' admin API.
func (p *taps) before(t *testing.T, adminURL string) string {
	target, err := url.Parse(adminURL)
	if err != nil {
		t.Fatal(err)
	}
	through := httputil.NewSingleHostReverseProxy(target)
	through.ErrorLog = log.New(io.Discard, "", 0) // errors of killed processes
	tap := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.judge(r)
		switch {
		case r.Method == http.MethodPatch:
			defer p.enter("write")()
		case r.Method == http.MethodGet && r.URL.Path == "/admin/identities":
			defer p.enter("reconcile")()
			if lie := p.lies.Load(); lie != nil {
				lie.tell(w, r, through)
				return
			}
		}
		through.ServeHTTP(w, r)
	}))
	t.Cleanup(tap.Close)
	return tap.URL
}

// hookAnswered records a 2xx of the link hook.
func (c *crowd) hookAnswered(body []byte, status int, answer []byte) {
	var said struct{ Status string }
	var told struct {
		Identity string `json:"identity_id"`
	}
	if status != 200 || json.Unmarshal(answer, &said) != nil || json.Unmarshal(body, &told) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acks["hooks "+said.Status]++
	if said.Status == "done" {
		c.linked[told.Identity] = true
	}
}

// begin starts sign-ups, requests, look-ups by the operator, erasures and deletions,
// until ctx ends.
func (c *crowd) begin(ctx context.Context, t *testing.T) {
	var n int
	for _, part := range []struct {
		pause time.Duration
		does  func()
	}{
		{time.Duration(e2e.Torture(120, 60)) * time.Millisecond, func() { c.signUp(ctx, t, &n) }}, // a sign-up costs more than all the rest
		{30 * time.Millisecond, func() { c.request(ctx, t) }},
		{150 * time.Millisecond, func() { c.sync(ctx, t) }},
		{300 * time.Millisecond, func() { c.end(ctx, t) }},
		{2 * time.Second, func() { c.compare(ctx) }},
	} {
		c.load.Go(func() {
			for ctx.Err() == nil {
				part.does()
				time.Sleep(part.pause)
			}
		})
	}
}

func (c *crowd) awaitPeople(t *testing.T, n int) {
	t.Helper()
	cmdtest.Eventually(t, "there are people", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.users) >= n
	})
}

func (c *crowd) signUp(ctx context.Context, t *testing.T, n *int) {
	*n++
	p, err := c.w.kratos.Register(context.WithoutCancel(ctx), fmt.Sprintf("crowd%d@example.com", *n), cmdtest.Password, "Somebody")
	if err != nil {
		t.Errorf("a sign-up: %v", err) // sign-ups succeed also while Symbolon is killed
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = append(c.members, &member{Person: p})
}

// pick returns a random member that satisfies who.
func (c *crowd) pick(who func(*member) bool) *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range 20 {
		if n := len(c.members); n > 0 {
			if m := c.members[n-1-min(rand.IntN(n), rand.IntN(n))]; who(m) { // newer members are more likely
				return m
			}
		}
	}
	return nil
}

// ask sends a request to a server that may be dead, which is status 0.
func (c *crowd) ask(ctx context.Context, method, url, send string, header ...string) (status int, user string, body []byte) {
	r, err := http.NewRequestWithContext(context.WithoutCancel(ctx), method, url, strings.NewReader(send))
	if err != nil {
		return 0, "", nil
	}
	if send != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	auth := strings.HasSuffix(url, "/auth")
	if auth {
		for _, name := range identityHeaders {
			r.Header.Set(name, somebodyElse)
			r.Header[strings.ReplaceAll(name, "-", "_")] = []string{somebodyElse}
		}
	}
	resp, err := c.client.Do(r)
	if err != nil {
		return 0, "", nil
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err = io.ReadAll(resp.Body); err != nil {
		return 0, "", nil
	}
	if auth {
		c.checkHeaders(resp)
	}
	return resp.StatusCode, resp.Header.Get("X-User-Id"), body
}

// identityHeaders are in each answer of /auth. somebodyElse is what the clients send in them.
var identityHeaders = (&forwardauth.ForwardAuth{}).HeaderNames()

const somebodyElse = "0d0e0a00-0000-4000-8000-00000000e15e"

// checkHeaders checks that an answer overwrites all headers about the person that the client
// has sent.
func (c *crowd) checkHeaders(resp *http.Response) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range identityHeaders {
		values, ok := resp.Header[name]
		if !ok || len(values) != 1 || values[0] == somebodyElse || resp.StatusCode != 200 && values[0] != "" {
			c.wrong = append(c.wrong, fmt.Sprintf("an answer %d has %s: %q", resp.StatusCode, name, values))
		}
	}
}

// named records that an answer named a user. It must always be the same user.
func (c *crowd) named(t *testing.T, m *member, user, what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before := c.users[m.IdentityID]; user == "" || before != "" && before != user {
		t.Errorf("identity %s: %s names user %q, before it was %q", m.IdentityID, what, user, before)
	}
	c.users[m.IdentityID] = user
	c.acks[what]++
}

func (c *crowd) request(ctx context.Context, t *testing.T) {
	var erased bool
	m := c.pick(func(m *member) bool { erased = m.erasure != ""; return true })
	if m == nil {
		return
	}
	status, user, body := c.ask(ctx, "GET", c.server().publicURL+"/auth", "", "X-Session-Token", m.Token)
	c.mu.Lock()
	ends := m.asked || m.deleted
	c.mu.Unlock()
	switch {
	case status == 200 && erased:
		t.Errorf("identity %s was erased and is let in as user %s", m.IdentityID, user)
	case status == 200:
		c.named(t, m, user, "requests")
	case (status == 401 || status == 403) && !ends:
		t.Errorf("identity %s is denied: %d %s", m.IdentityID, status, body)
	}
}

func (c *crowd) sync(ctx context.Context, t *testing.T) {
	m := c.pick(func(m *member) bool { return !m.asked && !m.deleted })
	if m == nil {
		return
	}
	status, _, body := c.ask(ctx, "POST", c.server().operatorURL+"/admin/identities/"+m.IdentityID+"/sync", "")
	var answer struct{ Link system.Bond }
	if status != 200 {
		return
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Link.State != symbolon.Linked {
		t.Errorf("sync of %s: %s", m.IdentityID, body)
		return
	}
	c.named(t, m, string(answer.Link.User), "syncs")
}

// compare starts a reconcile run as the operator does, beside the scheduled ones. Only
// the lease of a killed run can refuse it.
func (c *crowd) compare(ctx context.Context) {
	status, _, _ := c.ask(ctx, "POST", c.server().operatorURL+"/admin/reconcile", `{"repair":true}`)
	if status == 202 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.acks["runs"]++
	}
}

// end erases a person, or deletes an identity at Ory as an administrator does. It limits
// the deletions without a proof to what the circuit breaker accepts.
func (c *crowd) end(ctx context.Context, t *testing.T) {
	waiting := 0
	c.mu.Lock()
	all := append([]*member(nil), c.members...)
	c.mu.Unlock()
	for _, m := range all {
		if m.deleted && !m.buried {
			_, _, body := c.ask(ctx, "GET", c.server().operatorURL+"/admin/identities/"+m.IdentityID, "")
			if m.buried = strings.Contains(string(body), `"state":"gone"`); !m.buried {
				waiting++
			}
		}
	}
	var user string
	may := func(m *member) bool {
		user = c.users[m.IdentityID]
		return user != "" && !m.asked && !m.deleted
	}
	if waiting < 5 && rand.IntN(2) == 0 {
		if m := c.pick(func(m *member) bool { return may(m) && m.aged }); m != nil {
			c.mu.Lock()
			m.deleted = true
			c.mu.Unlock()
			if err := c.w.kratos.DeleteIdentity(context.WithoutCancel(ctx), m.IdentityID); err != nil {
				t.Errorf("delete at Ory: %v", err)
			}
		}
		return
	}
	if m := c.pick(may); m != nil {
		c.erase(ctx, t, m, user)
	}
}

func (c *crowd) erase(ctx context.Context, t *testing.T, m *member, user string) {
	c.mu.Lock()
	m.asked = true
	c.mu.Unlock()
	defer c.taps.enter("erase")()
	path := []string{"/admin/users/" + user, "/admin/identities/" + m.IdentityID}[rand.IntN(2)]
	status, _, body := c.ask(ctx, "DELETE", c.server().operatorURL+path+"?why=ticket+8812", "")
	if status != 200 && status != 202 {
		return
	}
	var answer struct{ Erasure system.Erasure }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Erasure.ID == "" {
		t.Errorf("erasure of %s: %s", m.IdentityID, body)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m.erasure = answer.Erasure.ID
	c.acks["erasures"]++
}

func (c *crowd) figures() string {
	deleted := 0
	for _, m := range c.members {
		if m.deleted {
			deleted++
		}
	}
	return fmt.Sprintf("%d people, %d deleted at Ory, acknowledged: %v", len(c.members), deleted, c.acks)
}

func lastLine(out []byte) []byte {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return lines[len(lines)-1]
}
