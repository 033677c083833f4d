package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

const (
	secretBefore = cmdtest.Secret
	secretAfter  = "nExT-K8vQ0zR5tXw9LmB4nYc7HdF1sGpA6eUj3"
)

// TestRotation changes the secret of two replicas by the steps of docs/rotation.md, under
// load. Hooks, reserved IDs, vouchers, invites and assertions are accepted at every moment, also if
// the other replica has signed them.
func TestRotation(t *testing.T) {
	t.Parallel()
	r := startRotation(t)
	reserved := r.must(r.reserve(0))
	token := r.person("metadata_public", map[string]any{"id": reserved}) // nothing links the person before step 3
	stale := r.fetchKeys()

	r.begin()
	r.settle()
	r.restart(secretBefore, secretAfter, "") // step 1
	r.fetchKeys()                            // the caches expire
	r.vouchersBy(secretBefore, secretAfter)  // of servers before and after step 2
	r.restart(secretAfter, "", secretBefore) // step 2
	r.hookKeys(secretAfter)                  // step 3
	r.vouchersBy(secretAfter)
	r.fetchKeys()
	r.settle()
	r.reconcile()
	r.restart(secretAfter, "", "") // step 4
	r.end()
	t.Logf("%d people signed up", r.signedUp.Load())

	user, assertion, err := r.auth(0, token)
	if err != nil || user != reserved {
		t.Errorf("the ID %s was reserved before the rotation; the user is %q: %v", reserved, user, err)
	}
	if verify(assertion, user, stale) == nil {
		t.Error("a key set from before step 1 has the new key, so step 1 has no effect")
	}
}

// rotation is Ory, which sends hooks, and an application, which verifies assertions. Both
// ask the other replica if one does not listen, as behind a proxy.
type rotation struct {
	*replicated
	t        *testing.T
	client   *http.Client
	hooks    atomic.Pointer[hooks.Keys]
	vouchers atomic.Pointer[[]*mint.Minter]
	keys     atomic.Pointer[jose.JSONWebKeySet] // as the application has cached them
	people   atomic.Int64
	signedUp atomic.Int64

	stop    context.CancelFunc
	workers sync.WaitGroup
	rounds  [2]atomic.Int64 // of each worker
}

func startRotation(t *testing.T) *rotation {
	r := &rotation{replicated: startReplicas(t, 0, "SYMBOLON_AUTH_AUDIENCE=app", "SYMBOLON_SERVE_URL=https://symbolon.example", "SYMBOLON_RECONCILE_LOAD=100%"), t: t,
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}}
	r.hookKeys(secretBefore)
	r.vouchersBy(secretBefore)
	cmdtest.Exec(t, cmdtest.OpenDB(t, r.database), `insert into symbolon_users (id) select ('aaaaaaaa-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid from generate_series(1, 40000) n`)
	return r
}

// hookKeys gives Ory the hooks that `actions print` prints with a secret.
func (r *rotation) hookKeys(secret string) {
	k := hooks.DeriveKeys([]symbolon.Secret{symbolon.Secret(secret)})
	out, err := r.replicas[0].command("actions", "print").Output()
	if err != nil || !strings.Contains(string(out), k.Link[0]) {
		r.t.Errorf("actions print does not print the keys of the current secret: %v", err)
	}
	r.hooks.Store(&k)
}

func (r *rotation) vouchersBy(secrets ...string) {
	var minters []*mint.Minter
	for _, s := range secrets {
		minters = append(minters, mint.NewMinter(symbolon.DefaultProject, symbolon.Secret(s)))
	}
	r.vouchers.Store(&minters)
}

// fetchKeys replaces the cached key set, as an application does after an hour.
func (r *rotation) fetchKeys() *jose.JSONWebKeySet {
	_, body, err := r.ask(0, "GET", "/.well-known/jwks.json", "")
	var set jose.JSONWebKeySet
	if err = errors.Join(err, json.Unmarshal(body, &set)); err != nil {
		r.t.Fatal(err)
	}
	r.keys.Store(&set)
	return &set
}

