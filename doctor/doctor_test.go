package doctor_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/doctor"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// nowhere is a local address without a listener.
const nowhere = "http://127.0.0.1:1"

// wrong expects a problem of one check.
func wrong(name string) map[string]doctor.Verdict {
	return map[string]doctor.Verdict{name: doctor.Problem}
}

// TestFaults adds each fault to a valid installation. The check for it reports the fault,
// and no other check reports a problem.
func TestFaults(t *testing.T) {
	w := install(t, sqlstore.SQLite)
	t.Run("no fault", func(t *testing.T) {
		got := examine(t, w.doctor())
		expect(t, got, nil)
		for name, r := range got {
			if r.Verdict == doctor.Skipped && !strings.HasPrefix(name, "live.") {
				t.Errorf("%s was skipped: %s", name, r.Is)
			}
		}
	})
	t.Run("file", func(t *testing.T) { testFile(t, w) })
	t.Run("ory", func(t *testing.T) { testOry(t, w) })
	t.Run("way", func(t *testing.T) { testWay(t, w) })
	t.Run("silent", func(t *testing.T) { testSilent(t, w) })
	t.Run("tokens", func(t *testing.T) { testTokens(t, w) })
	t.Run("live", func(t *testing.T) { testLive(t, w) })
}

// testTokens tests the checks of Ory's token keys.
func testTokens(t *testing.T, w *installation) {
	d := w.doctor()
	if r := examine(t, d)["ory.token_keys"]; !strings.Contains(r.Is, "k (ES256)") || !strings.Contains(r.Is, "no kid") {
		t.Errorf("%+v", r)
	}
	d = w.doctor()
	d.TokenKeys = func(context.Context) (used, unused []string, err error) {
		return nil, nil, errors.New("key 1: it is a private one")
	}
	got := examine(t, d)
	expect(t, got, wrong("ory.token_keys"))
	if r := got["ory.token_keys"]; !strings.Contains(r.Is, "private") {
		t.Errorf("%+v", r)
	}
	d = w.doctor()
	d.TokenKeys = nil
	expect(t, examine(t, d), map[string]doctor.Verdict{"ory.token_keys": doctor.Skipped})
}

// after returns registration.after of a Kratos configuration.
func after(self map[string]any) map[string]any {
	return self["flows"].(map[string]any)["registration"].(map[string]any)["after"].(map[string]any)
}

func listOf(self map[string]any, method string) []any {
	return after(self)[method].(map[string]any)["hooks"].([]any)
}

func setList(self map[string]any, method string, list []any) {
	after(self)[method] = map[string]any{"hooks": list}
}

// hook returns the configuration of one of Symbolon's hooks of the method password.
func hook(self map[string]any, route string) map[string]any {
	for _, h := range listOf(self, "password") {
		config, _ := h.(map[string]any)["config"].(map[string]any)
		if at, _ := config["url"].(string); strings.HasSuffix(at, "/hooks/"+route) {
			return config
		}
	}
	panic("no hook " + route)
}

func drop(self map[string]any, method, route string) {
	var rest []any
	for _, h := range listOf(self, method) {
		config, _ := h.(map[string]any)["config"].(map[string]any)
		if at, _ := config["url"].(string); !strings.HasSuffix(at, "/hooks/"+route) {
			rest = append(rest, h)
		}
	}
	setList(self, method, rest)
}

func setKey(self map[string]any, route, key string) {
	hook(self, route)["auth"].(map[string]any)["config"].(map[string]any)["value"] = key
}

func body(jsonnet string) string {
	return "base64://" + base64.StdEncoding.EncodeToString([]byte(jsonnet))
}

