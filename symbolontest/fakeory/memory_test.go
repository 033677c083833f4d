package fakeory_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// bubble is a fake in memory in a synctest bubble.
type bubble struct {
	*testing.T
	*fakeory.Ory
	client *ory.Client
	hooks  atomic.Int64 // number of received hooks
	id     string       // ID of an identity
}

func inBubble(t *testing.T, config fakeory.Config, test func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t}
		config.InMemory = true
		config.HookTransport = fakeory.Transport(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			b.hooks.Add(1)
			_, _ = io.WriteString(w, "{}")
		}))
		b.Ory = fakeory.Start(t, config)
		b.client = &ory.Client{PublicURL: b.PublicURL, AdminURL: b.AdminURL, HTTP: &http.Client{Transport: b.Ory}}
		b.id = b.PutIdentity(json.RawMessage(`{"id":"1D000000-0000-4000-8000-000000000001","traits":{"email":"ada@x.example"}}`))
		test(b)
	})
}

// status returns the status of GET /admin/identities/b.id.
func (b *bubble) status() (int, error) {
	_, status, err := b.GetIdentity(b.Context(), b.id)
	return status, err
}

func (b *bubble) patch(op string) error {
	return b.PatchIdentity(b.Context(), b.id, json.RawMessage(op))
}

const ban = `[{"op":"replace","path":"/state","value":"inactive"}]`

// TestFaultsInMemory checks that every fault works without ports as it does with ports,
// and that waits follow the bubble's clock.
func TestFaultsInMemory(t *testing.T) {
	const note = `[{"op":"add","path":"/metadata_public/id","value":"1"}]`
	took := func(b *bubble, want time.Duration, do func()) {
		b.Helper()
		began := time.Now()
		if do(); time.Since(began) != want {
			b.Errorf("the answer took %s, want %s", time.Since(began), want)
		}
	}
	tests := map[string]struct {
		fault fakeory.Fault
		check func(b *bubble)
	}{
		"Latency": {fakeory.Latency{Wait: time.Hour}, func(b *bubble) {
			took(b, time.Hour, func() { _, _ = b.status() })
			ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
			defer cancel()
			took(b, time.Minute, func() {
				if _, _, err := b.GetIdentity(ctx, b.id); !errors.Is(err, context.DeadlineExceeded) {
					b.Error(err)
				}
			})
		}},
		"Dropped": {fakeory.Dropped{}, func(b *bubble) {
			if err := b.patch(ban); !errors.Is(err, io.EOF) {
				b.Error(err)
			}
			if r := b.Requests(); len(r) != 1 || r[0].Status != 0 {
				b.Errorf("%+v", r)
			}
		}},
		"Dropped, after": {fakeory.Dropped{Times: 1, After: true}, func(b *bubble) {
			if err := b.patch(ban); !errors.Is(err, io.EOF) {
				b.Error(err)
			}
			if text, _, _ := b.GetIdentity(b.Context(), b.id); !strings.Contains(string(text), "inactive") {
				b.Errorf("the request was not carried out: %s", text)
			}
		}},
		"CutBody": {fakeory.CutBody{Bytes: 5}, func(b *bubble) {
			if status, err := b.status(); status != 200 || !errors.Is(err, io.ErrUnexpectedEOF) {
				b.Error(status, err)
			}
		}},
		"Failing": {fakeory.Failing{Status: 503}, func(b *bubble) {
			if status, err := b.status(); status != 503 || err != nil {
				b.Error(status, err)
			}
		}},
		"RateLimited": {fakeory.RateLimited{Reset: 3 * time.Second}, func(b *bubble) {
			var limited *ory.RateLimited
			if _, err := b.client.Identity(b.Context(), symbolon.IdentityID(b.id)); !errors.As(err, &limited) || limited.Reset != 3*time.Second {
				b.Error(err)
			}
		}},
		"DatabaseDown": {fakeory.DatabaseDown{}, func(b *bubble) {
			if _, status, _ := b.Whoami(b.Context(), b.PutSession(fakeory.Session{IdentityID: b.id}).Token); status != 401 {
				b.Errorf("whoami %d", status)
			}
			if err := b.client.Ready(b.Context()); err == nil {
				b.Error("readiness answered 200")
			}
		}},
		"TableBroken": {fakeory.TableBroken{}, func(b *bubble) {
			if _, status, _ := b.Whoami(b.Context(), b.PutSession(fakeory.Session{IdentityID: b.id}).Token); status != 401 {
				b.Errorf("whoami %d", status)
			}
			if err := b.client.Ready(b.Context()); err != nil {
				b.Error(err)
			}
		}},
		"SlowWrites": {fakeory.SlowWrites{Wait: time.Minute}, func(b *bubble) { took(b, time.Minute, func() { _ = b.patch(ban) }) }},
		"RacingWriter": {nil, func(b *bubble) {
			b.Break(fakeory.RacingWriter{Times: 1, Write: func(string) { _ = b.patch(ban) }})
			if err := b.patch(note); err != nil {
				b.Error(err)
			}
			if text, _, _ := b.GetIdentity(b.Context(), b.id); !strings.Contains(string(text), `"state":"active"`) {
				b.Errorf("the racing PATCH did not overwrite the state: %s", text)
			}
		}},
		"LostHooks": {fakeory.LostHooks{Times: 1}, func(b *bubble) {
			for n := range 2 {
				if _, err := b.Register(b.Context(), string(rune('a'+n))+"@x.example", password, "N"); err != nil {
					b.Error(err)
				}
				b.WaitHooks()
				if b.hooks.Load() != int64(n) {
					b.Errorf("%d hooks after %d registrations", b.hooks.Load(), n+1)
				}
			}
		}},
		"HostileListing": {fakeory.HostileListing{Kind: fakeory.CutPage}, func(b *bubble) {
			for _, err := range b.client.Identities(b.Context(), ory.ListOptions{}) {
				if err == nil {
					b.Error("a cut page was accepted")
				}
			}
		}},
		"Lying": {fakeory.Lying{Route: "GET /admin/identities/*", Answer: fakeory.Says(418, "text/plain", "a pot")}, func(b *bubble) {
			if text, status, err := b.GetIdentity(b.Context(), b.id); status != 418 || string(text) != "a pot" || err != nil {
				b.Error(string(text), status, err)
			}
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			config := fakeory.Config{Hooks: fakeory.Hooks{Registration: []fakeory.Hook{{URL: "http://app/hook", Ignore: true}}}}
			inBubble(t, config, func(b *bubble) {
				if test.fault == nil {
					test.check(b)
					return
				}
				repair := b.Break(test.fault)
				test.check(b)
				repair()
				if status, err := b.status(); status != 200 || err != nil {
					b.Errorf("mended: %d, %v", status, err)
				}
			})
		})
	}
}

