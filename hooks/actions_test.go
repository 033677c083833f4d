package hooks

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-jsonnet"
	"go.yaml.in/yaml/v3"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/projection"
)

func testActions() Actions {
	return Actions{URL: "http://127.0.0.1:4460", Keys: DeriveKeys(testSecrets),
		Columns: map[string]string{"email": "traits.email", "first": "default(traits.name.first, 'x')", "a": "active", "v": "verified_email", "plan": "'free'"}}
}

// TestJsonnetOnCaptures evaluates our Jsonnet on captured contexts of two generations of
// Kratos.
func TestJsonnetOnCaptures(t *testing.T) {
	files, err := filepath.Glob("testdata/v*.json")
	if err != nil || len(files) < 8 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		ctx, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var in struct {
			Identity struct {
				ID     string
				Traits map[string]any
			}
		}
		if err := json.Unmarshal(ctx, &in); err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			link := linkBody("id", projection.Paths(testActions().Columns), true, false)
			identity, err := parseLink(evaluate(t, link, ctx), "id")
			if strings.Contains(file, "parse-hook") { // called before the insert, with the nil UUID
				if err == nil {
					t.Error("the nil UUID was accepted as an identity's ID")
				}
			} else if err != nil {
				t.Error(err)
			} else {
				email := projection.Projection{Path: "traits.email"}.Value(identity)
				if string(identity.ID) != in.Identity.ID || email.V != in.Identity.Traits["email"] || identity.CreatedAt.IsZero() {
					t.Errorf("got %+v", identity)
				}
			}
			if identity, _, ok := parseReserve(evaluate(t, reserveBody, ctx)); !ok || !mayExtend(identity.MetadataPublic, "id") {
				t.Errorf("reserve reads %q, %v", identity.MetadataPublic, ok)
			}
			var sync map[string]string
			if err := json.Unmarshal(evaluate(t, syncBody, ctx), &sync); err != nil || sync["identity_id"] != in.Identity.ID || len(sync) != 1 {
				t.Errorf("sync sends %v, %v", sync, err)
			}
		})
	}
}