func testFile(t *testing.T, w *installation) {
	mine := map[string]any{"hook": "web_hook", "config": map[string]any{"url": nowhere, "method": "POST", "body": body("{}"),
		"response": map[string]any{"parse": true}}}
	jsonnet := filepath.Join(t.TempDir(), "reserve.jsonnet")
	if err := os.WriteFile(jsonnet, []byte("function(ctx) {} // metadata_public"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(self map[string]any)
		want   map[string]doctor.Verdict
		says   string
	}{
		{"hooks in the global list, a method with its own", func(s map[string]any) {
			after(s)["hooks"] = listOf(s, "password")
			setList(s, "password", []any{map[string]any{"hook": "session"}})
		}, wrong("hooks.global"), "have their own: password"},
		{"hooks in the global list, no method's own", func(s map[string]any) {
			list := listOf(s, "password")
			for m := range after(s) {
				delete(after(s), m)
			}
			after(s)["hooks"] = list
		}, wrong("hooks.global"), ""},
		{"a method without reserve", func(s map[string]any) { drop(s, "password", "reserve") }, wrong("hooks.reserve_missing"), "password"},
		{"another method without reserve", func(s map[string]any) {
			s["methods"].(map[string]any)["oidc"] = map[string]any{"enabled": true}
			drop(s, "oidc", "reserve")
		}, wrong("hooks.reserve_missing"), "for oidc"},
		{"a method that is off", func(s map[string]any) { drop(s, "oidc", "reserve") }, nil, ""},
		{"a method without link", func(s map[string]any) { drop(s, "password", "link") }, wrong("hooks.link_missing"), "password"},
		{"a code method that signs up", func(s map[string]any) {
			s["methods"].(map[string]any)["code"] = map[string]any{"passwordless_enabled": true}
			delete(after(s), "code")
		}, map[string]doctor.Verdict{"hooks.link_missing": doctor.Problem, "hooks.reserve_missing": doctor.Problem}, ""},
		{"parse missing on reserve", func(s map[string]any) { delete(hook(s, "reserve"), "response") }, wrong("hooks.reserve_parse"), "registration.after.password"},
		{"parse on link", func(s map[string]any) { hook(s, "link")["response"] = map[string]any{"parse": true} }, wrong("hooks.link_parse"), ""},
		{"can_interrupt beside parse, on reserve", func(s map[string]any) { hook(s, "reserve")["can_interrupt"] = true }, wrong("hooks.can_interrupt"), "reserve in"},
		{"can_interrupt instead of parse", func(s map[string]any) {
			hook(s, "reserve")["can_interrupt"] = true
			delete(hook(s, "reserve"), "response")
		}, wrong("hooks.can_interrupt"), "reserve in"},
		{"reserve not last", func(s map[string]any) { setList(s, "password", append(listOf(s, "password"), mine)) }, wrong("hooks.reserve_last"), ""},
		{"another parse hook before reserve", func(s map[string]any) { setList(s, "password", append([]any{mine}, listOf(s, "password")...)) }, nil, ""},
		{"link not ignoring", func(s map[string]any) { delete(hook(s, "link"), "response") }, wrong("hooks.link_ignore"), ""},
		{"wrong key", func(s map[string]any) { setKey(s, "link", "nobody-knows-this-key-nobody-knows") }, wrong("hooks.key"), "link in registration.after.password"},
		{"the key of another route", func(s map[string]any) { setKey(s, "link", w.actions().Keys.Reserve[0]) }, wrong("hooks.key"), ""},
		{"no key", func(s map[string]any) { delete(hook(s, "reserve"), "auth") }, wrong("hooks.key"), "sends no key: reserve in registration.after.password"},
		{"key in a cookie", func(s map[string]any) {
			hook(s, "reserve")["auth"].(map[string]any)["config"].(map[string]any)["in"] = "cookie"
		}, wrong("hooks.key"), "in the header"},
		{"wrong keys of several methods", func(s map[string]any) {
			s["methods"].(map[string]any)["oidc"] = map[string]any{"enabled": true}
			for _, method := range []string{"oidc", "password"} {
				for _, h := range listOf(s, method) {
					h := h.(map[string]any)
					if h["hook"] == "web_hook" {
						h["config"].(map[string]any)["auth"].(map[string]any)["config"].(map[string]any)["value"] = "nobody-knows-this-key-nobody-knows"
					}
				}
			}
		}, wrong("hooks.key"), "the key: reserve in registration.after.oidc, registration.after.password and link in registration.after.oidc, registration.after.password"},
		{"old key only", func(s map[string]any) {
			for _, route := range []string{"reserve", "link"} {
				setKey(s, route, map[string]string{"reserve": w.actions().Keys.Reserve[1], "link": w.actions().Keys.Link[1]}[route])
			}
		}, wrong("hooks.old_key"), "half done"},
		{"body of reserve without metadata_public", func(s map[string]any) {
			hook(s, "reserve")["body"] = body("function(ctx) { /* metadata_public */ id: ctx.identity.id }")
		}, wrong("hooks.reserve_body"), ""},
		{"body of reserve from before invites", func(s map[string]any) {
			hook(s, "reserve")["body"] = body("function(ctx) { metadata_public: ctx.identity.metadata_public }")
		}, wrong("hooks.reserve_body"), "symbolon_invite"},
		{"body of reserve in a file", func(s map[string]any) { hook(s, "reserve")["body"] = "file://" + jsonnet }, wrong("hooks.reserve_body"), ""},
		{"body of reserve in a file elsewhere", func(s map[string]any) { hook(s, "reserve")["body"] = "file:///nowhere/at.all" },
			map[string]doctor.Verdict{"hooks.reserve_body": doctor.Unknown}, "cannot be opened"},
		{"body of link without identity_id", func(s map[string]any) { hook(s, "link")["body"] = body("function(ctx) { id: ctx.identity.id }") }, wrong("hooks.link_body"), ""},
		{"no body", func(s map[string]any) { delete(hook(s, "link"), "body") }, wrong("hooks.link_body"), ""},
		{"a body that the operator wrote", func(s map[string]any) {
			hook(s, "link")["body"] = body("function(ctx) { identity_id: ctx.identity.id }")
		}, map[string]doctor.Verdict{"hooks.link_body": doctor.Unknown}, "--live"},
		{"a body at another URL", func(s map[string]any) { hook(s, "link")["body"] = "https://example.com/link.jsonnet" },
			map[string]doctor.Verdict{"hooks.link_body": doctor.Unknown}, "https://"},
		{"nobody can sign up", func(s map[string]any) {
			s["flows"].(map[string]any)["registration"].(map[string]any)["enabled"] = false
			drop(s, "password", "link")
		}, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := w.doctor()
			d.Kratos = w.file(test.change)
			got := examine(t, d)
			expect(t, got, test.want)
			for name := range test.want {
				if r := got[name]; !strings.Contains(r.Is+r.Fix, test.says) {
					t.Errorf("%s lacks %q: %+v", name, test.says, r)
				}
			}
			for _, r := range got {
				for _, key := range append(w.actions().Keys.Link, w.actions().Keys.Reserve...) {
					if strings.Contains(fmt.Sprint(r), key) {
						t.Errorf("%s shows a key", r.Check)
					}
				}
			}
		})
	}
	t.Run("bodies with and without users.when", func(t *testing.T) { testWhenBodies(t, w) })
	t.Run("reserve left out on purpose", func(t *testing.T) {
		d := w.doctor()
		d.Kratos, d.Actions.WithoutReserve = w.file(func(s map[string]any) { drop(s, "password", "reserve") }), true
		expect(t, examine(t, d), map[string]doctor.Verdict{"hooks.reserve_missing": doctor.Skipped})
	})
}

