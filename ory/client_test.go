package ory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/symbolon-id/symbolon"
)

func TestCheckURL(t *testing.T) {
	good := []string{
		"http://127.0.0.1:4433", "http://localhost:4433", "http://kratos:4433", "http://kratos", "http://10.0.0.7:4433",
		"http://192.168.1.1", "http://172.16.0.1", "http://[::1]:4433", "http://[fe80::1]", "http://[fd00::1]", "http://169.254.1.1",
		"http://[::ffff:127.0.0.1]:4433", "http://kratos.svc.cluster.local", "http://ory.internal", "http://a.localhost",
		"http://kratos.local.", "https://slug.projects.oryapis.com", "https://slug.projects.oryapis.com/", "https://8.8.8.8", "https://x.example/ory/",
	}
	for _, u := range good {
		if err := CheckURL(u); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	bad := []string{
		"", " ", "kratos:4433", "//kratos", "ftp://kratos", "file:///etc/passwd", "http://", "http:///x", "http:kratos",
		"http://x.example", "http://8.8.8.8", "http://[2001:db8::1]", "http://[::ffff:8.8.8.8]", "http://internal.x.example", "http://xlocal.example",
		"http://user:secret@127.0.0.1", "https://key@x.example", "https://x.example?a=b", "https://x.example/#f", "https://x.example?",
		"http://2130706433", "http://0x7f000001", "http://0x7f.1", "http://127.1", "http://0177.0.0.1", "https://2130706433", "http://1.", "https://x.example:99999999", "http://\x00",
	}
	for _, u := range bad {
		if err := CheckURL(u); err == nil && u != "https://x.example:99999999" {
			t.Errorf("%q is accepted", u)
		} else if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v shows the password", u, err)
		}
	}
}

func TestCheckReportsEverything(t *testing.T) {
	c := &Client{PublicURL: "http://x.example", AdminURL: "ftp://u:hidden@y", Token: "a b", Cookie: "a;b"}
	err := c.Check()
	for _, want := range []string{"PublicURL", "AdminURL", "Token", "Cookie"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "a b") {
		t.Errorf("%v shows a secret", err)
	}
	if _, err := c.Identity(context.Background(), someID); !errors.Is(err, symbolon.ErrUnavailable) {
		t.Errorf("a question with wrong fields: %v", err)
	}
}

func TestNoAdmin(t *testing.T) {
	c := &Client{PublicURL: "http://127.0.0.1:1"}
	if c.HasAdmin() {
		t.Error("HasAdmin")
	}
	for name, q := range questions {
		err := q.call(context.Background(), c)
		if admin := name != "whoami" && name != "ready"; errors.Is(err, symbolon.ErrNoAdmin) != admin {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.CloseIdleConnections()
}

// TestHeadersSent checks that a request has one credential and no cookie of an earlier
// answer, and that only the admin API gets the admin's token.
func TestHeadersSent(t *testing.T) {
	var got *http.Request
	jar, _ := cookiejar.New(nil)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		http.SetCookie(w, &http.Cookie{Name: "ory_kratos_session", Value: "somebody-elses", Path: "/"})
		w.WriteHeader(500)
	})
	c.Token, c.HTTP = "ory_pat_secret", &http.Client{Jar: jar, Transport: &http.Transport{}}
	t.Cleanup(c.HTTP.CloseIdleConnections)
	ctx := context.Background()
	credentials := map[Credential][3]string{
		{SessionToken, "tok"}:       {"tok", "", ""},
		{SessionCookie, "Y29va2ll"}: {"", "ory_kratos_session=Y29va2ll", ""},
		{BearerToken, "ory_st_b"}:   {"", "", "Bearer ory_st_b"},
	}
	for cred, want := range credentials {
		for range 2 {
			_, _ = c.Whoami(ctx, cred)
			h := got.Header
			if have := [3]string{h.Get("X-Session-Token"), h.Get("Cookie"), h.Get("Authorization")}; have != want {
				t.Errorf("%s: sent %v", cred, have)
			}
			if h.Get("Cache-Control") != "max-age=0" || h.Get("Accept-Encoding") != "identity" {
				t.Errorf("%s: %v", cred, h)
			}
			for name := range h {
				if !slices.Contains([]string{"X-Session-Token", "Cookie", "Authorization", "Cache-Control", "Accept", "Accept-Encoding", "User-Agent"}, name) {
					t.Errorf("%s is sent", name)
				}
			}
		}
	}
	_ = c.Ready(ctx)
	if got.URL.Path != "/health/ready" || got.Header.Get("Authorization") != "" || got.Header.Get("Cookie") != "" {
		t.Errorf("readiness: %s %v", got.URL, got.Header)
	}
	_, _ = c.Identity(ctx, someID)
	if got.Header.Get("Authorization") != "Bearer ory_pat_secret" || got.Header.Get("Cookie") != "" {
		t.Errorf("admin: %v", got.Header)
	}
	edge := &Client{PublicURL: c.PublicURL, EdgeCache: true, HTTP: c.HTTP}
	_, _ = edge.Whoami(ctx, Credential{SessionToken, "tok"})
	if v, ok := got.Header["Cache-Control"]; ok {
		t.Errorf("with EdgeCache: %v", v)
	}
	for _, cred := range []Credential{{}, {"other", "x"}, {SessionToken, ""}, {SessionToken, "a b"}, {SessionToken, "a\r\nX: y"}, {SessionCookie, "a\x00"}} {
		got = nil
		if _, err := c.Whoami(ctx, cred); !errors.Is(err, symbolon.ErrUnavailable) || got != nil {
			t.Errorf("%#v: %v", cred, err)
		}
	}
}

