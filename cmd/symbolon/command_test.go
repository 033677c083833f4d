package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/reconcile"
)

// commands is an installation for commands that run in this process.
type commands struct {
	*installation
	env config.Environ
}

func installCommands(t *testing.T, change func(*config.Config)) *commands {
	t.Helper()
	i := install(t, change)
	t.Chdir(t.TempDir())
	return &commands{i, cmdtest.Env("SYMBOLON_DATABASE", i.Config.Database.Reveal(),
		"SYMBOLON_ORY_PUBLIC_URL", i.ory.PublicURL, "SYMBOLON_ORY_ADMIN_URL", i.ory.AdminURL)}
}

func TestShowSaysWhatIsWrong(t *testing.T) {
	c := installCommands(t, nil)
	id, token := c.ory.Add(1)
	user := c.signIn(t, token)
	show := func(args ...string) string {
		t.Helper()
		code, out, errs := runIn(t, c.env, append([]string{"show"}, args...)...)
		if code != 0 || errs != "" {
			t.Fatalf("show %v: %d %s", args, code, errs)
		}
		if strings.Contains(out, "cAnArY") {
			t.Errorf("the output of show has a secret:\n%s", out)
		}
		return out
	}
	says := func(out string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(out, part) {
				t.Errorf("the output lacks %q:\n%s", part, out)
			}
		}
	}
	says(show(id), "active at Ory", "linked", "no back-reference", "open findings: none", "history: 1")
	says(show(strings.ToUpper(id)), user)

	c.ory.Set(id, "metadata_public", map[string]any{"id": "\x1b[2Jsomebody\u202eelse"})
	says(show(id), "names NOT this user", `\u001b[2Jsomebody\u202eelse`)
	c.ory.Set(id, "metadata_public", map[string]any{"id": map[string]int{"a": 1}})
	says(show(id), `{"a":1}`)
	c.ory.Set(id, "state", "inactive")
	says(show(id), "inactive at Ory")
	c.ory.SetDown(true)
	says(show(user), "Ory does not answer")
	c.ory.SetDown(false)
	c.ory.Set(id, "", nil)
	says(show(user), "GONE at Ory")
	delete(c.env, "SYMBOLON_ORY_ADMIN_URL")
	says(show(user), "Ory was not asked: ory.admin_url")

	if _, err := c.DB.Exec("delete from symbolon_users"); err != nil {
		t.Fatal(err)
	}
	says(show(user), "NO ROW", user, id)
	var p system.Person
	if err := json.Unmarshal([]byte(show(user, "--json")), &p); err != nil || p.User.Row || p.Identity.Ory != system.NotAsked {
		t.Errorf("%v %+v", err, p)
	}
	if code, _, errs := runIn(t, c.env, "show", "\x1b[2J"); code != 1 || strings.Contains(errs, "\x1b") {
		t.Errorf("%d %q", code, errs)
	}
}

// TestShowOfNobody asks for identities that Symbolon does not know. Only Ory can say what
// they lack.
func TestShowOfNobody(t *testing.T) {
	c := installCommands(t, nil)
	id, _ := c.ory.Add(1)
	c.env["SYMBOLON_USERS_WHEN_VERIFIED"] = "true"
	const absent = "1d000000-0000-4000-8000-000000000099"
	says := func(id string, parts ...string) {
		t.Helper()
		code, _, errs := runIn(t, c.env, "show", id)
		for _, part := range parts {
			if code != 1 || !strings.Contains(errs, part) {
				t.Errorf("show %s: exit %d, lacks %q:\n%s", id, code, part, errs)
			}
		}
	}
	says(id, "the identity "+id+" is at Ory, and has no user", "users.when: Ory has verified none of its addresses", "403 not_eligible")
	says(absent, "no identity and no user has the ID "+absent, "Ory has no such identity either")
	c.ory.SetDown(true)
	says(id, "the database has no identity", "Ory does not answer")
	c.ory.SetDown(false)
	delete(c.env, "SYMBOLON_USERS_WHEN_VERIFIED")
	says(id, "has no user", "it gets one at its first request or hook")
	delete(c.env, "SYMBOLON_ORY_ADMIN_URL")
	says(id, "no identity and no user has the ID "+id, "Symbolon knows an identity after its first request or hook")
}

// TestShowReserved shows an identity that has no user, and whose back-reference is an ID.
func TestShowReserved(t *testing.T) {
	c := installCommands(t, nil)
	_, token := c.ory.Add(1)
	user := c.signIn(t, token)
	minter := mint.NewMinter("default", c.Config.Secrets()...)
	drawn, err := minter.Reserve("42")
	if err != nil {
		t.Fatal(err)
	}
	id, _ := c.ory.Add(2)
	if err := c.Store.RecordFindings(t.Context(), "default", symbolon.FromReconcile, []symbolon.Finding{{Kind: reconcile.UnlinkedIdentity, Identity: symbolon.IdentityID(id), Detail: "-"}}, nil); err != nil {
		t.Fatal(err)
	}
	const reserved, foreign = "a reserved ID; there is no user yet", "names NOT this user"
	for name, test := range map[string]struct {
		metadata map[string]any
		says     string
	}{
		"minted":                     {map[string]any{"id": c.Linker.Mint()}, reserved},
		"drawn":                      {map[string]any{"id": "42", "id_reserved": drawn}, reserved},
		"without its proof":          {map[string]any{"id": "42"}, foreign},
		"with the proof of another":  {map[string]any{"id": "43", "id_reserved": drawn}, foreign},
		"of another identity's user": {map[string]any{"id": user}, foreign},
	} {
		c.ory.Set(id, "metadata_public", test.metadata)
		if code, out, errs := runIn(t, c.env, "show", id); code != 0 || !strings.Contains(out, test.says) {
			t.Errorf("%s: %d %s%s", name, code, out, errs)
		}
	}
}

