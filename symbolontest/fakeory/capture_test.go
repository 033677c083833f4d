package fakeory_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/symbolontest"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// testdata contains exchanges with real servers of both generations. The tests repeat
// each exchange with the fake in the same state, and compare status, headers, the keys
// and types of the JSON, and the whole text of errors.

type capture struct {
	Request  exchangeRequest
	Response exchangeResponse
}

type exchangeRequest struct {
	Method, Path string
	Headers      map[string]any
	Body         json.RawMessage
}

type exchangeResponse struct {
	Status  int
	Headers map[string]any
	Body    json.RawMessage
}

// stage is a fake with one person who has a valid session.
type stage struct {
	*testing.T
	*fakeory.Ory
	generation fakeory.Generation
	ada        *symbolontest.Person
}

func newStage(t *testing.T, g fakeory.Generation, hooks fakeory.Hooks) *stage {
	s := &stage{T: t, Ory: fakeory.Start(t, fakeory.Config{Generation: g, Hooks: hooks}), generation: g}
	return s
}

// signUp creates the person of the session captures.
func (s *stage) signUp() *symbolontest.Person {
	s.Helper()
	p, err := s.Register(s.Context(), "who@x.example", password, "Who")
	if err != nil {
		s.Fatal(err)
	}
	if err := s.PatchIdentity(s.Context(), p.IdentityID, json.RawMessage(`[{"op":"add","path":"/metadata_public/id","value":"app-user-who"}]`)); err != nil {
		s.Fatal(err)
	}
	s.ada = p
	return p
}

func (s *stage) make(body string) string {
	s.Helper()
	id, err := s.CreateIdentity(s.Context(), json.RawMessage(body))
	if err != nil {
		s.Fatal(err)
	}
	return id
}

func made(email, rest string) string {
	return `{"schema_id":"default","traits":{"email":"` + email + `"}` + rest + `}`
}

