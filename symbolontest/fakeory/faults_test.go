package fakeory_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

func list(o *fakeory.Ory) (ids []symbolon.IdentityID, err error) {
	c := &ory.Client{PublicURL: o.PublicURL, AdminURL: o.AdminURL}
	defer c.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for i, err := range c.Identities(ctx, ory.ListOptions{PageSize: 2}) {
		if err != nil {
			return ids, err
		}
		ids = append(ids, i.ID)
	}
	return ids, nil
}

func TestLies(t *testing.T) {
	t.Parallel()
	s := newStage(t, fakeory.V26, fakeory.Hooks{})
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		s.make(made(name+"@x.example", ""))
	}
	for _, c := range []struct {
		lie  fakeory.Lie
		ids  int
		fail bool
	}{{fakeory.EmptyPage, 0, false}, {fakeory.NoLink, 0, true}, {fakeory.LoopLink, 2, true}, {fakeory.LostRows, 3, false}, {fakeory.CutPage, 0, true}} {
		repair := s.Break(fakeory.HostileListing{Kind: c.lie})
		ids, err := list(s.Ory)
		if (err != nil) != c.fail || len(ids) > 3 {
			t.Errorf("lie %d: %d identities, %v", c.lie, len(ids), err)
		}
		repair()
	}
	if ids, err := list(s.Ory); len(ids) != 5 || err != nil {
		t.Errorf("mended: %d identities, %v", len(ids), err)
	}
}

func TestRacingWriter(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, g fakeory.Generation) {
		s := newStage(t, g, fakeory.Hooks{})
		id := s.make(made("race@x.example", ""))
		s.Break(fakeory.RacingWriter{Times: 1, Write: func(id string) {
			if err := s.PatchIdentity(t.Context(), id, json.RawMessage(`[{"op":"replace","path":"/state","value":"inactive"}]`)); err != nil {
				t.Error(err)
			}
		}})
		if err := s.PatchIdentity(t.Context(), id, json.RawMessage(`[{"op":"add","path":"/metadata_public/id","value":"1"}]`)); err != nil {
			t.Fatal(err)
		}
		if body, _, _ := s.GetIdentity(t.Context(), id); !strings.Contains(string(body), `"state":"active"`) {
			t.Errorf("the racing PATCH did not overwrite the state: %s", body)
		}
		var paths []string
		for _, r := range s.Requests() {
			if r.Method == http.MethodPatch && r.Admin && r.Status == 200 {
				paths = append(paths, string(r.Body))
			}
		}
		if len(paths) != 2 || !strings.Contains(paths[0], "/metadata_public/id") {
			t.Errorf("recorded %q", paths)
		}
	})
}

func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	s := newStage(t, fakeory.V1, fakeory.Hooks{})
	id := s.make(made("broken@x.example", ""))
	s.Break(fakeory.Dropped{Times: 1, Route: "GET /admin/identities/*"})
	if _, _, err := s.GetIdentity(t.Context(), id); err != nil { // net/http sends the request again by itself
		t.Error(err)
	}
	s.Break(fakeory.CutBody{Times: 1, Route: "/admin/identities/*", Bytes: 5})
	if _, _, err := s.GetIdentity(t.Context(), id); err == nil {
		t.Error("a cut body was received in full")
	}
	s.Break(fakeory.Failing{Times: 1, Status: 503})
	if _, status, _ := s.GetIdentity(t.Context(), id); status != 503 {
		t.Errorf("status %d", status)
	}
	s.Break(fakeory.RateLimited{Times: 1, Reset: 3 * time.Second})
	c := &ory.Client{PublicURL: s.PublicURL, AdminURL: s.AdminURL}
	defer c.CloseIdleConnections()
	var limited *ory.RateLimited
	if _, err := c.Identity(t.Context(), symbolon.IdentityID(id)); !errors.As(err, &limited) || limited.Reset != 3*time.Second {
		t.Errorf("limited: %v", err)
	}
	defer s.Break(fakeory.Latency{Route: "GET /admin/identities/*", Wait: 30 * time.Millisecond})()
	began := time.Now()
	if _, status, _ := s.GetIdentity(t.Context(), id); status != 200 || time.Since(began) < 30*time.Millisecond {
		t.Errorf("%d after %s", status, time.Since(began))
	}
}

func TestNetworkLimits(t *testing.T) {
	t.Parallel()
	o := fakeory.Start(t, fakeory.Config{Network: true, Limits: fakeory.Limits{fakeory.AdminHigh: {PerMinute: 3}}})
	s := &stage{T: t, Ory: o, generation: fakeory.V26}
	id := s.make(made("n@x.example", ""))
	for n, want := range []int{200, 200, 200, 429} {
		r := expect(t, want, "", "GET", o.AdminURL+"/admin/identities/"+id, "")
		if left := r.header.Get("X-Ratelimit-Remaining"); left != []string{"2", "1", "0", "0"}[n] {
			t.Errorf("left %q after %d", left, n+1)
		}
	}
	write := func(want int) {
		expect(t, want, "", "PATCH", o.AdminURL+"/admin/identities/"+id, `[{"op":"add","path":"/metadata_public/id","value":"1"}]`)
	}
	defer o.Break(fakeory.RacingWriter{Times: 1, Write: func(string) { write(429) }})()
	write(200) // a second write at the same time
}

func TestLostHooks(t *testing.T) {
	t.Parallel()
	to := newReceiver(t, exchangeResponse{Status: 200, Body: json.RawMessage(`{}`)})
	s := newStage(t, fakeory.V26, fakeory.Hooks{Registration: []fakeory.Hook{{URL: to.URL + "/link", Ignore: true}}})
	repair := s.Break(fakeory.LostHooks{URL: "/link"})
	s.signUp()
	s.WaitHooks()
	if len(to.sent) != 0 {
		t.Error("a lost hook was received")
	}
	repair()
	if _, err := s.Register(t.Context(), "b@x.example", password, "B"); err != nil {
		t.Fatal(err)
	}
	s.WaitHooks()
	if len(to.sent) != 1 {
		t.Errorf("%d hooks", len(to.sent))
	}
}

// TestHooksOfActions runs the hooks that hooks.Actions prints for a kratos.yml.
func TestHooksOfActions(t *testing.T) {
	t.Parallel()
	to := newReceiver(t, exchangeResponse{Status: 200, Body: json.RawMessage(`{}`)})
	actions := hooks.Actions{URL: to.URL, Keys: hooks.DeriveKeys([]symbolon.Secret{symbolon.Secret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e")}), Columns: map[string]string{"email": "traits.email"}}
	var text bytes.Buffer
	if err := actions.WriteKratos(&text); err != nil {
		t.Fatal(err)
	}
	list, err := fakeory.HooksFromKratos(text.Bytes())
	if err != nil || len(list.Registration) == 0 || len(list.Settings) == 0 || len(list.Verification) == 0 || len(list.Login) != 0 || list.WithoutSession {
		t.Fatalf("%+v, %v", list, err)
	}
	s := newStage(t, fakeory.V26, list)
	p := s.signUp()
	if err := s.Verify(t.Context(), p.IdentityID); err != nil {
		t.Error(err)
	}
	s.WaitHooks()
	found := 0
	for _, sent := range to.sent {
		if strings.Contains(sent.text, p.IdentityID) {
			found++
		}
	}
	if found != 2 || !strings.Contains(to.sent[len(to.sent)-2].text+to.sent[len(to.sent)-1].text, "who@x.example") {
		t.Errorf("sent %+v", to.sent)
	}
}