func TestPatch(t *testing.T) {
	var method, path, body string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		method, path, body = r.Method, r.URL.EscapedPath(), string(b)
		answerWith(200, isJSON, identityJSON(someID))(w, r)
	})
	c.AdminURL += "/behind/admin/"
	for key, pointer := range map[string]string{"id": "id", "a/b": "a~1b", "a~b": "a~0b", "~1": "~01"} {
		if _, err := c.AddPublicMetadata(context.Background(), someID, key, `"quoted"`); err != nil {
			t.Fatal(err)
		}
		want := `[{"op":"add","path":"/metadata_public/` + pointer + `","value":"\"quoted\""}]`
		if method != "PATCH" || path != "/behind/admin/identities/"+someID || body != want {
			t.Errorf("%s %s %s", method, path, body)
		}
	}
	body = ""
	for _, key := range []string{"", " ", "a b", "é", "a\n", strings.Repeat("k", 65)} {
		if _, err := c.AddPublicMetadata(context.Background(), someID, key, "v"); err == nil || body != "" {
			t.Errorf("key %q: %v", key, err)
		}
	}
	for _, id := range []symbolon.IdentityID{"", "x", "../sessions", someID + "/", "00000000-0000-0000-0000-000000000000"} {
		_, e1 := c.AddPublicMetadata(context.Background(), id, "id", "v")
		_, e2 := c.Identity(context.Background(), id)
		_, e3 := c.Session(context.Background(), string(id))
		e4, e5 := c.RevokeSession(context.Background(), string(id)), c.RevokeSessions(context.Background(), id)
		e6 := c.DeleteIdentity(context.Background(), id)
		if e1 == nil || e2 == nil || e3 == nil || e4 == nil || e5 == nil || e6 == nil || body != "" {
			t.Errorf("Ory was asked for the invalid ID %q", id)
		}
		if errors.Is(e2, symbolon.ErrNotFound) {
			t.Errorf("ID %q: %v", id, e2)
		}
	}
}

func TestRevoke(t *testing.T) {
	own404 := answerWith(404, isJSON, `{"error":{"code":404}}`)
	ctx := context.Background()
	good.check(t, serve(t, answerWith(204, "", "")).RevokeSession(ctx, someID))
	good.check(t, serve(t, answerWith(204, "", "")).RevokeSessions(ctx, someID))
	notFound.check(t, serve(t, own404).RevokeSession(ctx, someID))
	good.check(t, serve(t, own404).RevokeSessions(ctx, someID))
	good.check(t, serve(t, answerWith(204, "", "")).DeleteIdentity(ctx, someID))
	notFound.check(t, serve(t, own404).DeleteIdentity(ctx, someID))
	for _, h := range []http.HandlerFunc{answerWith(404, "text/plain", "404 page not found\n"), answerWith(200, isJSON, "{}"), redirect(307), answerWith(500, isJSON, "{}")} {
		unavailable.check(t, serve(t, h).RevokeSession(ctx, someID))
		unavailable.check(t, serve(t, h).RevokeSessions(ctx, someID))
		unavailable.check(t, serve(t, h).DeleteIdentity(ctx, someID))
	}
}

func TestReady(t *testing.T) {
	public, admin := answerWith(200, isJSON, `{"status":"ok"}`), answerWith(503, isJSON, `{}`)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/health/ready":
			public(w, r)
		case "/admin/health/ready":
			admin(w, r)
		}
	})
	ctx := context.Background()
	good.check(t, c.Ready(ctx)) // the public port is enough
	public = answerWith(404, "text/html", "no such route at the edge")
	unavailable.check(t, c.Ready(ctx))
	admin = answerWith(200, isJSON, `{"status":"ok"}`)
	good.check(t, c.Ready(ctx))
	public = answerWith(503, isJSON, `{"error":{"code":500}}`) // a 503 means not ready
	unavailable.check(t, c.Ready(ctx))
	public = answerWith(404, "text/html", "")
	c = &Client{PublicURL: c.PublicURL}
	t.Cleanup(c.CloseIdleConnections)
	unavailable.check(t, c.Ready(ctx))
}

