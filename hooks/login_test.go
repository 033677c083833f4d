package hooks

import (
	"bytes"
	"strings"
	"testing"
)

const globalLogin = `login: {after: {hooks: [{hook: require_verified_address}, {hook: revoke_active_sessions}, {hook: web_hook, config: {url: "http://global", method: POST}}]}}`

// TestActionsAfterLogin checks where a hook runs after a sign-in, and that the hooks that run there now
// stay, before ours.
func TestActionsAfterLogin(t *testing.T) {
	oidc := `methods: {oidc: {enabled: true}}`
	for name, test := range map[string]struct {
		existing   string
		methods    []string
		want, says string // lists by method, and a sentence
	}{
		"no configuration":       {"", nil, "", "which only --kratos-config FILE shows"},
		"no configuration, oidc": {"", []string{"oidc"}, "", "which only --kratos-config FILE shows"},
		"no oidc":                {"selfservice: {methods: {oidc: {enabled: false}}, flows: {" + globalLogin + "}}", nil, "", ""},
		"no hooks":               {"selfservice: {" + oidc + "}", nil, "oidc: sync", "login.after.oidc has the hook sync"},
		"named":                  {"selfservice: {flows: {" + globalLogin + "}}", []string{"oidc"}, "oidc: require_verified_address revoke_active_sessions http://global sync", ""},
		"global hooks":           {"selfservice: {" + oidc + ", flows: {" + globalLogin + "}}", nil, "oidc: require_verified_address revoke_active_sessions http://global sync", ""},
		"own hooks": {"selfservice: {" + oidc + `, flows: {login: {after: {hooks: [{hook: revoke_active_sessions}], oidc: {hooks: [
			{hook: web_hook, config: {url: "http://127.0.0.1:4460/hooks/sync", method: POST}}, {hook: web_hook, config: {url: "http://own", method: POST}}]}}}}}`, nil, "oidc: http://own sync", ""},
		"a hook that oidc cannot have": {"selfservice: {" + oidc + ", flows: {login: {after: {hooks: [{hook: verification}]}}}}", nil, "", "does not accept the global hook verification"},
		"saml":                         {"selfservice: {methods: {saml: {enabled: true}}}", nil, "saml: sync", "login.after.saml has the hook sync"},
		"other methods":                {"selfservice: {" + oidc + "}", []string{"password"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := testActions()
			a.Existing, a.Methods = []byte(test.existing), test.methods
			var got []string
			after := sub(printed(t, a), "login", "after")
			for _, m := range loginMethods {
				if list := after[m]; list != nil {
					got = append(got, m+": "+names(list))
				}
			}
			if strings.Join(got, "\n") != test.want || len(after) != len(got) {
				t.Errorf("got %q, with %d lists", got, len(after))
			}
			var kratos, network bytes.Buffer
			if a.WriteKratos(&kratos) != nil || a.WriteNetwork(&network) != nil {
				t.Fatal("not written")
			}
			for _, out := range []string{kratos.String(), network.String()} {
				if !strings.Contains(strings.ReplaceAll(out, "\n# ", " "), test.says) {
					t.Errorf("no sentence %q in\n%.700s", test.says, out)
				}
			}
			if hooks, ok := sub(after, "oidc")["hooks"].([]any); ok {
				if ours := sub(hooks[len(hooks)-1].(map[string]any), "config", "response"); ours["ignore"] != true {
					t.Errorf("Ory would wait for %v", ours)
				}
			}
		})
	}
}

// TestLicensedMethods checks the methods that the open-source Kratos does not have: they have
// lists only if they are named or enabled.
func TestLicensedMethods(t *testing.T) {
	for name, test := range map[string]struct {
		existing string
		methods  []string
		want     string
	}{
		"not asked for": {"", nil, ""},
		"named":         {"", []string{"saml", "deviceauthn"}, "deviceauthn saml"},
		"one":           {"", []string{"saml"}, "saml"},
		"enabled":       {"selfservice: {methods: {saml: {enabled: true}, deviceauthn: {enabled: true}}}", nil, "deviceauthn saml"},
		"with a list":   {"selfservice: {flows: {registration: {after: {saml: {hooks: [{hook: session}]}}}}}", []string{"password"}, "saml"},
	} {
		a := testActions()
		a.Existing, a.Methods = []byte(test.existing), test.methods
		flows := printed(t, a)
		var got []string
		for _, m := range []string{"deviceauthn", "saml"} {
			list := sub(flows, "registration", "after")[m]
			if list == nil {
				continue
			}
			got = append(got, m)
			if hooks := names(list); !strings.HasPrefix(hooks, "reserve") || !strings.HasSuffix(hooks, "link") {
				t.Errorf("%s, %s: %s", name, m, hooks)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %v", name, got)
		}
		if sub(flows, "settings", "after")["saml"] != nil {
			t.Errorf("%s: settings have a list of saml", name)
		}
	}
}

// TestUpdatingProviders reads the providers that change identities at each sign-in.
func TestUpdatingProviders(t *testing.T) {
	f, err := ReadKratos([]byte(`
selfservice:
  methods:
    oidc: {enabled: true, config: {providers: [{id: google, mapper_url: "base64://e30=", update_identity_on_login: automatic}, {id: github}, {id: x, update_identity_on_login: never}]}}
    saml: {enabled: false, config: {providers: [{id: corp, update_identity_on_login: automatic}]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.UpdatingProviders(); len(got) != 1 || got[0] != (Provider{Method: "oidc", ID: "google", Mapper: "base64://e30="}) {
		t.Errorf("got %+v", got)
	}
}
