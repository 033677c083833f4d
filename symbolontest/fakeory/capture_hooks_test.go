package fakeory_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// hookCapture is a webhook of a real Kratos, with the answer of the receiver and the
// answer to the person.
type hookCapture struct {
	capture
	Then struct {
		Request exchangeRequest
		Status  int
		Headers map[string]any
		Body    json.RawMessage
	}
	Attempts []struct{ Request exchangeRequest }
}

// receiver gives the answer of the capture and stores the requests that it received.
type receiver struct {
	*httptest.Server

	mu   sync.Mutex
	sent []response
}

func newReceiver(t *testing.T, want exchangeResponse) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		r.sent = append(r.sent, response{header: q.Header.Clone(), text: string(body)})
		r.mu.Unlock()
		w.WriteHeader(want.Status)
		if string(want.Body) != `""` {
			_, _ = w.Write(want.Body)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func TestCapturedRegistrations(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, g fakeory.Generation) {
		for name, parse := range map[string]bool{"reg-post-hook": false, "reg-post-hook-4xx": false, "reg-post-hook-500x3": false,
			"reg-parse-hook": true, "reg-parse-hook-4xx-messages": true, "reg-parse-hook-500x3": true, "reg-parse-hook-empty-200": true,
			"reg-parse-hook-dup-email": true, "reg-parse-hook-dup-external-id": true, "reg-parse-hook-with-metadata-and-external-id": true} {
			t.Run(name, func(t *testing.T) {
				var c hookCapture
				load(t, g, name, &c)
				to := newReceiver(t, c.Response)
				s := newStage(t, g, fakeory.Hooks{Registration: []fakeory.Hook{{URL: to.URL + c.Request.Path, Parse: parse}}})
				if strings.Contains(name, "-dup-") {
					s.taken(c)
				}
				flow, err := s.RegisterFlow(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got := ask(t, "POST", s.PublicURL+"/self-service/registration?flow="+flow, string(c.Then.Request.Body), "User-Agent", "capture-client/1")
				got.text = strings.ReplaceAll(got.text, to.URL, "http://HOOK")
				s.compare(got, exchangeResponse{c.Then.Status, c.Then.Headers, c.Then.Body})
				s.compareHook(to, c)
			})
		}
	})
}

// taken creates the identity that causes the conflict.
func (s *stage) taken(c hookCapture) {
	s.Helper()
	var form struct{ Traits struct{ Email string } }
	var reply struct {
		Identity struct {
			ExternalID string `json:"external_id"`
		}
	}
	_ = json.Unmarshal(c.Then.Request.Body, &form)
	_ = json.Unmarshal(c.Response.Body, &reply)
	if id := reply.Identity.ExternalID; id != "" {
		if s.generation == fakeory.V26 {
			s.make(made("other@x.example", `,"external_id":"`+id+`"`))
		}
		return
	}
	s.make(made(form.Traits.Email, ""))
}

// compareHook compares the last call and the number of calls.
func (s *stage) compareHook(to *receiver, c hookCapture) {
	s.Helper()
	to.mu.Lock()
	defer to.mu.Unlock()
	if want := max(1, len(c.Attempts)); len(to.sent) != want {
		s.Fatalf("%d calls, captured %d", len(to.sent), want)
	}
	sent, want := to.sent[len(to.sent)-1], c.Request
	for _, h := range []string{"Ory-Webhook-Request-Id", "Ory-Webhook-Trigger-Id", "Content-Type", "User-Agent"} {
		captured, _ := want.Headers[h].(string)
		if s.plain(sent.header.Get(h)) != s.plain(captured) {
			s.Errorf("header %s is %q, captured %q", h, sent.header.Get(h), captured)
		}
	}
	for n := 1; n < len(to.sent); n++ {
		if to.sent[n].header.Get("Ory-Webhook-Trigger-Id") != sent.header.Get("Ory-Webhook-Trigger-Id") {
			s.Error("the attempts have different trigger IDs")
		}
	}
	var have, had any
	if json.Unmarshal([]byte(sent.text), &have) != nil || json.Unmarshal(want.Body, &had) != nil {
		s.Fatalf("sent %s", sent.text)
	}
	delete(have.(map[string]any)["request_headers"].(map[string]any), "Accept-Encoding") // added by our client
	s.same("", have, had)
}