// TestSecretsStayHidden checks that neither formatting nor an error shows a secret.
func TestSecretsStayHidden(t *testing.T) {
	const secret = "canary-0123456789"
	cred := Credential{SessionToken, secret}
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "cred", cred)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "cred", &cred)
	texts := []string{fmt.Sprint(cred), fmt.Sprintf("%v %+v %#v %s %q", cred, cred, cred, cred, cred), fmt.Sprintf("%+v %#v", &cred, []Credential{cred}), logged.String()}
	// A hostile Ory repeats the secrets in its answer.
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		said := r.Header.Get("X-Session-Token") + r.Header.Get("Authorization")
		answerWith(500, isJSON, `{"error":{"id":"`+said+`","code":500,"reason":"`+said+`","message":"`+said+`"}}`)(w, r)
	})
	c.Token = "pat-" + secret
	for _, q := range []func() error{
		func() error { _, err := c.Whoami(context.Background(), cred); return err },
		func() error { _, err := c.Identity(context.Background(), someID); return err },
	} {
		texts = append(texts, q().Error())
	}
	for _, text := range texts {
		if strings.Contains(text, secret) {
			t.Errorf("%s shows the secret", text)
		}
	}
}

func TestErrorText(t *testing.T) {
	err := questions["identity"].call(context.Background(), serve(t, answerWith(500, isJSON,
		`{"error":{"id":"some_id","code":500,"reason":"two\nlines\u0000 \u202e and `+strings.Repeat("much more ", 100)+`"}}`)))
	var e *Error
	if !errors.As(err, &e) || e.Status != 500 || e.ID != "some_id" || len(e.Reason) > 210 || strings.ContainsAny(e.Reason, "\n\x00\u202e") {
		t.Errorf("%#v", e)
	}
}

type roundTrip func(*http.Request) *http.Response

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

func respond(status int, body string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {isJSON}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func TestRateLimits(t *testing.T) {
	tests := []struct {
		name   string
		status int
		header []string
		pause  time.Duration
	}{
		{"429 bare", 429, nil, time.Second},
		{"429 with reset", 429, []string{"X-Ratelimit-Reset", "7", "X-Ratelimit-Remaining", "0"}, 7 * time.Second},
		{"429 with reset only", 429, []string{"X-Ratelimit-Reset", "7"}, 7 * time.Second},
		{"429 with Retry-After", 429, []string{"Retry-After", "3"}, 3 * time.Second},
		{"429 with a date", 429, []string{"Retry-After", "Mon, 23 Nov 2026 10:00:00 GMT"}, time.Second},
		{"429 absurd", 429, []string{"X-Ratelimit-Reset", "1795426577"}, time.Minute},
		{"429 negative", 429, []string{"X-Ratelimit-Reset", "-1"}, time.Second},
		{"429 zero", 429, []string{"X-Ratelimit-Reset", "0"}, time.Second},
		{"429 too many at once", 429, []string{"X-Ratelimit-Reset", "50", "X-Ratelimit-Remaining", "500"}, time.Second},
		{"200 the last one", 200, []string{"X-Ratelimit-Reset", "5", "X-Ratelimit-Remaining", "0"}, 5 * time.Second},
		{"200 with some left", 200, []string{"X-Ratelimit-Reset", "5", "X-Ratelimit-Remaining", "1"}, 0},
		{"200 without reset", 200, []string{"X-Ratelimit-Remaining", "0"}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked, status, header := 0, test.status, test.header
				c := &Client{PublicURL: "http://kratos", AdminURL: "http://kratos"}
				c.HTTP = &http.Client{Transport: roundTrip(func(*http.Request) *http.Response {
					asked++
					return respond(status, questions["whoami"].good, header...)
				})}
				whoami := func() error { return questions["whoami"].call(t.Context(), c) }
				var limited *RateLimited
				if err := whoami(); errors.As(err, &limited) != (status == 429) || limited != nil && (limited.Reset != test.pause || !errors.Is(err, symbolon.ErrUnavailable)) {
					t.Fatalf("the answer itself: %v", err)
				}
				status, header = 200, nil
				if test.pause > 0 {
					time.Sleep(test.pause - time.Millisecond)
					if err := whoami(); !errors.As(err, &limited) || asked != 1 {
						t.Errorf("during the pause: %v, asked %d times", err, asked)
					}
					if err := c.ProbeSessions(t.Context()); errors.As(err, &limited) {
						t.Errorf("another bucket pauses too: %v", err)
					}
					time.Sleep(time.Millisecond)
				}
				if err := whoami(); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}