// testWhenBodies checks that the doctor accepts the bodies that are printed with the same
// users.when, and that it refuses those that were printed before a change.
func testWhenBodies(t *testing.T, w *installation) {
	for _, rule := range []link.When{{}, {Verified: true}, {SchemaIDs: []string{"default"}}} {
		for _, printed := range []link.When{{}, {Verified: true}} {
			d, actions := w.doctor(), w.actions()
			d.Actions.When, actions.When = rule, printed
			var text bytes.Buffer
			if err := actions.WriteKratos(&text); err != nil {
				t.Fatal(err)
			}
			var overlay map[string]any
			if err := yaml.Unmarshal(text.Bytes(), &overlay); err != nil {
				t.Fatal(err)
			}
			d.Kratos = w.file(func(s map[string]any) {
				s["flows"].(map[string]any)["registration"].(map[string]any)["after"] = after(overlay["selfservice"].(map[string]any))
			})
			want := doctor.OK
			if rule.Chooses() != printed.Chooses() {
				want = doctor.Problem
			}
			got := examine(t, d)
			for _, check := range []string{"hooks.reserve_body", "hooks.link_body"} {
				if r := got[check]; r.Verdict != want || want == doctor.Problem && !strings.Contains(r.Fix, "actions print") {
					t.Errorf("when %+v, printed %+v: %+v", rule, printed, r)
				}
			}
		}
	}
}