func TestCapturedSignIn(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, g fakeory.Generation) {
		var c hookCapture
		load(t, g, "login-post-hook", &c)
		to := newReceiver(t, c.Response)
		s := newStage(t, g, fakeory.Hooks{Login: []fakeory.Hook{{URL: to.URL + "/login-post"}}})
		s.make(made("post-hook@x.example", `,"credentials":{"password":{"config":{"password":"Sup3rS3cret-xyz-91"}}}`))
		var form struct{ Identifier string }
		if err := json.Unmarshal(c.Then.Request.Body, &form); err != nil {
			t.Fatal(err)
		}
		flow := json.RawMessage(ask(t, "GET", s.PublicURL+"/self-service/login/api", "").text)
		var id struct{ ID string }
		_ = json.Unmarshal(flow, &id)
		got := ask(t, "POST", s.PublicURL+"/self-service/login?flow="+id.ID, string(c.Then.Request.Body), "User-Agent", "capture-client/1")
		if got.status != c.Then.Status {
			t.Fatalf("%d %s", got.status, got.text)
		}
		if len(to.sent) != 1 || !slices.Equal(keysOf(to.sent[0].text), keysOf(string(c.Request.Body))) {
			t.Errorf("sent %q, captured %q", keysOf(to.sent[0].text), keysOf(string(c.Request.Body)))
		}
	})
}

func TestCapturedPasswords(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, g fakeory.Generation) {
		for _, name := range []string{"login-api-200", "login-inactive-401", "logout-api-204"} {
			var c capture
			load(t, g, name, &c)
			s := newStage(t, g, fakeory.Hooks{})
			p := s.signUp()
			path, body := "/self-service/logout/api", `{"session_token":"`+p.Token+`"}`
			if strings.HasPrefix(name, "login") {
				var flow struct{ ID string }
				_ = json.Unmarshal([]byte(ask(t, "GET", s.PublicURL+"/self-service/login/api", "").text), &flow)
				path, body = "/self-service/login?flow="+flow.ID, `{"method":"password","identifier":"who@x.example","password":"`+password+`"}`
			}
			if strings.Contains(name, "inactive") {
				s.happen("freeze")
			}
			s.compare(ask(t, c.Request.Method, s.PublicURL+path, body), c.Response)
		}
	})
}

// keysOf returns the keys of an object, of its flow and of its session.
func keysOf(text string) (keys []string) {
	var whole map[string]any
	_ = json.Unmarshal([]byte(text), &whole)
	for key, value := range whole {
		keys = append(keys, key)
		if inner, ok := value.(map[string]any); ok && (key == "flow" || key == "session") {
			for k := range inner {
				keys = append(keys, key+"."+k)
			}
		}
	}
	slices.Sort(keys)
	return keys
}

func TestCapturedSettings(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, g fakeory.Generation) {
		var c hookCapture
		load(t, g, "settings-post-hook", &c)
		to := newReceiver(t, c.Response)
		s := newStage(t, g, fakeory.Hooks{Settings: []fakeory.Hook{{URL: to.URL + "/settings-post"}}})
		p := s.signUp()
		if err := s.ChangeTraits(t.Context(), p.Token, map[string]string{"email": "new@x.example", "name": "New"}); err != nil {
			t.Fatal(err)
		}
		if got, want := keysOf(to.sent[0].text), keysOf(string(c.Request.Body)); !slices.Equal(got, want) {
			t.Errorf("sent %q, captured %q", got, want)
		}
		if !strings.Contains(to.sent[0].text, `"state_changed_at":null`) {
			t.Errorf("state_changed_at stays: %s", to.sent[0].text)
		}
	})
}
