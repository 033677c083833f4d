package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/symbolontest"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// goldenServer is `symbolon serve` in this process. The tests use only its environment
// and its two addresses, so they do not depend on the package that answers.
type goldenServer struct {
	t                *testing.T
	public, operator string // addresses
	client           *http.Client
	text             strings.Builder // requests and answers since the last call of take
	names            []string        // pairs for strings.NewReplacer: a varying value and its name
}

// serveGolden starts a server. It stops at the end of the test and must exit with 0.
func serveGolden(t *testing.T, pairs ...string) *goldenServer {
	t.Helper()
	env := cmdtest.Env(append([]string{"SYMBOLON_SERVE_PUBLIC", "127.0.0.1:0", "SYMBOLON_SERVE_ADMIN", "127.0.0.1:0", "SYMBOLON_RECONCILE_EVERY", "0s", "SYMBOLON_SERVE_DRAIN", "0s",
		"SYMBOLON_RECONCILE_LOAD", "100%", "SYMBOLON_DATABASE", "sqlite://" + filepath.Join(t.TempDir(), "symbolon.db")}, pairs...)...)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	logs, ended := &cmdtest.Buffer{}, make(chan int, 1)
	go func() { ended <- run(ctx, []string{"serve"}, env, cli.Stdio{Out: logs, Err: logs}) }()
	s := &goldenServer{t: t, client: &http.Client{Transport: &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("exit code %d", code)
		}
		if t.Failed() {
			t.Logf("the server logged:\n%s", logs)
		}
	})
	listening := regexp.MustCompile(`"side":"(public|operator)","address":"([^"]+)"`)
	cmdtest.Eventually(t, "the server listens", func() bool {
		for _, m := range listening.FindAllStringSubmatch(logs.String(), -1) {
			if m[1] == "public" {
				s.public = "http://" + m[2]
			} else {
				s.operator = "http://" + m[2]
			}
		}
		return s.public != "" && s.operator != ""
	})
	cmdtest.Eventually(t, "the server is ready", func() bool {
		r, err := s.client.Get(s.public + "/readyz")
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	return s
}

// name replaces a varying value by a name in the output.
func (s *goldenServer) name(value, name string) string {
	s.t.Helper()
	if value == "" {
		s.t.Fatalf("the value %s is empty", name)
	}
	s.names = append(s.names, value, "<"+name+">")
	return value
}

// somebody signs a person up at Ory.
func (s *goldenServer) somebody(ory *fakeory.Ory, name string) *symbolontest.Person {
	s.t.Helper()
	p, err := ory.Register(s.t.Context(), name+"@example.com", cmdtest.Password, name)
	if err != nil {
		s.t.Fatal(err)
	}
	s.name(p.IdentityID, name+"'s identity")
	s.name(p.SessionID, name+"'s session")
	s.name(p.Token, name+"'s token")
	return p
}

// send sends a request without recording it. request is for example "GET /path".
func (s *goldenServer) send(side, request, body string, header ...string) (*http.Response, string) {
	s.t.Helper()
	method, path, _ := strings.Cut(request, " ")
	r, err := http.NewRequestWithContext(s.t.Context(), method, side+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	w, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = w.Body.Close() }()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return w, string(text)
}

// ask sends a request and records it with its answer. It returns the body.
func (s *goldenServer) ask(side, request, body string, header ...string) string {
	s.t.Helper()
	w, answer := s.send(side, request, body, header...)
	fmt.Fprintf(&s.text, "> %s\n", request)
	for i := 0; i+1 < len(header); i += 2 {
		fmt.Fprintf(&s.text, "> %s: %s\n", header[i], header[i+1])
	}
	if body != "" {
		fmt.Fprintf(&s.text, "> %s\n", body)
	}
	if w.Close {
		w.Header.Set("Connection", "close") // net/http removes it
	}
	fmt.Fprintf(&s.text, "< %d%s\n", w.StatusCode, shorten(w.Header))
	for _, name := range slices.Sorted(maps.Keys(w.Header)) {
		fmt.Fprintf(&s.text, "< %s: %s\n", name, strings.Join(w.Header[name], " | "))
	}
	for line := range strings.Lines(answer) {
		fmt.Fprintf(&s.text, "< %s\n", strings.TrimRight(line, "\n"))
	}
	s.text.WriteString("\n")
	return answer
}

// short are words for headers that many answers share.
var short = []struct {
	word    string
	headers map[string]string
}{
	{"JSON", map[string]string{"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}},
	{"NOBODY", map[string]string{"X-User-Id": "", "X-Identity-Id": "", "X-Session-Id": "", "X-Auth-Aal": "", "X-Auth-Email": "", "X-Auth-Assertion": ""}},
}

// shorten replaces common headers by a word, and removes headers without information.
func shorten(h http.Header) (words string) {
	h.Del("Date")
	h.Del("Content-Length")
	for _, s := range short {
		all := true
		for name, value := range s.headers {
			all = all && len(h[name]) == 1 && h[name][0] == value
		}
		if all {
			words += " " + s.word
			maps.DeleteFunc(h, func(name string, _ []string) bool { _, ok := s.headers[name]; return ok })
		}
	}
	return words
}

// legend explains a golden file of requests and answers.
func legend() string {
	var b strings.Builder
	b.WriteString("> is a request, < is the answer. Date and Content-Length are left out.\n")
	for _, s := range short {
		fmt.Fprintf(&b, "%s means the headers", s.word)
		for _, name := range slices.Sorted(maps.Keys(s.headers)) {
			fmt.Fprintf(&b, " [%s: %s]", name, s.headers[name])
		}
		b.WriteString("\n")
	}
	return b.String() + "\n"
}

// title starts a part of the golden file.
func (s *goldenServer) title(text string) { fmt.Fprintf(&s.text, "# %s\n\n", text) }

var (
	aJWT    = regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`)
	varying = []struct {
		form *regexp.Regexp
		name string
	}{
		{regexp.MustCompile(`"(iat|nbf|exp|auth_time)":\d+`), `"$1":<unix time>`},
		{regexp.MustCompile(`"(kid|x)":"[\w-]{43}"`), `"$1":"<of the day>"`},               // keys of assertions
		{regexp.MustCompile(`"id":\d+,"at":`), `"id":<n>,"at":`},                           // events
		{regexp.MustCompile(`"no_back_reference":[01]\b`), `"no_back_reference":<0 or 1>`}, // a job writes it, before or after the listing
		{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "<time>"},
		{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "<UUID>"},
	}
)

// take returns the recorded text. Names replace varying values, and a JWT is shown by its
// header and claims.
func (s *goldenServer) take() string {
	text := aJWT.ReplaceAllStringFunc(s.text.String(), func(token string) string {
		parts := strings.Split(token, ".")
		header, _ := base64.RawURLEncoding.DecodeString(parts[0])
		claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
		return fmt.Sprintf("<JWT %s %s>", header, claims)
	})
	text = strings.NewReplacer(s.names...).Replace(text)
	for _, v := range varying {
		text = v.form.ReplaceAllString(text, v.name)
	}
	s.text.Reset()
	return legend() + text
}

// member returns the text at a path of a JSON document.
func (s *goldenServer) member(document string, path ...string) string {
	s.t.Helper()
	var v any
	if err := json.Unmarshal([]byte(document), &v); err != nil {
		s.t.Fatal(err)
	}
	for _, key := range path {
		object, _ := v.(map[string]any)
		v = object[key]
	}
	text, _ := v.(string)
	return text
}

const (
	goldenAdminKey = cmdtest.Key + "-admin"
	goldenReserve  = cmdtest.Key + "-reserve"
	goldenLink     = cmdtest.Key + "-link"
	goldenSync     = cmdtest.Key + "-sync"
	goldenHydrate  = "oathkeeper:" + cmdtest.Key + "-hydrate"
	nobodysID      = "1d000000-0000-4000-8000-000000000001"
)

var oathkeepers = base64.StdEncoding.EncodeToString([]byte(goldenHydrate))

// TestGoldenHTTP pins every route of both listeners, and the metrics.
func TestGoldenHTTP(t *testing.T) {
	ory := fakeory.Start(t, fakeory.Config{})
	s := serveGolden(t, "SYMBOLON_ORY_PUBLIC_URL", ory.PublicURL, "SYMBOLON_ORY_ADMIN_URL", ory.AdminURL, "SYMBOLON_SERVE_ADMIN_KEY", goldenAdminKey,
		"SYMBOLON_HOOKS_KEYS_RESERVE", goldenReserve, "SYMBOLON_HOOKS_KEYS_LINK", goldenLink, "SYMBOLON_HOOKS_KEYS_SYNC", goldenSync,
		"SYMBOLON_HOOKS_BASIC_HYDRATE", goldenHydrate, "SYMBOLON_AUTH_AUDIENCE", "https://app.example.com",
		"SYMBOLON_AUTH_LOGIN_URL", "https://ory.example.com/self-service/login/browser",
		"SYMBOLON_AUTH_POLICIES", `{"verified":{"verified":true},"browser":{"login_redirect":true}}`,
		"SYMBOLON_BACK_REFERENCE_WRITE", "create") // people sign up without the reserve hook, and answers show the ID at Ory
	for _, key := range []string{"admin", "reserve", "link", "sync"} {
		s.name(cmdtest.Key+"-"+key, key+" key")
	}
	s.name(ory.PublicURL, "Ory")
	s.name(oathkeepers, "Oathkeeper's password")
	s.name(nobodysID, "nobody's ID")
	ada, bob := s.somebody(ory, "ada"), s.somebody(ory, "bob")
	if err := ory.Verify(t.Context(), ada.IdentityID); err != nil {
		t.Fatal(err)
	}
	s.publicSide(ory, ada, bob)
	golden(t, "public.http", s.take())
	s.operatorSide(ory, ada, bob)
	golden(t, "operator.http", s.take())
	w, metrics := s.send(s.operator, "GET /metrics", "", "Authorization", "Bearer "+goldenAdminKey)
	for _, m := range unasked.FindAllStringSubmatch(metrics, -1) {
		t.Errorf("%s has a route that is not pinned: %s", m[1], m[2])
	}

	other := keylessServer(t)
	golden(t, "keyless.http", other.take())
	_, more := other.send(other.operator, "GET /metrics", "")
	golden(t, "metrics.txt", w.Header.Get("Content-Type")+"\n"+families(metrics+more))
}

// unasked matches a route that has answered no request, in the metrics.
var unasked = regexp.MustCompile(`symbolon_http_request_duration_seconds_count\{listener="(\w+)",route="([^"]+)"\} 0\n`)

// written waits until the back-reference is written and recorded, so that the following
// answers do not vary.
func (s *goldenServer) written(p *symbolontest.Person, user string) {
	s.t.Helper()
	cmdtest.Eventually(s.t, "the back-reference is written", func() bool {
		_, body := s.send(s.operator, "GET /admin/identities/"+p.IdentityID, "", "Authorization", "Bearer "+goldenAdminKey)
		return s.member(body, "identity", "back_reference") == user && s.member(body, "link", "back_reference") == user
	})
}

func (s *goldenServer) publicSide(ory *fakeory.Ory, ada, bob *symbolontest.Person) {
	public := func(request, body string, header ...string) string {
		s.t.Helper()
		return s.ask(s.public, request, body, header...)
	}
	s.title("Hooks")
	for _, hook := range []struct{ path, key, good string }{
		{"/hooks/reserve", goldenReserve, `{"metadata_public":{"plan":"free"}}`},
		{"/hooks/link", goldenLink, fmt.Sprintf(`{"identity_id":%q}`, ada.IdentityID)},
		{"/hooks/sync", goldenSync, fmt.Sprintf(`{"identity_id":%q}`, ada.IdentityID)},
	} {
		public("GET "+hook.path, "")
		public("POST "+hook.path, hook.good)
		public("POST "+hook.path, hook.good, "X-Symbolon-Key", "junk")
		for _, body := range []string{"junk", "{}", `{"identity_id":7}`, `{"identity_id":"` + nobodysID + `"}`, hook.good} {
			public("POST "+hook.path, body, "X-Symbolon-Key", hook.key)
		}
		public("POST "+hook.path, "a=b", "X-Symbolon-Key", hook.key, "Content-Type", "application/x-www-form-urlencoded")
	}
	w, _ := s.send(s.public, "GET /auth", "", "X-Session-Token", ada.Token)
	s.written(ada, s.name(w.Header.Get("X-User-Id"), "ada's user"))
	w, _ = s.send(s.public, "GET /auth", "", "X-Session-Token", bob.Token)
	s.written(bob, s.name(w.Header.Get("X-User-Id"), "bob's user"))

	s.title("Forward-auth")
	for _, path := range []string{"/auth", "/auth/optional", "/auth/aal2", "/auth/p/verified", "/auth/p/browser", "/auth/p/default/any/thing"} {
		public("GET "+path, "")
		public("GET "+path, "", "X-Session-Token", "junk")
		public("GET "+path, "", "X-Session-Token", ada.Token)
	}
	for _, path := range []string{"/auth/", "/auth/unknown", "/auth/p/unknown"} {
		public("GET "+path, "", "X-Session-Token", ada.Token)
	}
	public("GET /auth", "", "Cookie", "ory_kratos_session=junk")
	public("GET /auth", "", "Authorization", "Bearer "+ada.Token)
	public("GET /auth", "", "X-Session-Token", ada.Token, "X-User-Id", "evil")
	public("POST /auth", "", "X-Session-Token", ada.Token)
	public("GET /auth/p/verified", "", "X-Session-Token", bob.Token)
	public("GET /auth/p/browser", "", "Accept", "text/html", "Sec-Fetch-Mode", "navigate")
	carol := s.somebody(ory, "carol")
	ory.RequireSecondFactor(carol.IdentityID)
	public("GET /auth", "", "X-Session-Token", carol.Token)
	public("GET /auth/optional", "", "X-Session-Token", carol.Token)

	s.title("Who am I")
	public("GET /me", "")
	public("GET /me", "", "X-Session-Token", "junk")
	public("GET /me", "", "X-Session-Token", ada.Token)
	public("HEAD /me", "", "X-Session-Token", ada.Token)
	public("POST /me", "", "X-Session-Token", ada.Token)

	s.title("Oathkeeper's hydrator")
	basic := "Basic " + oathkeepers
	hydration := func(subject string) string { return fmt.Sprintf(`{"subject":%q,"extra":{"a":1},"header":{}}`, subject) }
	public("GET /hydrate", "")
	public("POST /hydrate", hydration(ada.IdentityID))
	public("POST /hydrate", "junk", "Authorization", basic)
	public("POST /hydrate", "{}", "Authorization", basic)
	public("POST /hydrate", hydration("anonymous"), "Authorization", basic)
	public("POST /hydrate", hydration(ada.IdentityID), "Authorization", basic)
	public("POST /hydrate", hydration(bob.IdentityID), "Authorization", basic, "X-Session-Token", ada.Token)
	public("POST /hydrate", hydration(ada.IdentityID), "Authorization", basic, "X-Session-Token", ada.Token)

	s.title("The rest")
	public("GET /.well-known/jwks.json", "")
	public("POST /.well-known/jwks.json", "")
	for _, request := range []string{"GET /healthz", "HEAD /healthz", "POST /healthz", "GET /readyz", "POST /readyz", "GET /", "GET /unknown", "PURGE /unknown", "GET //auth", "GET /%61uth", "GET /metrics", "GET /admin/users/42", "POST /hooks/unknown"} {
		public(request, "")
	}
}

func (s *goldenServer) operatorSide(ory *fakeory.Ory, ada, bob *symbolontest.Person) {
	key := []string{"Authorization", "Bearer " + goldenAdminKey}
	operator := func(request, body string, header ...string) string {
		s.t.Helper()
		return s.ask(s.operator, request, body, append(header, key...)...)
	}
	userOf := func(p *symbolontest.Person) string {
		s.t.Helper()
		_, body := s.send(s.operator, "GET /admin/identities/"+p.IdentityID, "", key...)
		return s.member(body, "user", "id")
	}
	adasUser, bobsUser := userOf(ada), userOf(bob)

	s.title("The key")
	for _, request := range []string{"GET /admin/users/" + adasUser, "DELETE /admin/users/" + adasUser, "GET /metrics", "GET /unknown", "GET /healthz"} {
		s.ask(s.operator, request, "")
	}
	s.ask(s.operator, "GET /metrics", "", "Authorization", "Bearer junk")

	s.title("People")
	for _, request := range []string{
		"GET /admin/users/" + adasUser, "GET /admin/users/42", "GET /admin/users/" + ada.IdentityID, "PATCH /admin/users/42",
		"GET /admin/identities/" + ada.IdentityID, "GET /admin/identities/42", "GET /admin/identities/" + nobodysID, "PATCH /admin/identities/42",
		"POST /admin/identities/" + ada.IdentityID + "/sync", "POST /admin/identities/42/sync", "POST /admin/identities/" + nobodysID + "/sync", "GET /admin/identities/42/sync",
		"POST /admin/users/" + adasUser + "/refresh", "POST /admin/users/42/refresh", "GET /admin/users/" + adasUser + "/refresh",
		"POST /admin/users/" + adasUser + "/invite", "POST /admin/users/42/invite", "GET /admin/users/" + adasUser + "/invite",
	} {
		operator(request, "")
	}

	s.title("Links")
	bind := func(identity, user, rest string) string {
		return fmt.Sprintf(`{"identity_id":%q,"user_id":%q%s}`, identity, user, rest)
	}
	for _, body := range []string{"", "junk", "[]", "{}", bind("42", adasUser, ""), bind(ada.IdentityID, "", ""), bind(ada.IdentityID, adasUser, `,"moove":true`), bind(ada.IdentityID, adasUser, `,"move":"yes"`),
		bind(nobodysID, adasUser, ""), bind(ada.IdentityID, "42", ""), bind(ada.IdentityID, adasUser, ""), bind(bob.IdentityID, adasUser, ""), bind(bob.IdentityID, adasUser, `,"move":true,"why":"for ada@example.com"`), bind(bob.IdentityID, adasUser, `,"move":true,"why":"ticket 8812"`)} {
		operator("POST /admin/links", body)
	}
	operator("GET /admin/links", "")
	for _, request := range []string{"DELETE /admin/links/" + ada.IdentityID, "DELETE /admin/links/" + nobodysID + "?why=a@b.c", "DELETE /admin/merges/" + adasUser, "DELETE /admin/merges/42?dry_run=no"} {
		operator(request, "")
	}
	for _, body := range []string{`{"from":"` + adasUser + `","into":"` + adasUser + `"}`, `{"from":"` + adasUser + `","into":"42","dry_run":true}`, `{"from":"` + adasUser + `"}`} {
		operator("POST /admin/merges", body)
	}
	operator("GET /admin/users/"+adasUser, "")
	operator("GET /admin/users/"+bobsUser, "")
	operator("GET /admin/identities/"+ada.IdentityID, "")
	s.ask(s.public, "GET /auth", "", "X-Session-Token", ada.Token) // the identity is on hold
	s.ask(s.public, "GET /auth/optional", "", "X-Session-Token", ada.Token)

	s.title("Reconcile and findings")
	operator("GET /admin/findings", "") // only one, because several are in the order of random IDs
	for _, body := range []string{"junk", "[]", `{"repare":true}`, `{"repair":"yes"}`, `{"only":["telepathy"]}`, `{"allow_missing":-1}`} {
		operator("POST /admin/reconcile", body)
	}
	for _, body := range []string{"", `{"repair":true}`} {
		id := s.name(s.member(operator("POST /admin/reconcile", body), "run", "id"), "run")
		cmdtest.Eventually(s.t, "the run ends", func() bool {
			_, body := s.send(s.operator, "GET /admin/reconcile/"+id, "", key...)
			return strings.Contains(body, `"report":`)
		})
		operator("GET /admin/reconcile/"+id, "")
	}
	for _, request := range []string{"GET /admin/reconcile/42", "GET /admin/reconcile", "GET /admin/findings?kind=moved&limit=1", "GET /admin/findings?kind=foreign_back_reference", "GET /admin/findings?kind=telepathy", "GET /admin/findings?limit=0", "GET /admin/findings?after=junk", "GET /admin/findings?page=1", "POST /admin/findings",
		"POST /admin/findings/1/repair", "POST /admin/findings/99/repair", "POST /admin/findings/x/repair", "GET /admin/findings/1/repair"} {
		operator(request, "")
	}

	s.title("Sessions")
	for _, request := range []string{"DELETE /admin/sessions/42", "DELETE /admin/sessions/" + nobodysID, "DELETE /admin/sessions/" + ada.SessionID, "GET /admin/sessions/42",
		"DELETE /admin/identities/42/sessions", "DELETE /admin/identities/" + nobodysID + "/sessions", "DELETE /admin/identities/" + bob.IdentityID + "/sessions", "GET /admin/identities/42/sessions"} {
		operator(request, "")
	}

	s.title("Erasures")
	for _, request := range []string{"DELETE /admin/users/42", "DELETE /admin/identities/42", "DELETE /admin/identities/" + nobodysID, "DELETE /admin/users/" + adasUser + "?rwo=delete", "DELETE /admin/users/" + adasUser + "?row=keep",
		"DELETE /admin/users/" + adasUser + "?half=identity", "DELETE /admin/users/42?half=user"} {
		operator(request, "")
	}
	for _, query := range []string{"?dry_run=yes", "?dry_run", "?dry_run=true&row=keep", "?dry_run=true", "?dry_run=true&row=delete"} {
		operator("DELETE /admin/users/"+adasUser+query, "")
	}
	id := s.name(s.member(operator("DELETE /admin/users/"+adasUser+"?row=anonymise&why=ticket+8812", ""), "erasure", "id"), "erasure")
	operator("DELETE /admin/users/"+adasUser+"?dry_run=true", "")
	operator("GET /admin/erasures/"+id, "")
	operator("GET /admin/erasures/42", "")
	operator("GET /admin/erasures/"+nobodysID, "")
	operator("DELETE /admin/erasures/"+id, "")
	operator("GET /admin/users/"+adasUser, "")
	operator("GET /admin/identities/"+bob.IdentityID, "")

	s.title("The rest")
	for _, request := range []string{"GET /healthz", "POST /healthz", "POST /metrics", "GET /", "GET /unknown", "GET /admin", "GET /admin/users/", "GET //metrics", "GET /auth", "POST /hooks/link"} {
		operator(request, "")
	}
}

// keylessServer has no operator's key and no admin API of Ory, and an application makes
// its users.
func keylessServer(t *testing.T) *goldenServer {
	t.Helper()
	ory := fakeory.Start(t, fakeory.Config{})
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(string(body), "bob@example.com") {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, `{"error":"no more users"}`)
			return
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"id":42}`)
	}))
	t.Cleanup(app.Close)
	s := serveGolden(t, "SYMBOLON_ORY_PUBLIC_URL", ory.PublicURL, "SYMBOLON_USERS_CREATE_URL", app.URL+"/users", "SYMBOLON_USERS_COLUMNS", `{"email":"traits.email"}`)
	ada, bob := s.somebody(ory, "ada"), s.somebody(ory, "bob")
	s.title("An application makes the users")
	s.ask(s.public, "GET /auth", "", "X-Session-Token", ada.Token)
	s.ask(s.public, "GET /auth", "", "X-Session-Token", bob.Token)
	s.ask(s.public, "GET /.well-known/jwks.json", "")
	s.title("Only programs on this machine are operators")
	s.ask(s.operator, "GET /admin/users/42", "")
	for _, header := range [][]string{{"X-Forwarded-For", "192.0.2.1"}, {"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}, {"Host", "evil.example"}} {
		s.ask(s.operator, "GET /admin/users/42", "", header...)
	}
	s.title("There is no admin API of Ory")
	s.ask(s.operator, "POST /admin/identities/"+ada.IdentityID+"/sync", "")
	s.ask(s.operator, "POST /admin/reconcile", "")
	s.ask(s.operator, "DELETE /admin/sessions/"+ada.SessionID, "")
	s.ask(s.operator, "DELETE /admin/users/42", "")
	s.title("Ory does not answer") // last, because the server does not ask Ory for a second afterwards
	carol := s.somebody(ory, "carol")
	ory.Break(fakeory.Failing{Route: "GET /sessions/whoami"})
	s.ask(s.public, "GET /auth", "", "X-Session-Token", carol.Token)
	s.ask(s.public, "GET /auth/optional", "", "X-Session-Token", carol.Token)
	s.ask(s.public, "GET /readyz", "")
	return s
}

var sample = regexp.MustCompile(`^([a-zA-Z_:]+)(?:\{(.*)\})? `)

// families lists the metrics by name, type, help and labels, without values. Metrics of
// Go and of the process belong to the Prometheus library, so only their names are listed.
func families(exposition string) string {
	lines, labels := map[string]bool{}, regexp.MustCompile(`(\w+)="`)
	for line := range strings.Lines(exposition) {
		line = strings.TrimSpace(line)
		name := strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE ")
		if library, _, _ := strings.Cut(name, "_"); library == "go" || library == "process" {
			lines[library+"_…"] = true
		} else if strings.HasPrefix(line, "#") {
			kind, rest, _ := strings.Cut(strings.TrimPrefix(line, "# "), " ")
			family, text, _ := strings.Cut(rest, " ")
			lines[family+" "+kind+" "+text] = true
		} else if m := sample.FindStringSubmatch(line); m != nil {
			var names []string
			for _, label := range labels.FindAllStringSubmatch(m[2], -1) {
				names = append(names, label[1])
			}
			lines[m[1]+" {"+strings.Join(names, ", ")+"}"] = true
		}
	}
	sorted := make([]string, 0, len(lines))
	for line := range lines {
		sorted = append(sorted, line)
	}
	slices.Sort(sorted)
	return strings.Join(sorted, "\n") + "\n"
}