// beyondOry lists the checks that are unknown if the public URL does not answer.
func beyondOry() map[string]doctor.Verdict {
	return map[string]doctor.Verdict{"ory.public": doctor.Problem, "ory.admin_open": doctor.Unknown, "ory.clock": doctor.Unknown, "ory.rate_plan": doctor.Unknown}
}

func testOry(t *testing.T, w *installation) {
	client := func(public, admin string) *ory.Client {
		c := &ory.Client{PublicURL: public, AdminURL: admin}
		t.Cleanup(c.CloseIdleConnections)
		return c
	}
	shift := func(by time.Duration) string {
		return proxy(t, to(w.kratos.PublicURL), func(r *http.Response) {
			r.Header.Set("Date", time.Now().Add(by).UTC().Format(http.TimeFormat))
		})
	}
	open := proxy(t, func(r *http.Request) string {
		if strings.HasPrefix(r.URL.Path, "/admin") {
			return w.kratos.AdminURL
		}
		return w.kratos.PublicURL
	}, nil)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	public, admin := w.kratos.PublicURL, w.kratos.AdminURL
	noAdmin := map[string]doctor.Verdict{"ory.admin": doctor.Problem, "ory.page_cap": doctor.Unknown}
	for _, test := range []struct {
		name string
		ory  *ory.Client
		want map[string]doctor.Verdict
		says string
	}{
		{"public URL unreachable", client(nowhere, admin), beyondOry(), "connection refused"},
		{"public URL with an unknown host name", client("http://nobody.invalid.internal", admin), beyondOry(), "cannot be resolved"},
		{"another server at the public URL", client(other.URL, admin), map[string]doctor.Verdict{"ory.public": doctor.Problem}, "404"},
		{"the admin port at the public URL", client(admin, admin), map[string]doctor.Verdict{"ory.public": doctor.Problem, "ory.admin_open": doctor.Problem}, "answers 307"},
		{"admin URL unreachable", client(public, nowhere), noAdmin, "connection refused"},
		{"the public port at the admin URL", client(public, public), noAdmin, admin},
		{"no admin URL", client(public, ""), map[string]doctor.Verdict{"ory.admin": doctor.Skipped, "ory.page_cap": doctor.Skipped}, ""},
		{"admin API open to strangers", client(open, admin), wrong("ory.admin_open"), open},
		{"clock ahead", client(shift(45*time.Second), admin), wrong("ory.clock"), "ahead"},
		{"clock behind", client(shift(-40*time.Second), admin), wrong("ory.clock"), "behind"},
		{"clock a little off", client(shift(20*time.Second), admin), nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := w.doctor()
			d.Ory = test.ory
			got := examine(t, d)
			expect(t, got, test.want)
			said := false
			for name := range test.want {
				said = said || strings.Contains(got[name].Is+got[name].Fix, test.says)
			}
			if !said && test.says != "" {
				t.Errorf("no result says %q: %+v", test.says, got)
			}
		})
	}
}