// restart restarts one replica after the other with other secrets.
func (r *rotation) restart(secret, next, previous string) {
	for _, p := range r.replicas {
		if err := p.stop(); err != nil {
			r.t.Error(err)
		}
		p.set("SYMBOLON_SECRET="+secret, "SYMBOLON_NEXT_SECRET="+next, "SYMBOLON_PREVIOUS_SECRETS="+previous)
		p.start(r.t)
		r.settle()
	}
}

// reconcile links the identities that nobody has linked.
func (r *rotation) reconcile() {
	out, err := r.replicas[0].command("reconcile", "--repair", "--load", "100%").CombinedOutput()
	if left, ok := errors.AsType[*exec.ExitError](err); ok && left.ExitCode() == 3 {
		return // people who sign up meanwhile are not linked yet
	}
	if err != nil {
		r.t.Errorf("reconcile: %v\n%s", err, out)
	}
}

func (r *rotation) begin() {
	ctx, stop := context.WithCancel(r.t.Context())
	r.stop = stop
	r.t.Cleanup(r.end)
	for n := range r.rounds {
		r.workers.Go(func() {
			for ctx.Err() == nil && !r.t.Failed() {
				if err := r.round(rand.IntN(2)); err != nil {
					r.t.Error(err)
				}
				r.rounds[n].Add(1)
			}
		})
	}
}

func (r *rotation) end() {
	r.stop()
	r.workers.Wait()
}

// settle waits until every worker has finished a round that began after the call.
func (r *rotation) settle() {
	r.t.Helper()
	for n := range r.rounds {
		before := r.rounds[n].Load()
		cmdtest.Eventually(r.t, "a worker has gone on", func() bool { return r.rounds[n].Load() > before+1 || r.t.Failed() })
	}
}

// round signs a person up, with the hooks and the requests at both replicas, and invites
// another one with a voucher.
func (r *rotation) round(replica int) error {
	id, err := r.reserve(replica)
	if err != nil {
		return fmt.Errorf("reserve: %w", err)
	}
	token := r.person("metadata_public", map[string]any{"id": id})
	body := fmt.Sprintf(`{"identity_id":%q,"id":%q,"columns":{}}`, r.identity(token), id)
	_, _, err = r.ask(1-replica, "POST", "/hooks/link", body, hooks.KeyHeader, r.hooks.Load().Link[0])
	if err = errors.Join(err, r.arrives(replica, token, id)); err != nil {
		return fmt.Errorf("a person with a reserved ID: %w", err)
	}
	minters := *r.vouchers.Load()
	invited := symbolon.UserID(fmt.Sprintf("aaaaaaaa-0000-4000-8000-%012d", r.signedUp.Add(1)))
	voucher, err := minters[rand.IntN(len(minters))].Voucher(invited)
	if err != nil {
		return err
	}
	token = r.person("metadata_admin", map[string]any{"symbolon": voucher})
	_, _, err = r.ask(replica, "POST", "/admin/identities/"+r.identity(token)+"/sync", "")
	if err = errors.Join(err, r.arrives(1-replica, token, string(invited))); err != nil {
		return fmt.Errorf("a person with a voucher: %w", err)
	}
	if err := r.inviteGuest(replica, minters[rand.IntN(len(minters))]); err != nil {
		return fmt.Errorf("a person with an invite: %w", err)
	}
	return nil
}

