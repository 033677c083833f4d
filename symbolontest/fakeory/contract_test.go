package fakeory_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/symbolontest"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// The contract suite runs against the fake in its older generation and against a real
// Kratos of that generation, with the same kratos.yml.

// people has the methods that the fake and a real Kratos share.
type people interface {
	Register(ctx context.Context, email, password, name string) (*symbolontest.Person, error)
	Login(ctx context.Context, email, password string) (*symbolontest.Person, error)
	LoginBrowser(ctx context.Context, email, password string) (*http.Cookie, error)
	Logout(ctx context.Context, token string) error
	Whoami(ctx context.Context, token string) (json.RawMessage, int, error)
	CreateIdentity(ctx context.Context, body any) (id string, err error)
	DeleteIdentity(ctx context.Context, id string) error
	CountIdentities(ctx context.Context) (int, error)
}

type subject struct {
	people
	public, admin string
	app           *application
}

const password = "a-long-Enough-passw0rd"

func TestContract(t *testing.T) {
	t.Parallel()
	t.Run("fake", func(t *testing.T) {
		t.Parallel()
		app := newApplication(t)
		hooks, err := fakeory.HooksFromKratos(app.overlay())
		if err != nil {
			t.Fatal(err)
		}
		o := fakeory.Start(t, fakeory.Config{Hooks: hooks})
		contract(t, subject{o, o.PublicURL, o.AdminURL, app})
	})
	t.Run("fake in memory", func(t *testing.T) {
		t.Parallel()
		app := newApplication(t)
		hooks, err := fakeory.HooksFromKratos(app.overlay())
		if err != nil {
			t.Fatal(err)
		}
		o := fakeory.Start(t, fakeory.Config{Hooks: hooks, InMemory: true})
		inMemory.Store(o)
		contract(t, subject{o, o.PublicURL, o.AdminURL, app})
	})
	t.Run("kratos", func(t *testing.T) {
		t.Parallel()
		app := newApplication(t)
		k := symbolontest.StartKratos(t, symbolontest.KratosConfig{Overlay: app.overlay()})
		contract(t, subject{k, k.PublicURL, k.AdminURL, app})
	})
}

func contract(t *testing.T, s subject) {
	for _, c := range []struct {
		name string
		test func(*testing.T, subject)
	}{
		{"identities", identities}, {"duplicates", duplicates}, {"patch", patches}, {"lost update", lostUpdate},
		{"put erases", putErases}, {"listing", listing}, {"batch", batches}, {"sessions", sessions}, {"whoami", whoami},
		{"inactive", inactive}, {"ports", ports}, {"parse hooks", parseHooks}, {"plain hooks", plainHooks}, {"client", client},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, s) })
	}
}

// response is an answer with the parts that the contract compares.
type response struct {
	status int
	header http.Header
	text   string
	json   map[string]any
}

var direct = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     byHost{&http.Transport{DisableKeepAlives: true}},
}

// inMemory is the fake that byHost uses for requests to the in-memory addresses.
var inMemory atomic.Pointer[fakeory.Ory]

type byHost struct{ network http.RoundTripper }

func (b byHost) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Hostname() == "kratos" {
		return inMemory.Load().RoundTrip(r)
	}
	return b.network.RoundTrip(r)
}

func ask(t *testing.T, method, target, body string, header ...string) response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("Accept", "application/json")
	for n := 0; n < len(header); n += 2 {
		request.Header.Set(header[n], header[n+1])
	}
	got, err := direct.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	text, _ := io.ReadAll(got.Body) // some tests expect a cut body
	r := response{status: got.StatusCode, header: got.Header, text: string(text)}
	_ = json.Unmarshal(text, &r.json)
	return r
}

// expect sends a request and compares the status and, if given, the reason or message.
func expect(t *testing.T, status int, words, method, target, body string, header ...string) response {
	t.Helper()
	r := ask(t, method, target, body, header...)
	if r.status != status || !strings.Contains(r.text, words) {
		t.Errorf("%s %s %s: %d %s; want %d %s", method, target, body, r.status, r.text, status, words)
	}
	return r
}