func TestBind(t *testing.T) {
	c := installCommands(t, nil)
	one, token := c.ory.Add(1)
	two, _ := c.ory.Add(2)
	three, thirdToken := c.ory.Add(3)
	user, third := c.signIn(t, token), c.signIn(t, thirdToken)
	for _, test := range []struct {
		args []string
		code int
		says string // on stdout or stderr
	}{
		{[]string{one, user}, 0, "is bound to user " + user},
		{[]string{two, user}, 1, "the user belongs to identity " + one + "; --move ends that link"},
		{[]string{two, "42"}, 1, "user 42 has no row"},
		{[]string{"1d000000-0000-4000-8000-999999999999", user}, 1, "symbolon: bind: read identity 1d000000-0000-4000-8000-999999999999: ory answered 404"},
		{[]string{two, user, "--why", "a\nb"}, 2, "one line"},
		{[]string{two, user, "--why", "for ada@example.com"}, 2, "without an e-mail address"},
		{[]string{two, user, "--move", "--why", "ticket 7"}, 0, "is bound to user " + user},
		{[]string{two, user}, 0, "is bound to user " + user},
		{[]string{three, user, "--move"}, 0, "left behind: user " + third + ": its row stays, without an identity, and keeps the person's data (email)"},
		{[]string{three, user}, 0, "`symbolon erase " + third + "` erases this user, and so does an erasure of the identity"},
	} {
		code, out, errs := runIn(t, c.env, append([]string{"bind"}, test.args...)...)
		if code != test.code || !strings.Contains(out+errs, test.says) {
			t.Errorf("bind %v: %d\n%s%s", test.args, code, out, errs)
		}
	}
	if code, out, errs := runIn(t, c.env, "erase", three, "--dry-run"); code != 0 || !strings.Contains(out, "user      "+third+"  a move left its row without an identity: its ID is retired") {
		t.Errorf("erase: %d\n%s%s", code, out, errs)
	}
	_, out, _ := runIn(t, c.env, "show", two)
	if !strings.Contains(out, "ticket 7") || !strings.Contains(out, "operator") {
		t.Errorf("the reason is not shown:\n%s", out)
	}
	_, out, _ = runIn(t, c.env, "show", one)
	if !regexp.MustCompile(`(?m)^link +held +since 20\d\d-.*, by operator, because of moved$`).MatchString(out) {
		t.Errorf("the identity that lost its user:\n%s", out)
	}
	c.ory.SetDown(true)
	if code, _, errs := runIn(t, c.env, "bind", one, user, "--move"); code != 1 || !strings.Contains(errs, "run the command again") {
		t.Errorf("Ory is down: %d %s", code, errs)
	}
}

// TestServeRefusesATableThatDoesNotFit checks that serve lists the faults of the table,
// and exits as for any other wrong configuration.
func TestServeRefusesATableThatDoesNotFit(t *testing.T) {
	c := installCommands(t, nil)
	if _, err := c.DB.Exec("create table accounts (id integer primary key, ory text)"); err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string][]string{
		"nowhere":  {"nowhere"},
		"accounts": {"ory", "unique"},
	} {
		c.env["SYMBOLON_USERS_TABLE"], c.env["SYMBOLON_USERS_IDENTITY"] = table, "ory"
		code, _, errs := runIn(t, c.env, "serve")
		if code != 2 {
			t.Errorf("%s: exit %d", table, code)
		}
		for _, part := range want {
			if !strings.Contains(errs, part) {
				t.Errorf("%s: the output lacks %q:\n%s", table, part, errs)
			}
		}
	}
}

// TestServeRefusesKeys checks that a server does not start with forbidden or invalid
// keys, and says what to do.
func TestServeRefusesKeys(t *testing.T) {
	p := cmdtest.NewTemplate(t)
	env := cmdtest.Env("SYMBOLON_AUTH_JWT_JWKS", p.Public, "SYMBOLON_AUTH_JWT_ISSUER", "https://ory.example/", "SYMBOLON_AUTH_JWT_AUDIENCE", "notes",
		"SYMBOLON_DATABASE", "sqlite://"+filepath.Join(t.TempDir(), "symbolon.db"))
	for says, prepare := range map[string]func(){
		"publish only the public halves": func() { p.Publish(t, p.Key) },
		"not a key set": func() {
			if err := os.WriteFile(p.Public, []byte("-----BEGIN PUBLIC KEY-----"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"no such file": func() {
			if err := os.Remove(p.Public); err != nil {
				t.Fatal(err)
			}
		},
	} {
		p.Publish(t, p.Key.Public())
		prepare()
		if code, _, errs := runIn(t, env, "serve"); code != 2 || !strings.Contains(errs, says) || !strings.Contains(errs, "auth.jwt.jwks") {
			t.Errorf("%s: %d %s", says, code, errs)
		}
	}
}