// TestJsonnetNeverFails checks odd contexts, because a Jsonnet error refuses a
// registration or loses a hint.
func TestJsonnetNeverFails(t *testing.T) {
	link := linkBody(`i'd"\`, []string{"active", "metadata_public.a.b", "traits.email", "traits.name.first", "traits.tags.0", "traits.tags.0.x", "verified_email",
		"verified_emails", "verified_phone", "schema_id", "organization_id", "external_id", "created_at", "transient_payload.ref", "transient_payload.list.2"}, true, false)
	for _, ctx := range []string{`{}`, `{"identity":null}`, `{"identity":{}}`, `{"identity":"x"}`, `{"identity":{"traits":null,"metadata_public":null}}`,
		`{"flow":null}`, `{"flow":{"transient_payload":"x"},"identity":{"traits":{"tags":{"0":{}}}}}`, `{"flow":{"transient_payload":{"list":[1]}},"identity":{"traits":{"tags":[]}}}`,
		`{"identity":{"traits":[],"metadata_public":"x","verifiable_addresses":null}}`, `{"identity":{"traits":{"name":"Ann"},"verifiable_addresses":[null,{}]}}`,
		`{"identity":{"metadata_public":{"id":9007199254740993},"verifiable_addresses":[{"verified":true,"via":"email","value":"a@b"}]}}`} {
		for _, body := range []string{reserveBody, syncBody, link} {
			evaluate(t, body, []byte(ctx))
		}
	}
}

func evaluate(t *testing.T, body string, ctx []byte) []byte {
	t.Helper()
	vm := jsonnet.MakeVM()
	vm.TLACode("ctx", string(ctx))
	out, err := vm.EvaluateAnonymousSnippet("body.jsonnet", body)
	if err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	return []byte(out)
}

func printed(t *testing.T, a Actions) map[string]any {
	t.Helper()
	var b bytes.Buffer
	if err := a.WriteKratos(&b); err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := yaml.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	return sub(sub(doc, "selfservice"), "flows")
}

// names describes a list of hooks: Symbolon's hooks by route, others by URL or name.
func names(v any) string {
	list, _ := sub(map[string]any{"x": v}, "x")["hooks"].([]any)
	var out []string
	for _, h := range list {
		hook := h.(map[string]any)
		name, _ := hook["hook"].(string)
		if url, ok := sub(hook, "config")["url"].(string); ok {
			name = strings.TrimPrefix(url, "http://127.0.0.1:4460/hooks/")
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

func TestActionsForEveryMethod(t *testing.T) {
	flows := printed(t, testActions())
	for _, m := range flowMethods["registration"] {
		if got := names(sub(sub(flows, "registration"), "after")[m]); got != "reserve session link" {
			t.Errorf("registration %s: %s", m, got)
		}
	}
	for _, m := range flowMethods["settings"] {
		if got := names(sub(sub(flows, "settings"), "after")[m]); got != "sync" {
			t.Errorf("settings %s: %s", m, got)
		}
	}
	for _, flow := range []string{"verification", "recovery"} {
		if got := names(sub(flows, flow)["after"]); got != "sync" {
			t.Errorf("%s: %s", flow, got)
		}
	}
	if _, login := flows["login"]; login {
		t.Error("a hook runs on login")
	}
}

func TestActionsHook(t *testing.T) {
	a := testActions()
	hooks := sub(sub(sub(printed(t, a), "registration"), "after"), "password")["hooks"].([]any)
	reserve, link := sub(hooks[0].(map[string]any), "config"), sub(hooks[2].(map[string]any), "config")
	if sub(reserve, "response")["parse"] != true || sub(link, "response")["ignore"] != true {
		t.Errorf("responses: %v, %v", reserve["response"], link["response"])
	}
	key := sub(sub(link, "auth"), "config")
	if key["name"] != KeyHeader || key["value"] != a.Keys.Link[0] || key["in"] != "header" {
		t.Errorf("auth: %v", link["auth"])
	}
	body, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(reserve["body"].(string), "base64://"))
	if err != nil || string(body) != reserveBody {
		t.Errorf("body %q, %v", body, err)
	}
}

func TestActionsKeepExistingHooks(t *testing.T) {
	a := testActions()
	a.Existing = []byte(`
selfservice:
  flows:
    registration:
      after:
        hooks: [{hook: web_hook, config: {url: "http://global", method: POST}}]
        password:
          hooks:
            - {hook: web_hook, config: {url: "http://plain", method: POST}}
            - {hook: web_hook, config: {url: "http://parses", method: POST, response: {parse: true}}}
            - {hook: web_hook, config: {url: "http://127.0.0.1:4460/hooks/reserve", method: POST, response: {parse: true}}}
            - {hook: session}
            - {hook: web_hook, config: {url: "http://interrupts", method: POST, can_interrupt: true}}
            - {hook: web_hook, config: {url: "http://127.0.0.1:4460/hooks/link", method: POST}}
    verification: {after: {hooks: [{hook: web_hook, config: {url: "http://v", method: POST}}]}}
`)
	want := "http://plain http://parses session http://interrupts reserve link"
	flows := printed(t, a)
	if got := names(sub(sub(flows, "registration"), "after")["password"]); got != want {
		t.Errorf("password: %s", got)
	}
	if got := names(sub(sub(flows, "registration"), "after")["oidc"]); got != "reserve http://global link" {
		t.Errorf("oidc takes the global list over: %s", got)
	}
	if got := names(sub(flows, "verification")["after"]); got != "http://v sync" {
		t.Errorf("verification: %s", got)
	}
	a.Methods = []string{"oidc"}
	after := sub(sub(printed(t, a), "registration"), "after")
	if names(after["password"]) != want || names(after["oidc"]) == "" || after["code"] != nil {
		t.Errorf("methods: %v", after)
	}
}

// TestSessionIsAddedOnlyToNewLists checks that people are signed in after the sign-up if there
// is no configuration yet, that the header says so, and that otherwise the operator's lists
// decide.
func TestSessionIsAddedOnlyToNewLists(t *testing.T) {
	for existing, want := range map[string]string{
		"": "reserve session link",
		"selfservice: {flows: {registration: {after: {code: {hooks: [{hook: session}]}}}}}": "reserve link",
		"selfservice: {flows: {registration: {after: {hooks: [{hook: session}]}}}}":         "reserve session link",
		"serve: {}": "reserve link",
	} {
		a := testActions()
		a.Existing = []byte(existing)
		if got := names(sub(sub(printed(t, a), "registration"), "after")["password"]); got != want {
			t.Errorf("%q: %s", existing, got)
		}
		for name, write := range map[string]func(io.Writer) error{"Kratos": a.WriteKratos, "Network": a.WriteNetwork} {
			var b strings.Builder
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			if says := strings.Contains(b.String(), "\n# Remove it if that is not wanted."); says != (existing == "") {
				t.Errorf("%s, %q: the header says so: %t", name, existing, says)
			}
		}
	}
}

func TestActionsWithoutReserve(t *testing.T) {
	for name, edit := range map[string]func(*Actions){
		"asked for":   func(a *Actions) { a.WithoutReserve = true },
		"database":    func(a *Actions) { a.NewID = symbolon.ByDatabase },
		"identity":    func(a *Actions) { a.NewID = symbolon.ByIdentity },
		"create_url":  func(a *Actions) { a.NewID = symbolon.ByApplication },
		"write: none": func(a *Actions) { a.BackReference.Write = link.WriteNone },
	} {
		a := testActions()
		edit(&a)
		if got := names(sub(sub(printed(t, a), "registration"), "after")["password"]); got != "session link" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestActionsForNetwork(t *testing.T) {
	var b bytes.Buffer
	if err := testActions().WriteNetwork(&b); err != nil {
		t.Fatal(err)
	}
	out := b.String()
	for _, want := range []string{"ory patch identity-config", "--replace '/selfservice/flows/registration/after/password/hooks=[{", "/selfservice/flows/verification/after/hooks=[{"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestActionsCheck(t *testing.T) {
	for name, edit := range map[string]func(*Actions){
		"no URL":      func(a *Actions) { a.URL = "" },
		"file URL":    func(a *Actions) { a.URL = "file:///x" },
		"user in URL": func(a *Actions) { a.URL = "http://a:b@h" },
		"no keys":     func(a *Actions) { a.Keys = Keys{} },
		"method":      func(a *Actions) { a.Methods = []string{"saml2"} },
		"column":      func(a *Actions) { a.Columns = map[string]string{"a": "nope"} },
		"existing":    func(a *Actions) { a.Existing = []byte("\t") },
	} {
		a := testActions()
		edit(&a)
		if err := a.WriteKratos(&bytes.Buffer{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