// inviteGuest signs a person up with an invite at one replica. The other one makes the link.
func (r *rotation) inviteGuest(replica int, minter *mint.Minter) error {
	guest := symbolon.UserID(fmt.Sprintf("aaaaaaaa-0000-4000-8000-%012d", r.signedUp.Add(1)))
	invite, err := minter.Invite(guest, time.Now().Add(time.Hour))
	if err != nil {
		return err
	}
	_, body, err := r.ask(replica, "POST", "/hooks/reserve", fmt.Sprintf(`{"invite":%q}`, invite), hooks.KeyHeader, r.hooks.Load().Reserve[0])
	var answer struct {
		Identity map[string]any
	}
	if err = errors.Join(err, json.Unmarshal(body, &answer)); err != nil {
		return err
	}
	return r.arrives(1-replica, r.person("metadata_public", answer.Identity["metadata_public"]), string(guest))
}

// arrives sends a request of a person, who must be the user in the parameter want.
func (r *rotation) arrives(replica int, token, want string) error {
	user, assertion, err := r.auth(replica, token)
	if err != nil {
		return err
	}
	if user != want {
		return fmt.Errorf("the user is %s, want %s", user, want)
	}
	return verify(assertion, user, r.keys.Load())
}

// person makes an identity with metadata, and a session.
func (r *rotation) person(key string, metadata any) (token string) {
	token = fmt.Sprintf("ory_st_%032d", r.people.Add(1))
	id := r.ory.PutIdentity(map[string]any{"id": r.identity(token), "created_at": time.Now().UTC(), key: metadata,
		"traits": map[string]any{"email": token + "@example.com"}})
	r.ory.PutSession(fakeory.Session{IdentityID: id, Token: token, IssuedAt: time.Now().UTC().Add(-time.Minute)})
	return token
}

func (r *rotation) identity(token string) string {
	return "1d000000-0000-4000-8000-" + token[len(token)-12:]
}

func (r *rotation) reserve(replica int) (id string, err error) {
	_, body, err := r.ask(replica, "POST", "/hooks/reserve", `{"metadata_public":{}}`, hooks.KeyHeader, r.hooks.Load().Reserve[0])
	var answer struct {
		Identity struct {
			Metadata struct{ ID string } `json:"metadata_public"`
		}
	}
	if err = errors.Join(err, json.Unmarshal(body, &answer)); err == nil && answer.Identity.Metadata.ID == "" {
		err = fmt.Errorf("no ID was reserved: %s", body)
	}
	return answer.Identity.Metadata.ID, err
}

func (r *rotation) auth(replica int, token string) (user, assertion string, err error) {
	header, _, err := r.ask(replica, "GET", "/auth", "", "X-Session-Token", token)
	return header.Get("X-User-Id"), header.Get("X-Auth-Assertion"), err
}

// ask asks a replica, and the other one if the first does not answer. Every answer must be
// 200.
func (r *rotation) ask(replica int, method, path, body string, header ...string) (http.Header, []byte, error) {
	var failed error
	for try := range 2 {
		p := r.replicas[(replica+try)%2]
		url := p.publicURL
		if strings.HasPrefix(path, "/admin/") {
			url = p.operatorURL
		}
		resp, err := r.send(url+path, method, body, header...)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		defer func() { _ = resp.Body.Close() }()
		answer, err := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK {
			err = errors.Join(err, fmt.Errorf("%s: %d %s", path, resp.StatusCode, answer))
		}
		return resp.Header, answer, err
	}
	return nil, nil, failed
}

func (r *rotation) send(url, method, body string, header ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(context.WithoutCancel(r.t.Context()), method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if len(header) == 2 {
		req.Header.Set(header[0], header[1])
	}
	return r.client.Do(req)
}

func (r *rotation) must(id string, err error) string {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

// verify verifies an assertion as an application does.
func verify(assertion, user string, keys *jose.JSONWebKeySet) error {
	token, err := jwt.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return fmt.Errorf("the assertion %q: %w", assertion, err)
	}
	var claims jwt.Claims
	if err := token.Claims(keys, &claims); err != nil {
		return fmt.Errorf("the assertion: %w", err)
	}
	return claims.Validate(jwt.Expected{Issuer: "https://symbolon.example", AnyAudience: jwt.Audience{"app"}, Subject: user})
}