func load(t *testing.T, g fakeory.Generation, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", g.String(), name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// repeat sends the request of the capture with the current path and headers.
func (s *stage) repeat(c capture, path string, headers ...string) {
	s.Helper()
	base := s.AdminURL
	if c.Request.Headers["Host"] == "KRATOS_PUBLIC" {
		base = s.PublicURL
	}
	body := string(c.Request.Body)
	if body == `""` {
		body = ""
	}
	s.compare(ask(s.T, c.Request.Method, base+path, body, headers...), c.Response)
}

func (s *stage) compare(got response, want exchangeResponse) {
	s.Helper()
	if got.status != want.Status {
		s.Errorf("status %d, captured %d: %s", got.status, want.Status, got.text)
	}
	s.compareHeaders(got, want)
	var text string
	if json.Unmarshal(want.Body, &text) == nil { // the body is not JSON
		if s.plain(got.text) != s.plain(text) {
			s.Errorf("body %q, captured %q", got.text, text)
		}
		return
	}
	var have, had any
	if json.Unmarshal([]byte(got.text), &have) != nil || json.Unmarshal(want.Body, &had) != nil {
		s.Fatalf("not JSON: %s", got.text)
	}
	s.same("", have, had)
}

func (s *stage) compareHeaders(got response, want exchangeResponse) {
	s.Helper()
	var have, had []string
	for name, values := range got.header {
		have = append(have, name+": "+s.plain(strings.Join(values, " and ")))
	}
	for name, value := range want.Headers {
		had = append(had, name+": "+s.plain(fmt.Sprint(value)))
	}
	variable := func(h string) bool {
		name, _, _ := strings.Cut(h, ":")
		return slices.Contains([]string{"Date", "Content-Length", "Transfer-Encoding", "Set-Cookie", "Connection"}, name)
	}
	have, had = slices.DeleteFunc(have, variable), slices.DeleteFunc(had, variable)
	slices.Sort(have)
	slices.Sort(had)
	if !slices.Equal(have, had) {
		s.Errorf("headers\n%q, captured\n%q", have, had)
	}
}

// plain removes values that differ from run to run.
func (s *stage) plain(text string) string {
	text = strings.NewReplacer(s.AdminURL, "http://KRATOS_ADMIN", s.PublicURL, "http://KRATOS_PUBLIC", "127.0.0.1:5432", "POSTGRES").Replace(text)
	text = strings.ReplaceAll(text, "POSTGRES (127.0.0.1)", "POSTGRES")
	return uuid.ReplaceAllStringFunc(text, func(id string) string {
		if id == zero {
			return id
		}
		return "UUID"
	})
}

// same compares keys and types, and the full text of errors and messages.
func (s *stage) same(at string, have, had any) {
	s.Helper()
	switch had := had.(type) {
	case map[string]any:
		is, ok := have.(map[string]any)
		if !ok {
			s.Errorf("%s is %v, captured an object", at, have)
			return
		}
		if k, want := slices.Sorted(maps.Keys(is)), slices.Sorted(maps.Keys(had)); !slices.Equal(k, want) {
			s.Errorf("%s has the keys %q, captured %q", at, k, want)
		}
		for key, value := range had {
			s.same(at+"/"+key, is[key], value)
		}
	case []any:
		is, ok := have.([]any)
		if !ok || len(is) == 0 && len(had) > 0 || len(had) == 0 && len(is) > 0 {
			s.Errorf("%s is %v, captured %d items", at, have, len(had))
			return
		}
		for n := range min(len(is), len(had)) {
			s.same(fmt.Sprintf("%s/%d", at, n), is[n], had[n])
		}
	case string:
		is, ok := have.(string)
		if !ok || strings.HasPrefix(at, "/error") && s.plain(is) != s.plain(had) || (uuid.MatchString(had) && had == zero) != (is == zero) {
			s.Errorf("%s is %v, captured %q", at, have, had)
		}
	default:
		if fmt.Sprintf("%T", have) != fmt.Sprintf("%T", had) {
			s.Errorf("%s is %v, captured %v", at, have, had)
		}
	}
}

func both(t *testing.T, test func(t *testing.T, g fakeory.Generation)) {
	for _, g := range []fakeory.Generation{fakeory.V1, fakeory.V26} {
		t.Run(g.String(), func(t *testing.T) { test(t, g) })
	}
}

// stages set up what each capture needs. They return the path and the headers of the
// request. An empty path means the path of the capture.
var stages = map[string]func(s *stage) (path string, headers []string){
	"create-201": nothing, "create-bad-traits-400": nothing, "create-unknown-field-400": nothing, "create-with-external-id": nothing,
	"get-404": nothing, "get-nil-404": nothing, "get-not-a-uuid": nothing, "delete-404": nothing, "patch-404": nothing,
	"by-external-404": nothing, "list-empty": nothing, "sessions-get-404": nothing, "whoami-none-401": nothing,
	"health-ready": nothing, "health-alive": nothing, "health-ready-admin-prefix": nothing, "health-ready-public": nothing,
	"version": nothing, "version-admin-prefix": nothing, "whoami-on-admin-port": nothing, "batch-all-created": nothing,
	"batch-bad-patch-id": nothing, "batch-dup-inside": nothing, "batch-malformed-hash": nothing,

	"create-dup-409":            having(made("create@x.example", ``)),
	"create-dup-no-credentials": having(made("create@x.example", ``)),
	"create-dup-external-id":    havingExternal("ext-create-1"),
	"batch-all-conflict":        having(made("batch-1@x.example", ``), made("batch-2@x.example", ``)),
	"batch-some-conflict":       having(made("batch-1@x.example", ``)),
	"list-by-identifier":        having(made("by-ident@x.example", ``)),
	"get-200": identity(made("create@x.example", `,"metadata_public":{"id":"a"},"metadata_admin":{"link":"l1"},
		"verifiable_addresses":[{"value":"create@x.example","via":"email","verified":true,"status":"completed"}]`)),
	"delete-204":                       identity(made("d@x.example", ``)),
	"patch-add-metadata-id-null":       identity(made("null@x.example", ``)),
	"patch-add-metadata-id-object":     identity(made("object@x.example", `,"metadata_public":{"theme":"dark"},"metadata_admin":{"k":1}`)),
	"patch-add-metadata-id-string-400": identity(made("string@x.example", `,"metadata_public":"a string"`)),
	"patch-test-op-400":                identity(made("object@x.example", `,"metadata_public":{"theme":"dark"}`)),
	"patch-denied-path":                identity(made("null@x.example", ``)),
	"patch-state-inactive":             identity(made("string@x.example", `,"metadata_public":"a string"`)),
	"put-omitting-metadata":            identity(made("put@x.example", `,"metadata_public":{"id":"a"},"metadata_admin":{"k":1}`)),

	"sessions-get-active":                            session(""),
	"sessions-get-active-expand-identity":            session("?expand=identity"),
	"sessions-delete-204":                            session(""),
	"sessions-get-revoked":                           session("", "session"),
	"sessions-get-of-deleted-404":                    session("", "identity"),
	"sessions-get-after-delete-of-identity-sessions": session("", "sessions"),
	"sessions-list-of-identity":                      sessionsOf(),
	"sessions-list-of-identity-active":               sessionsOf("session"),
	"sessions-delete-of-identity-204":                sessionsOf(),
	"sessions-delete-of-identity-404":                sessionsOf("sessions"),

	"by-external-200":      havingExternal("ext-create-1"),
	"patch-external-id":    identity(made("object@x.example", `,"metadata_public":{"theme":"dark","id":"b"},"metadata_admin":{"k":1}`)),
	"admin-on-public-port": nothing,

	"whoami-token-200": asked("X-Session-Token"), "whoami-bearer-200": asked("Authorization"), "whoami-cookie-200": asked("Cookie"),
	"whoami-junk-401": asked("X-Session-Token junk"), "whoami-junk-cookie": asked("Cookie junk"),
	"whoami-junk-cookie-plus-token":   asked("Cookie junk", "X-Session-Token"),
	"whoami-junk-cookie-plus-bearer":  asked("Cookie junk", "Authorization"),
	"whoami-junk-token-plus-cookie":   asked("X-Session-Token junk", "Cookie"),
	"whoami-cookie-plus-other-bearer": asked("Cookie", "Authorization junk"),
	"whoami-revoked-401":              asked("X-Session-Token", "revoke session"),
	"whoami-deleted-401":              asked("X-Session-Token", "revoke identity"),
	"whoami-inactive-401":             asked("X-Session-Token", "freeze"),
	"whoami-reactivated-200":          asked("X-Session-Token", "freeze", "thaw"),
	"whoami-aal2-403":                 asked("X-Session-Token", "second factor"),
}

func TestCaptures(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, g fakeory.Generation) {
		for name, set := range stages {
			t.Run(name, func(t *testing.T) {
				var c capture
				load(t, g, name, &c)
				s := newStage(t, g, fakeory.Hooks{})
				path, headers := set(s)
				if path == "" {
					path = c.Request.Path
				}
				if strings.HasSuffix(name, "-active") && strings.Contains(name, "list-of") {
					path += "?active=true"
				}
				s.repeat(c, path, headers...)
			})
		}
	})
}