// testWay tests the network between Kratos and the hooks.
func testWay(t *testing.T, w *installation) {
	moved := func(url string) func(self map[string]any) {
		return func(self map[string]any) {
			for _, route := range []string{"reserve", "link"} {
				hook(self, route)["url"] = url + "/hooks/" + route
			}
		}
	}
	redirect := func(code int) string {
		s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, w.server.URL+r.URL.Path, code)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	for _, test := range []struct {
		name string
		url  string
		want map[string]doctor.Verdict
	}{
		{"unreachable", nowhere, wrong("hooks.url")},
		{"something else there", w.kratos.PublicURL, wrong("hooks.url")},
		{"a name that only Kratos may know", "http://symbolon.invalid:4460", map[string]doctor.Verdict{"hooks.url": doctor.Unknown}},
		{"a redirect that loses the body", redirect(http.StatusMovedPermanently), wrong("hooks.redirect")},
		{"a redirect that keeps the method", redirect(http.StatusTemporaryRedirect), wrong("hooks.redirect")},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := w.doctor()
			d.Kratos = w.file(moved(test.url))
			expect(t, examine(t, d), test.want)
		})
	}
	t.Run("not running, no file", func(t *testing.T) {
		d := w.doctor()
		d.Kratos, d.Actions.URL = nil, nowhere
		expect(t, examine(t, d), map[string]doctor.Verdict{"hooks.url": doctor.Problem, "hooks.redirect": doctor.Unknown, "hooks.server_key": doctor.Unknown})
	})
	for name, secrets := range map[string][]symbolon.Secret{"swapped": {former, secret}, "the first step": {secret, anders}} {
		t.Run(name, func(t *testing.T) {
			d := w.doctor()
			d.Kratos, d.Actions.Keys = nil, hooks.DeriveKeys(secrets)
			expect(t, examine(t, d), nil)
		})
	}
	t.Run("the first step was skipped", func(t *testing.T) {
		d := w.doctor()
		d.Kratos, d.Actions.Keys = nil, hooks.DeriveKeys([]symbolon.Secret{anders, secret})
		got := examine(t, d)
		expect(t, got, wrong("hooks.server_key"))
		if r := got["hooks.server_key"]; !strings.Contains(r.Fix, "next_secret") {
			t.Errorf("%+v", r)
		}
	})
}

// testSilent lets people sign up without a link hook.
func testSilent(t *testing.T, w *installation) {
	request := func(id string) {
		t.Helper()
		if _, err := w.linker.Refresh(t.Context(), symbolon.IdentityID(id), symbolon.FromRequest); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("an import", func(t *testing.T) {
		imported, err := w.kratos.CreateIdentity(t.Context(), map[string]any{"schema_id": "default", "traits": map[string]any{"email": "import@example.org"}})
		if err != nil {
			t.Fatal(err)
		}
		w.store.Now = func() time.Time { return time.Now().Add(time.Hour) } // it signs in later
		defer func() { w.store.Now = nil }()
		request(imported)
		expect(t, examine(t, w.doctor()), nil)
	})
	lost := make(chan struct{})
	w.before(t, drops("/hooks/link", sync.OnceFunc(func() { close(lost) })))
	p := w.signUp("silent@example.org")
	select { // Ory sends the hook after its answer
	case <-lost:
	case <-time.After(time.Minute):
		t.Fatal("the link hook was not sent")
	}
	w.around.Store(nil)
	request(p.IdentityID)
	t.Run("no hook ever", func(t *testing.T) {
		got := examine(t, w.doctor())
		expect(t, got, wrong("hooks.silent"))
		if r := got["hooks.silent"]; strings.Contains(r.Is, "ever") || !strings.Contains(r.Is, "the requests were faster") || !strings.Contains(r.Is, "at least 1") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("no hooks are configured", func(t *testing.T) {
		d := w.doctor()
		d.Kratos = nil
		expect(t, examine(t, d), map[string]doctor.Verdict{"hooks.silent": doctor.Skipped})
	})
	t.Run("a hook came", func(t *testing.T) {
		p := w.signUp("heard@example.org")
		w.waitLinked(p.IdentityID)
		expect(t, examine(t, w.doctor()), nil)
		d := w.doctor()
		d.Now = func() time.Time { return time.Now().Add(30 * 24 * time.Hour) } // nobody signed up for 30 days
		expect(t, examine(t, d), nil)
	})
}
