package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/createurl"
	"github.com/symbolon-id/symbolon/link"
)

// load reads a configuration from text. "" means no file.
func load(t *testing.T, text string, env Environ) (*Config, []Fault, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if text != "" {
		if err := os.WriteFile(DefaultFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Load("", env)
}

func TestDefaults(t *testing.T) {
	c, warnings, err := load(t, "", cmdtest.Env())
	if err != nil || len(warnings) != 0 {
		t.Fatalf("no file and a secret: %v, %v", err, warnings)
	}
	want := Defaults()
	want.Secret = cmdtest.Secret
	want.Users.Columns, want.Users.OnIdentityDeleted = OwnColumns(), symbolon.DeactivateRow
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v", c)
	}
	if c.Database != "sqlite://symbolon.db" || c.Serve.Admin != "127.0.0.1:4461" || c.Auth.MaxStale != 10*time.Second {
		t.Errorf("wrong defaults: %+v", c)
	}
}

const everything = `
ory: {public_url: "https://slug.projects.oryapis.com", admin_url: https://slug.projects.oryapis.com, token: "${TOKEN}",
  cookie: ory_session_slug, project: p1, edge_cache: true}
database: postgres://u:${PASSWORD}@db:5432/app
database_listen: postgres://u:${PASSWORD}@direct:5432/app
database_pool: {max: 20, statement_timeout: 2s}
secret: ${SYMBOLON_SECRET}
next_secret: ${NEXT}
previous_secrets: ["${OLD}"]
serve: {public: "0.0.0.0:80", admin: "10.0.0.1:81", admin_key: "${ADMIN}", url: https://app.example/symbolon,
  trusted_proxies: [127.0.0.1, "10.0.0.0/8"], drain: 3s}
hooks: {keys: {reserve: ["${R}"], link: ["${L}", "${L2}"], sync: []}, basic: {hydrate: "oathkeeper:${H}"}}
users:
  table: app.accounts
  id: account_id
  identity: ory_id
  new_id: database
  columns: {email: traits.email, plan: "'free'", level: 3, ok: true, name: "default(traits.name.first, '')"}
  deny: {user_gone: deleted_at is not null, user_suspended: suspended}
  when: {schema_id: [customer, staff], verified: true}
  on_user_deleted: recreate
  on_identity_deleted: anonymise
  on_return: new
  release_columns: [email]
  anonymise_columns: [email, name]
  placeholder: moving-{user}@app.invalid
deletion: {proof_gap: 45s}
back_reference: {path: metadata_public.account, write: reserve, external_id: true}
auth: {max_stale: 1m30s, outage_grace: 2m, login_url: "https://ory.example/login?x=1", return_to_hosts: ["app.example", "app.example:8443"], audience: app,
  policies: {admin: {aal: aal2, verified: true, fresh: 15m, login_redirect: true}, plain-1: {}}, headers: {user_id: X-Account},
  jwt: {jwks: "https://keys.example/jwks.json", issuer: "https://ory.example/", audience: notes, algorithms: [ES256, PS512], user_claim: user_id, max_life: 5m}}
reconcile: {every: 20m, load: 2.5%}
retention: 720h
`

func TestEveryKey(t *testing.T) {
	key := func(n int) string { return fmt.Sprintf("%s%d", cmdtest.Key, n) }
	c, warnings, err := load(t, everything, cmdtest.Env("TOKEN", key(1), "PASSWORD", "pw", "OLD", key(2), "NEXT", key(8), "ADMIN", key(3),
		"R", key(4), "L", key(5), "L2", key(6), "H", key(7)))
	if err != nil || len(warnings) != 0 {
		t.Fatalf("%v %v", err, warnings)
	}
	want := &Config{
		Ory: OryConfig{PublicURL: "https://slug.projects.oryapis.com", AdminURL: "https://slug.projects.oryapis.com",
			Token: Hidden(key(1)), Cookie: "ory_session_slug", Project: "p1", EdgeCache: true},
		Database:        "postgres://u:pw@db:5432/app",
		DatabaseListen:  "postgres://u:pw@direct:5432/app",
		DatabasePool:    PoolConfig{Max: 20, StatementTimeout: 2 * time.Second},
		Secret:          cmdtest.Secret,
		NextSecret:      Hidden(key(8)),
		PreviousSecrets: []Hidden{Hidden(key(2))},
		Serve: ServeConfig{Public: "0.0.0.0:80", Admin: "10.0.0.1:81", AdminKey: Hidden(key(3)), URL: "https://app.example/symbolon",
			TrustedProxies: []string{"127.0.0.1", "10.0.0.0/8"}, Drain: 3 * time.Second},
		Hooks: HooksConfig{Keys: HookKeys{Reserve: []Hidden{Hidden(key(4))}, Link: []Hidden{Hidden(key(5)), Hidden(key(6))}, Sync: []Hidden{}}, Basic: BasicKeys{Hydrate: Hidden("oathkeeper:" + key(7))}},
		Users: UsersConfig{Table: "app.accounts", ID: "account_id", Identity: "ory_id", NewID: symbolon.ByDatabase,
			Columns: map[string]string{"email": "traits.email", "plan": "'free'", "level": "3", "ok": "true", "name": "default(traits.name.first, '')"},
			Deny:    map[string]string{"user_gone": "deleted_at is not null", "user_suspended": "suspended"}, When: WhenConfig{SchemaID: []string{"customer", "staff"}, Verified: true},
			OnUserDeleted: link.RecreateDeleted, OnReturn: link.ReturnNew, OnIdentityDeleted: symbolon.AnonymiseRow,
			ReleaseColumns: []string{"email"}, AnonymiseColumns: []string{"email", "name"}, Placeholder: "moving-{user}@app.invalid"},
		Deletion:      DeletionConfig{ProofGap: 45 * time.Second},
		BackReference: BackReferenceConfig{Path: "metadata_public.account", Write: link.WriteReserve, ExternalID: true},
		Auth: AuthConfig{MaxStale: 90 * time.Second, OutageGrace: 2 * time.Minute, LoginURL: "https://ory.example/login?x=1", ReturnToHosts: []string{"app.example", "app.example:8443"}, Audience: "app",
			Policies: map[string]PolicyConfig{"admin": {AAL: "aal2", Verified: true, Fresh: 15 * time.Minute, LoginRedirect: true}, "plain-1": {}}, Headers: map[string]string{"user_id": "X-Account"},
			JWT: JWTConfig{JWKS: "https://keys.example/jwks.json", Issuer: "https://ory.example/", Audience: "notes", Algorithms: []string{"ES256", "PS512"}, UserClaim: "user_id", MaxLife: 5 * time.Minute}},
		Reconcile: ReconcileConfig{Every: 20 * time.Minute, Load: "2.5%"},
		Retention: 720 * time.Hour,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// TestEveryKeyByEnvironment sets each key by its variable, over a file with other values.
func TestEveryKeyByEnvironment(t *testing.T) {
	values := map[string]string{
		"SYMBOLON_ORY_PUBLIC_URL": "http://kratos:4433", "SYMBOLON_ORY_ADMIN_URL": "http://kratos:4434",
		"SYMBOLON_ORY_TOKEN": cmdtest.Key + "t", "SYMBOLON_ORY_COOKIE": "c", "SYMBOLON_ORY_PROJECT": "p2", "SYMBOLON_ORY_EDGE_CACHE": "true",
		"SYMBOLON_DATABASE": "postgres://u:p@pooler/x", "SYMBOLON_DATABASE_LISTEN": "postgres://u:p@direct/x", "SYMBOLON_DATABASE_POOL_MAX": "3", "SYMBOLON_DATABASE_POOL_STATEMENT_TIMEOUT": "7s",
		"SYMBOLON_SECRET": cmdtest.Secret, "SYMBOLON_NEXT_SECRET": cmdtest.Key + "n", "SYMBOLON_PREVIOUS_SECRETS": cmdtest.Key + "p, " + cmdtest.Key + "q",
		"SYMBOLON_SERVE_PUBLIC": ":1", "SYMBOLON_SERVE_ADMIN": ":2", "SYMBOLON_SERVE_ADMIN_KEY": cmdtest.Key + "a", "SYMBOLON_SERVE_URL": "http://s:1", "SYMBOLON_SERVE_TRUSTED_PROXIES": "::1, fd00::/8", "SYMBOLON_SERVE_DRAIN": "6s",
		"SYMBOLON_HOOKS_KEYS_RESERVE": cmdtest.Key + "r", "SYMBOLON_HOOKS_KEYS_LINK": cmdtest.Key + "l," + cmdtest.Key + "m", "SYMBOLON_HOOKS_KEYS_SYNC": cmdtest.Key + "s", "SYMBOLON_HOOKS_BASIC_HYDRATE": "u:" + cmdtest.Key + "h", "SYMBOLON_HOOKS_INVITES": "true",
		"SYMBOLON_USERS_TABLE": "t", "SYMBOLON_USERS_ID": "i", "SYMBOLON_USERS_IDENTITY": "j", "SYMBOLON_USERS_NEW_ID": "identity",
		"SYMBOLON_USERS_COLUMNS": `{"email":"traits.email"}`, "SYMBOLON_USERS_ON_USER_DELETED": "recreate",
		"SYMBOLON_USERS_DENY": `{"banned":"suspended"}`, "SYMBOLON_USERS_WHEN_SCHEMA_ID": "a, b", "SYMBOLON_USERS_WHEN_VERIFIED": "true",
		"SYMBOLON_USERS_ON_IDENTITY_DELETED": "keep", "SYMBOLON_USERS_ON_RETURN": "ask", "SYMBOLON_USERS_RELEASE_COLUMNS": "a, b", "SYMBOLON_USERS_ANONYMISE_COLUMNS": "c", "SYMBOLON_USERS_PLACEHOLDER": "gone-{user}", "SYMBOLON_DELETION_PROOF_GAP": "2m0s",
		"SYMBOLON_BACK_REFERENCE_PATH": "metadata_public.k", "SYMBOLON_BACK_REFERENCE_WRITE": "none", "SYMBOLON_BACK_REFERENCE_EXTERNAL_ID": "true",
		"SYMBOLON_AUTH_MAX_STALE": "3s", "SYMBOLON_AUTH_OUTAGE_GRACE": "4s", "SYMBOLON_AUTH_HEADERS": `{"aal":"X-Aal"}`, "SYMBOLON_AUTH_LOGIN_URL": "https://l/", "SYMBOLON_AUTH_RETURN_TO_HOSTS": "a, b",
		"SYMBOLON_AUTH_AUDIENCE": "aud", "SYMBOLON_AUTH_POLICIES": `{"p":{"aal":"aal2","verified":true,"fresh":"1m","login_redirect":true}}`,
		"SYMBOLON_AUTH_JWT_JWKS": "/etc/jwks.json", "SYMBOLON_AUTH_JWT_ISSUER": "http://i/", "SYMBOLON_AUTH_JWT_AUDIENCE": "aud2", "SYMBOLON_AUTH_JWT_ALGORITHMS": "EdDSA, RS256", "SYMBOLON_AUTH_JWT_USER_CLAIM": "u", "SYMBOLON_AUTH_JWT_MAX_LIFE": "1m0s",
		"SYMBOLON_RECONCILE_LOAD": "50%", "SYMBOLON_RECONCILE_EVERY": "1h0m0s", "SYMBOLON_RETENTION": "48h0m0s",
		"SYMBOLON_ADOPT_VERIFIED_EMAIL": "true", "SYMBOLON_ADOPT_VERIFIED_COLUMN": "v",
	}
	var pairs, paths []string
	for name, value := range values {
		pairs = append(pairs, name, value)
	}
	c, warnings, err := load(t, everything, cmdtest.Env(pairs...))
	if err != nil || len(warnings) != 0 {
		t.Fatalf("%v %v", err, warnings)
	}
	eachLeaf(reflect.ValueOf(c).Elem(), "", func(path string, v reflect.Value) {
		paths = append(paths, EnvName(path))
		text := values[EnvName(path)]
		switch v := v.Interface().(type) {
		case []Hidden:
			var items []string
			for _, h := range v {
				items = append(items, h.Reveal())
			}
			if got := strings.Join(items, ","); got != strings.ReplaceAll(text, " ", "") {
				t.Errorf("%s: got %s", path, got)
			}
		case []string:
			if got := strings.Join(v, ", "); got != text {
				t.Errorf("%s: got %s", path, got)
			}
		case map[string]PolicyConfig:
			if len(v) != 1 || v["p"] != (PolicyConfig{"aal2", true, time.Minute, true}) {
				t.Errorf("%s: got %v", path, v)
			}
		case map[string]string:
			if len(v) != 1 {
				t.Errorf("%s: got %v", path, v)
			}
		case Hidden:
			if v.Reveal() != text {
				t.Errorf("%s: got %s", path, v.Reveal())
			}
		default:
			if got := fmt.Sprint(v); got != text {
				t.Errorf("%s: got %s, want %s", path, got, text)
			}
		}
	})
	for name := range values {
		if !slices.Contains(paths, name) {
			t.Errorf("%s is not a key", name)
		}
	}
	const instead = 2 // create_url and create_secret cannot be set with a table; see TestCreateKeys
	if len(paths) != len(values)+instead {
		t.Errorf("%d keys, %d tested", len(paths), len(values)+instead)
	}
}

func TestExpandEnv(t *testing.T) {
	env := cmdtest.Env("A", "1", "B_2", "${A}", "EMPTY", "")
	for in, want := range map[string]string{
		"": "", "plain $A": "plain $A", "${A}": "1", "x${A}y${A}": "x1y1", "${B_2}": "${A}", "$${A}": "${A}", "a$${A}${A}": "a${A}1", "$$": "$$",
	} {
		if got, err := expandEnv(in, env); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"${", "${A", "${}", "${A B}", "${MISSING}", "${EMPTY}", "${A:-x}", "${${A}}", "x${1}"} {
		if got, err := expandEnv(in, env); err == nil {
			t.Errorf("%q: %q, want an error", in, got)
		}
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	_, _, err := load(t, `
ory: {public_url: http://93.184.216.34, admin_url: "file:///etc", cookie: 7, colour: red}
database: mysql://u:hunter2@h/db
users: {table: "users; drop", new_id: guess}
auth: {max_stale: 0s}
sreve: {}
`, nil)
	var c *Error
	if !errors.As(err, &c) {
		t.Fatalf("got %v", err)
	}
	var paths []string
	for _, f := range c.faults {
		paths = append(paths, f.path)
	}
	want := []string{"auth.max_stale", "database", "ory.admin_url", "ory.colour", "ory.cookie", "ory.public_url", "secret", "sreve", "users.new_id", "users.table"}
	if !slices.Equal(paths, want) {
		t.Errorf("got %v\nwant %v", paths, want)
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != len(want) {
		t.Errorf("%d lines for %d faults", n, len(want))
	}
	for _, f := range c.faults {
		if f.path != "secret" && !strings.Contains(f.where, "symbolon.yaml line") {
			t.Errorf("%s does not name its place", f)
		}
	}
}

func TestWarnings(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile("c.yaml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod("c.yaml", mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"a secret that everybody may read", "secret: " + cmdtest.Secret, 0o644, "chmod 600"},
		{"a password in the DSN", "secret: ${SYMBOLON_SECRET}\ndatabase: postgres://u:pw@h/d", 0o644, "chmod 600"},
		{"a secret that only the owner may read", "secret: " + cmdtest.Secret, 0o600, ""},
		{"no secret in the file", "secret: ${SYMBOLON_SECRET}\nserve: {public: ':0'}", 0o644, ""},
		{"a trailing slash", "ory: {public_url: http://127.0.0.1:4433/}", 0o600, "slash"},
	} {
		write(test.text, test.mode)
		env := cmdtest.Env()
		if strings.Contains(test.text, cmdtest.Secret) {
			env = nil
		}
		_, warnings, err := Load("c.yaml", env)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if got := fmt.Sprint(warnings); (test.want == "") != (len(warnings) == 0) || !strings.Contains(got, test.want) {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestConfigFile(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, _, err := Load("missing.yaml", cmdtest.Env()); err == nil || !errors.As(err, new(*cli.UsageError)) {
		t.Errorf("a missing file: %v, want an error", err)
	}
	if !NoFile("") || NoFile("missing.yaml") {
		t.Error("NoFile is wrong in an empty folder")
	}
	if err := os.WriteFile(DefaultFile, nil, 0o600); err != nil || NoFile("") {
		t.Errorf("NoFile with %s: %v", DefaultFile, err)
	}
	if _, _, err := Load(t.TempDir(), cmdtest.Env()); err == nil {
		t.Error("a folder was accepted as a file")
	}
	big := filepath.Join(t.TempDir(), "big.yaml")
	if err := os.WriteFile(big, []byte("a: "+strings.Repeat("x", 10<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(big, cmdtest.Env()); err == nil || !strings.Contains(err.Error(), "1 MB") {
		t.Errorf("10 MB: %v", err)
	}
}

func TestHiddenIsHidden(t *testing.T) {
	h := Hidden(cmdtest.Secret)
	c := Defaults()
	c.Secret, c.Ory.Token, c.Hooks.Keys.Link = h, h, []Hidden{h}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, v := range []any{h, &h, c, *c, []Hidden{h}, struct{ H Hidden }{h}} {
			got := fmt.Sprintf(verb, v)
			if strings.Contains(strings.ToLower(got), strings.ToLower(cmdtest.Secret)) || strings.Contains(strings.ToLower(got), fmt.Sprintf("%x", cmdtest.Secret)) {
				t.Errorf("%s of %T shows the secret: %s", verb, v, got)
			}
		}
	}
}

// TestCreateKeys sets the keys for an application that makes its users itself, by a file
// and by the environment.
func TestCreateKeys(t *testing.T) {
	const url, one, two = "http://app:3000/internal/users", "whsec_F6LMPaZ4GZbXTWuR9ZEHUZ9QfnlpFKtl", "whsec_k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e"
	for name, given := range map[string]struct {
		text string
		env  Environ
	}{
		"file":        {"users: {create_url: \"" + url + "\", create_secret: [\"${ONE}\", \"${TWO}\"]}\n", cmdtest.Env("ONE", one, "TWO", two)},
		"environment": {"", cmdtest.Env("SYMBOLON_USERS_CREATE_URL", url, "SYMBOLON_USERS_CREATE_SECRET", one+","+two)},
	} {
		text := given.text
		if text != "" {
			text = "secret: ${SYMBOLON_SECRET}\n" + text
		}
		c, warnings, err := load(t, text, given.env)
		if err != nil || len(warnings) != 0 {
			t.Fatalf("%s: %v %v", name, err, warnings)
		}
		client := createurl.Client{URL: c.Users.CreateURL, Secrets: c.CreateSecrets(), Project: c.Ory.Project, Columns: c.Users.Columns}
		if client.URL != url || !slices.Equal(client.Secrets, []string{one, two}) || len(client.Columns) != 3 || client.Check() != nil {
			t.Errorf("%s: %+v", name, c.Users)
		}
		if c.Users.IDSource() != symbolon.ByApplication || c.Users.OnIdentityDeleted != symbolon.KeepRow {
			t.Errorf("%s: new_id %s, on_identity_deleted %s", name, c.Users.IDSource(), c.Users.OnIdentityDeleted)
		}
	}
}

// TestAdoptConfig checks that adopt.verified_email is refused if the configuration cannot
// support it.
func TestAdoptConfig(t *testing.T) {
	const on = "SYMBOLON_ADOPT_VERIFIED_EMAIL"
	good := []string{on, "true", "SYMBOLON_ADOPT_VERIFIED_COLUMN", "verified", "SYMBOLON_ORY_ADMIN_URL", "http://127.0.0.1:4434"}
	for _, test := range []struct {
		more []string
		want string // part of a fault; empty: no fault
	}{
		{nil, ""},
		{[]string{"SYMBOLON_ADOPT_VERIFIED_COLUMN", ""}, "adopt.verified_column: adopt.verified_email needs"},
		{[]string{"SYMBOLON_ADOPT_VERIFIED_COLUMN", "a;b"}, "adopt.verified_column: it must be at most 63 bytes of letters"},
		{[]string{on, "false", "SYMBOLON_ADOPT_VERIFIED_COLUMN", "a;b"}, "adopt.verified_column: it must be at most 63 bytes of letters"},
		{[]string{"SYMBOLON_ORY_ADMIN_URL", ""}, "needs ory.admin_url"},
		{[]string{"SYMBOLON_USERS_TABLE", "accounts"}, "exactly one column in users.columns"},
		{[]string{"SYMBOLON_USERS_COLUMNS", `{"a":"traits.email","b":"verified_email"}`}, "exactly one column in users.columns"},
		{[]string{"SYMBOLON_USERS_TABLE", "accounts", "SYMBOLON_USERS_COLUMNS", `{"mail":"verified_email"}`}, ""},
		{[]string{"SYMBOLON_USERS_CREATE_URL", "https://app.example.net/users"}, "there is no users table"},
	} {
		env := cmdtest.Env(append(good, test.more...)...)
		_, _, err := load(t, "", env)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%v: %v", test.more, err)
		}
	}
}

// TestColumnLists: a list in the file is the same as its text, which a variable has.
func TestColumnLists(t *testing.T) {
	const file = "users:\n  table: accounts\n  new_id: usr_{ulid}\n  columns:\n    contact: [traits.email, traits.phone, \"'none'\"]\n    \"e-mail\": traits.email\n"
	c, _, err := load(t, file, cmdtest.Env())
	if err != nil || c.Users.Columns["contact"] != "[traits.email, traits.phone, 'none']" || c.Users.Columns["e-mail"] != "traits.email" || c.Users.NewID != "usr_{ulid}" {
		t.Errorf("%+v %v", c, err)
	}
	c, _, err = load(t, "", cmdtest.Env("SYMBOLON_USERS_TABLE", "accounts", "SYMBOLON_USERS_COLUMNS", `{"contact":"[traits.email, traits.phone]"}`))
	if err != nil || c.Users.Columns["contact"] != "[traits.email, traits.phone]" {
		t.Errorf("%+v %v", c, err)
	}
}
