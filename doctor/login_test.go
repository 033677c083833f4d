package doctor_test

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/doctor"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
)

// TestLoginHooks checks providers that change identities at a sign-in.
func TestLoginHooks(t *testing.T) {
	const plain = `{identity: {traits: {email: std.extVar('claims').email}}}`
	const replaces = `{identity: {traits: {}, metadata_public: {plan: 'free'}}}`
	const adds = `local identity = std.extVar("identity"); {identity: {metadata_public: identity.metadata_public + {plan: 'free'}}}`
	actions := hooks.Actions{URL: nowhere, Keys: hooks.DeriveKeys([]symbolon.Secret{secret})}
	sync := fmt.Sprintf(`{hook: web_hook, config: {url: "%s/hooks/sync", response: {ignore: true}, auth: {type: api_key, config: {in: header, name: X-Symbolon-Key, value: %s}}}}`, nowhere, actions.Keys.Sync[0])
	for name, test := range map[string]struct {
		update, mapper, login string
		write                 link.Write
		want                  map[string]doctor.Verdict
		says                  string
	}{
		"no updates":        {update: "never", mapper: replaces},
		"no hook":           {update: "automatic", mapper: plain, want: wrong("hooks.login_missing"), says: "for oidc"},
		"global hook":       {update: "automatic", mapper: plain, login: "{after: {hooks: [" + sync + "]}}"},
		"own list without":  {update: "automatic", mapper: plain, login: "{after: {hooks: [" + sync + "], oidc: {hooks: [{hook: revoke_active_sessions}]}}}", want: wrong("hooks.login_missing")},
		"hook of oidc":      {update: "automatic", mapper: plain, login: "{after: {oidc: {hooks: [" + sync + "]}}}"},
		"waits":             {update: "never", mapper: plain, login: "{after: {oidc: {hooks: [" + strings.Replace(sync, "ignore: true", "", 1) + "]}}}", want: wrong("hooks.login_ignore"), says: "login.after.oidc"},
		"wrong key":         {update: "never", mapper: plain, login: "{after: {oidc: {hooks: [" + strings.Replace(sync, actions.Keys.Sync[0], "other", 1) + "]}}}", want: wrong("hooks.key"), says: "sync in login.after.oidc"},
		"replaces metadata": {update: "automatic", mapper: replaces, login: "{after: {oidc: {hooks: [" + sync + "]}}}", want: wrong("hooks.mapper"), says: "the mapper of corp"},
		"in a comment":      {update: "automatic", mapper: plain + " // no metadata_public", login: "{after: {oidc: {hooks: [" + sync + "]}}}"},
		"adds to metadata":  {update: "automatic", mapper: adds, login: "{after: {oidc: {hooks: [" + sync + "]}}}", want: map[string]doctor.Verdict{"hooks.mapper": doctor.Unknown}},
		"no ID at Ory":      {update: "automatic", mapper: replaces, login: "{after: {oidc: {hooks: [" + sync + "]}}}", write: link.WriteNone},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := hooks.ReadKratos(fmt.Appendf(nil, "selfservice: {methods: {oidc: {enabled: true, config: {providers: [{id: corp, update_identity_on_login: %s, mapper_url: 'base64://%s'}]}}}, flows: {login: %s}}",
				test.update, base64.StdEncoding.EncodeToString([]byte(test.mapper)), cmp.Or(test.login, "{}")))
			if err != nil {
				t.Fatal(err)
			}
			a := actions
			a.BackReference.Write = test.write
			got := examine(t, &doctor.Doctor{Ory: &ory.Client{PublicURL: nowhere}, Actions: a, Kratos: file})
			for _, check := range []string{"hooks.login_missing", "hooks.login_ignore", "hooks.mapper", "hooks.key"} {
				want, r := test.want[check], got[check]
				if want == "" && (r.Verdict == doctor.Problem || r.Verdict == doctor.Unknown) || want != "" && (r.Verdict != want || !strings.Contains(r.Is, test.says)) {
					t.Errorf("%s: %+v", check, r)
				}
			}
		})
	}
}