var serial struct {
	sync.Mutex
	n int
}

func address(name string) string {
	serial.Lock()
	defer serial.Unlock()
	serial.n++
	return fmt.Sprintf("%s-%d@x.example", name, serial.n)
}

func (s subject) create(t *testing.T, metadata string) string {
	t.Helper()
	id, err := s.CreateIdentity(t.Context(), json.RawMessage(`{"schema_id":"default","traits":{"email":"`+address("made")+`"},"metadata_public":`+metadata+`}`))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (s subject) register(t *testing.T, name string) *symbolontest.Person {
	t.Helper()
	p, err := s.Register(t.Context(), address(name), password, "P")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (s subject) at(id string) string { return s.admin + "/admin/identities/" + id }

func identities(t *testing.T, s subject) {
	id := s.create(t, `{"id":"1"}`)
	r := expect(t, 200, `"metadata_admin":null`, "GET", s.at(id), "")
	if r.json["state"] != "active" || r.json["schema_id"] != "default" {
		t.Errorf("made %s", r.text)
	}
	expect(t, 404, "Unable to locate the resource", "GET", s.at("9d0c3c2a-7a54-4c1e-9a35-0f5b6a1d2e3f"), "")
	expect(t, 404, "Unable to locate the resource", "GET", s.at("not-a-uuid"), "")
	expect(t, 400, `json: unknown field \"id\"`, "POST", s.admin+"/admin/identities", `{"schema_id":"default","traits":{"email":"a@x.example"},"id":"x"}`)
	expect(t, 400, `missing properties: \"email\"`, "POST", s.admin+"/admin/identities", `{"schema_id":"default","traits":{}}`)
	expect(t, 400, `is not valid \"email\"`, "POST", s.admin+"/admin/identities", `{"schema_id":"default","traits":{"email":"nobody"}}`)
	expect(t, 204, "", "DELETE", s.at(id), "")
	expect(t, 404, "", "DELETE", s.at(id), "")
	expect(t, 404, "404 page not found", "GET", s.at("by/external/nobody"), "")
}

func duplicates(t *testing.T, s subject) {
	email := address("Dup")
	body := `{"schema_id":"default","traits":{"email":"` + email + `"}}`
	expect(t, 201, "", "POST", s.admin+"/admin/identities", body)
	expect(t, 409, "conflicts with another identity", "POST", s.admin+"/admin/identities", strings.Replace(body, "Dup", "dup", 1))
	r := expect(t, 200, strings.ToLower(email), "GET", s.admin+"/admin/identities?credentials_identifier="+url.QueryEscape(" "+strings.ToUpper(email)), "")
	if !strings.Contains(r.text, `"credentials"`) {
		t.Errorf("listing by identifier has no credentials: %s", r.text)
	}
	var refused *symbolontest.KratosError
	if _, err := s.Register(t.Context(), strings.ToLower(email), password, "D"); !errors.As(err, &refused) || refused.Status != 400 || !strings.Contains(string(refused.Body), "4000007") {
		t.Errorf("an address in use: %v", err)
	}
}

func patches(t *testing.T, s subject) {
	null, object, text := s.create(t, `null`), s.create(t, `{"theme":"dark","n":9007199254740993}`), s.create(t, `"a string"`)
	add := `[{"op":"add","path":"/metadata_public/id","value":"42"}]`
	expect(t, 200, `"metadata_public":{"id":"42"}`, "PATCH", s.at(null), add)
	expect(t, 200, `9007199254740993`, "PATCH", s.at(object), add)
	expect(t, 200, `"theme":"dark"`, "GET", s.at(object), "")
	expect(t, 400, "json: cannot unmarshal string into Go value of type map[string]*jsonpatch.lazyNode", "PATCH", s.at(text), add)
	expect(t, 400, "unsupported operation: test", "PATCH", s.at(object), `[{"op":"test","path":"/metadata_public/id","value":"42"}]`)
	expect(t, 400, "patch includes denied path: /id", "PATCH", s.at(object), `[{"op":"replace","path":"/id","value":"x"}]`)
	expect(t, 400, "when applying the JSON patch", "PATCH", s.at(object), `[{"op":"remove","path":"/metadata_public/nope"}]`)
	expect(t, 200, `"id":"43"`, "PATCH", s.at(object), `[{"op":"replace","path":"/metadata_public/id","value":"43"}]`)
	expect(t, 200, `"new":1`, "PATCH", s.at(object), `[{"op":"replace","path":"/metadata_public/new","value":1}]`)
	expect(t, 200, `{"app":{"id":"x"}}`, "PATCH", s.at(object), `[{"op":"add","path":"/metadata_admin/app/id","value":"x"}]`)
	expect(t, 200, "", "PATCH", s.at(object), `[{"op":"add","path":"/external_id","value":"x"}]`)
	expect(t, 200, "", "PATCH", s.at(object), `[]`)
	r := expect(t, 200, "", "GET", s.at(object), "")
	if r.json["updated_at"] != r.json["created_at"] || strings.Contains(r.text, "external_id") {
		t.Errorf("after a PATCH: %s", r.text)
	}
	expect(t, 404, "", "PATCH", s.at("9d0c3c2a-7a54-4c1e-9a35-0f5b6a1d2e3f"), add)
	expect(t, 200, `"state":"inactive"`, "PATCH", s.at(object), `[{"op":"replace","path":"/state","value":"inactive"}]`)
}

// lostUpdate sends writes at the same time. All are answered with 200, but some are lost.
// It repeats because the race does not happen every time.
func lostUpdate(t *testing.T, s subject) {
	if o, fake := s.people.(*fakeory.Ory); fake {
		defer o.Break(fakeory.SlowWrites{Wait: 2 * time.Millisecond})()
	}
	for range 20 {
		id := s.create(t, `{}`)
		var group sync.WaitGroup
		for n := range 16 {
			group.Go(func() {
				expect(t, 200, "", "PATCH", s.at(id), fmt.Sprintf(`[{"op":"add","path":"/metadata_public/k%d","value":1}]`, n))
			})
		}
		group.Wait()
		kept, _ := ask(t, "GET", s.at(id), "").json["metadata_public"].(map[string]any)
		if len(kept) < 16 {
			return
		}
	}
	t.Error("none of 320 concurrent PATCHes was lost; perhaps Ory has a lock now")
}

func putErases(t *testing.T, s subject) {
	id := s.create(t, `{"id":"1"}`)
	expect(t, 200, "", "PATCH", s.at(id), `[{"op":"add","path":"/metadata_admin/k","value":1}]`)
	email := address("put")
	r := expect(t, 200, email, "PUT", s.at(id), `{"schema_id":"default","state":"active","typo":1,"traits":{"email":"`+email+`"}}`)
	if r.json["metadata_public"] != nil {
		t.Errorf("PUT kept %s", r.text)
	}
	expect(t, 200, `"metadata_public":null,"metadata_admin":null`, "GET", s.at(id), "")
}

func listing(t *testing.T, s subject) {
	var made []string
	for range 5 {
		made = append(made, s.create(t, `null`))
	}
	slices.Sort(made)
	var seen []string
	for next := "/admin/identities?page_size=2&state=ignored"; next != ""; {
		r := expect(t, 200, "", "GET", s.admin+next, "")
		var page []struct{ ID string }
		if err := json.Unmarshal([]byte(r.text), &page); err != nil || len(page) > 2 || strings.Contains(r.text, `"credentials"`) {
			t.Fatalf("page %s: %v", r.text, err)
		}
		for _, i := range page {
			seen = append(seen, i.ID)
		}
		first, rest, more := strings.Cut(r.header.Get("Link"), ",")
		if first != `</admin/identities?page_size=2&page_token=00000000-0000-0000-0000-000000000000&state=ignored>; rel="first"` {
			t.Errorf("Link %s", first)
		}
		if next = ""; more {
			next = strings.TrimSuffix(strings.TrimPrefix(rest, "<"), `>; rel="next"`)
		}
	}
	if count, err := s.CountIdentities(t.Context()); err != nil || count != len(seen) || !slices.IsSorted(seen) {
		t.Errorf("listed %d of %d, sorted %t, %v", len(seen), count, slices.IsSorted(seen), err)
	}
	r := expect(t, 200, made[0], "GET", s.admin+"/admin/identities?ids="+made[0]+"&ids=9d0c3c2a-7a54-4c1e-9a35-0f5b6a1d2e3f", "")
	if strings.Count(r.text, `"schema_url"`) != 1 {
		t.Errorf("by ids: %s", r.text)
	}
}

func batches(t *testing.T, s subject) {
	item := func(n int, email string) string {
		return fmt.Sprintf(`{"patch_id":"00000000-0000-4000-8000-%012d","create":{"schema_id":"default","traits":{"email":"%s"}}}`, n, email)
	}
	batch := func(items ...string) string { return `{"identities":[` + strings.Join(items, ",") + `]}` }
	one, two := address("batch"), address("batch")
	expect(t, 200, `"action":"create"`, "PATCH", s.admin+"/admin/identities", batch(item(1, one)))
	r := expect(t, 200, `"code":409`, "PATCH", s.admin+"/admin/identities", batch(item(1, one), item(2, two)))
	list, _ := r.json["identities"].([]any)
	if len(list) != 2 || list[1].(map[string]any)["action"] != "create" {
		t.Fatalf("batch: %s", r.text)
	}
	expect(t, 404, "", "GET", s.at(list[1].(map[string]any)["identity"].(string)), "") // one conflict rolls all back
	expect(t, 200, `"code":400`, "PATCH", s.admin+"/admin/identities", batch(item(1, "no-address")))
	expect(t, 400, `uuid: incorrect UUID length 10 in string \"not-a-uuid\"`, "PATCH", s.admin+"/admin/identities", `{"identities":[{"patch_id":"not-a-uuid","create":{"traits":{}}}]}`)
}

func client(t *testing.T, s subject) {
	c := &ory.Client{PublicURL: s.public, AdminURL: s.admin, HTTP: direct}
	t.Cleanup(c.CloseIdleConnections)
	p := s.register(t, "client")
	id := symbolon.IdentityID(p.IdentityID)
	if _, err := c.AddPublicMetadata(t.Context(), id, "id", "42"); err != nil {
		t.Error(err)
	}
	session, err := c.Whoami(t.Context(), ory.Credential{Kind: ory.SessionToken, Value: p.Token})
	if err != nil || session.Identity.ID != id || !strings.Contains(string(session.Identity.MetadataPublic), "42") {
		t.Errorf("whoami %+v, %v", session, err)
	}
	seen := 0
	for _, err := range c.Identities(t.Context(), ory.ListOptions{PageSize: 3}) {
		if err != nil {
			t.Fatal(err)
		}
		seen++
	}
	if count, _ := s.CountIdentities(t.Context()); seen != count {
		t.Errorf("listed %d of %d", seen, count)
	}
	version, err := c.Version(t.Context())
	if err := errors.Join(err, c.Ready(t.Context()), c.ProbeSessions(t.Context()), c.RevokeSession(t.Context(), p.SessionID)); err != nil || version.ExternalID {
		t.Errorf("%+v, %v", version, err)
	}
	if s, err := c.Session(t.Context(), p.SessionID); err != nil || s.Active {
		t.Errorf("a revoked session: %+v, %v", s, err)
	}
	if _, err := c.Whoami(t.Context(), ory.Credential{Kind: ory.SessionToken, Value: p.Token}); !errors.Is(err, ory.ErrNoSession) {
		t.Errorf("whoami of a revoked session: %v", err)
	}
}