// TestLie checks that a lie is sent unchanged in both forms, and that Answer may leave
// the answer to Ory.
func TestLie(t *testing.T) {
	t.Parallel()
	for name, memory := range map[string]bool{"on ports": false, "in memory": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := fakeory.Start(t, fakeory.Config{InMemory: memory})
			id := o.PutIdentity(map[string]any{"traits": map[string]any{"email": "a@x.example"}})
			get := func() (int, string, error) {
				text, status, err := o.GetIdentity(t.Context(), id)
				return status, string(text), err
			}
			repair := o.Lie("GET /admin/identities/*", fakeory.Says(200, "text/html", "<html>"))
			if status, text, err := get(); status != 200 || text != "<html>" || err != nil {
				t.Error(status, text, err)
			}
			repair()
			repair = o.Lie("", func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) })
			if _, _, err := get(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
				t.Error(err)
			}
			repair()
			asked := 0
			defer o.Lie("/admin/identities/*", func(http.ResponseWriter, *http.Request) bool { asked++; return false })()
			if status, text, err := get(); status != 200 || !strings.Contains(text, id) || err != nil || asked != 1 {
				t.Error(status, text, err, asked)
			}
			if n := o.Count("GET /admin/identities/*"); n < 3 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// TestPut checks identities and sessions with values of the test's choice. Sessions
// expire by the bubble's clock.
func TestPut(t *testing.T) {
	inBubble(t, fakeory.Config{}, func(b *bubble) {
		if b.id != "1d000000-0000-4000-8000-000000000001" {
			b.Errorf("the ID is %s", b.id)
		}
		s := b.PutSession(fakeory.Session{IdentityID: b.id, Token: "ory_st_chosen", Cookie: "Y2hvc2Vu"})
		whoami := func(c ory.Credential) error {
			_, err := b.client.Whoami(b.Context(), c)
			return err
		}
		token, cookie := ory.Credential{Kind: ory.SessionToken, Value: s.Token}, ory.Credential{Kind: ory.SessionCookie, Value: s.Cookie}
		if err := errors.Join(whoami(token), whoami(cookie)); err != nil {
			b.Error(err)
		}
		time.Sleep(24 * time.Hour)
		if err := whoami(token); !errors.Is(err, ory.ErrNoSession) {
			b.Errorf("a day later: %v", err)
		}
		s.ExpiresAt = time.Now().Add(time.Hour)
		b.PutSession(s)
		if err := whoami(token); err != nil {
			b.Error(err)
		}
		s.Revoked = true
		b.PutSession(s)
		if err := whoami(cookie); !errors.Is(err, ory.ErrNoSession) {
			b.Errorf("revoked: %v", err)
		}
		b.PutIdentity(json.RawMessage(`{"id":"` + b.id + `","state":"inactive","traits":{"email":"eve@x.example"}}`))
		if text, _, _ := b.GetIdentity(b.Context(), b.id); !strings.Contains(string(text), "eve") || !strings.Contains(string(text), `"inactive"`) {
			b.Errorf("%s", text)
		}
		if n, _ := b.CountIdentities(b.Context()); n != 1 {
			b.Errorf("%d identities", n)
		}
		if _, err := (&http.Client{Transport: b.Ory}).Get("http://elsewhere/"); err == nil { //nolint:noctx // it is not sent
			b.Error("an unknown address answered")
		}
	})
}

// TestLimitsInMemory checks that the windows of the rate limits follow the bubble's
// clock.
func TestLimitsInMemory(t *testing.T) {
	inBubble(t, fakeory.Config{Network: true, Limits: fakeory.Limits{fakeory.AdminHigh: {PerMinute: 1}}}, func(b *bubble) {
		for n, want := range []int{200, 429, 200} {
			if n == 2 {
				time.Sleep(time.Minute)
			}
			if status, _ := b.status(); status != want {
				b.Errorf("%d, want %d", status, want)
			}
		}
	})
}
