package setup

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
)

// accounts is the users table of an application that does not know Ory.
const accounts = `create table accounts (id %key% primary key, email varchar(200) not null unique, name varchar(100) not null,
	active boolean not null default true, plan text not null default 'free')`

func accountsOf(_, key string) string {
	return strings.ReplaceAll(accounts, "%key%", key)
}

func serial(dsn string) string {
	if strings.HasPrefix(dsn, "sqlite") {
		return "integer"
	}
	return "bigserial"
}

// TestInit runs init for tables of many kinds. It reads the written configuration back,
// and checks that the table then lacks only what serve makes itself.
func TestInit(t *testing.T) {
	cmdtest.OnBoth(t, func(t *testing.T, dsn string) {
		for _, test := range []struct {
			name  string
			ddl   []string
			args  []string
			want  func(*config.Config) bool
			says  []string // on stdout
			lacks []string
		}{
			{name: "symbolon's own", args: []string{"--table", "symbolon_users"},
				want: func(c *config.Config) bool {
					return c.Users.Columns["email"] == "traits.email" && c.Users.NewID == "uuidv7"
				}, says: []string{"no SQL is needed"}},
			{name: "a table without a column for the identity", ddl: []string{accountsOf(dsn, serial(dsn))},
				want: func(c *config.Config) bool {
					u := c.Users
					return u.Table == "accounts" && u.NewID == "database" && u.Columns["email"] == "traits.email" && u.Columns["name"] == "default(traits.name, '')" &&
						u.Columns["active"] == "active" && u.Columns["plan"] == "" && u.OnIdentityDeleted == "deactivate" && strings.Join(u.ReleaseColumns, ",") == "email"
				}, says: []string{"add column", "unique index", "ory_identity_id"}},
			{name: "a column without its index", ddl: []string{accountsOf(dsn, "varchar(40)"), "alter table accounts add column kratos_id varchar(36)"},
				want: func(c *config.Config) bool { return c.Users.Identity == "kratos_id" && c.Users.NewID == "uuidv7" }, says: []string{"unique index"}},
			{name: "a column with its index", ddl: []string{accountsOf(dsn, serial(dsn)), "alter table accounts add column ory_id varchar(36) check (ory_id = lower(ory_id) and ory_id like '________-____-____-____-____________')", "create unique index mine on accounts (ory_id)"},
				want: func(c *config.Config) bool { return c.Users.Identity == "ory_id" }, says: []string{"no SQL is needed"}},
			{name: "flags for every choice", ddl: []string{accountsOf(dsn, serial(dsn))},
				args: []string{"--identity", "person", "--column", "email=verified_email", "--column", "name='x'", "--on-identity-deleted", "delete"},
				want: func(c *config.Config) bool {
					return c.Users.Identity == "person" && c.Users.OnIdentityDeleted == "delete" && c.Users.Columns["name"] == "'x'" && len(c.Users.ReleaseColumns) == 0
				}, says: []string{`"person"`}},
			{name: "columns by which rows are deleted softly", ddl: []string{accountsOf(dsn, serial(dsn)), "alter table accounts add column deleted_at timestamp", "alter table accounts add column is_suspended boolean",
				"alter table accounts add column banned varchar(9)", "alter table accounts add column undeleted_at timestamp"},
				want: func(c *config.Config) bool { return len(c.Users.Deny) == 0 }, lacks: []string{"banned", "undeleted"},
				says: []string{"deny: {user_gone: deleted_at is not null, user_suspended: is_suspended} (docs/deny.md)"}},
			{name: "times, a unique name and a short key", ddl: []string{"create table accounts (id varchar(30) primary key, created_at timestamp not null, updated_at timestamp not null, username varchar(50) not null unique)"},
				want: func(c *config.Config) bool {
					u := c.Users
					return u.Columns["created_at"] == "now" && u.Columns["updated_at"] == "updated_at" && u.Columns["username"] == "[traits.username, traits.email, traits.phone]" &&
						(u.NewID == "{ulid}" || strings.HasPrefix(dsn, "sqlite") && u.NewID == "uuidv7") // SQLite has no lengths
				}, says: []string{"unique index"}},
			{name: "a row", ddl: []string{accountsOf(dsn, serial(dsn)), "insert into accounts (email, name) values ('a', 'a')"},
				want: func(*config.Config) bool { return true }, says: []string{"accounts has 1 row without an identity: until they are adopted, people who are at Ory already get no new user"}},
			{name: "rows, and a column by which the application deactivates", ddl: []string{accountsOf(dsn, serial(dsn)), "insert into accounts (email, name, active) values ('a', 'a', false)"},
				want: func(c *config.Config) bool {
					return c.Users.Columns["active"] == "" && c.Users.Columns["email"] == "traits.email" && c.Users.OnIdentityDeleted == "keep"
				}, says: []string{"let people in again whom your application has deactivated", "set users.columns in symbolon.yaml: active: active\n", "deny: {user_inactive: not active} (docs/deny.md)"}},
			{name: "rows, and such a column without a default", ddl: []string{strings.Replace(accountsOf(dsn, serial(dsn)), "active boolean not null default true", "is_active boolean", 1), "insert into accounts (email, name) values ('a', 'a')"},
				want: func(c *config.Config) bool { return c.Users.Columns["is_active"] == "true" },
				says: []string{"deny: {user_inactive: is_active is not true} (docs/deny.md)"}},
			{name: "rows, and the admin API's port is not known", ddl: []string{accountsOf(dsn, serial(dsn)), "insert into accounts (email, name) values ('a', 'a')"},
				args: []string{"--ory-public-url", "http://127.0.0.1:24433"}, want: func(c *config.Config) bool { return c.Ory.AdminURL == "" },
				says:  []string{"symbolon.yaml has no ory.admin_url, because the public API is not on port 4433: without it symbolon adopt, reconcile and doctor --live do not work", " symbolon doctor\n"},
				lacks: []string{"symbolon adopt\n", "doctor --live\n"}},
			{name: "rows of which one has an identity", ddl: []string{accountsOf(dsn, serial(dsn)), "alter table accounts add column ory_id varchar(36)",
				"insert into accounts (email, name, ory_id) values ('a', 'a', null), ('b', 'b', null), ('c', 'c', '1d000000-0000-4000-8000-000000000001')"},
				want: func(c *config.Config) bool { return c.Users.Identity == "ory_id" }, says: []string{"accounts has 2 rows without an identity"}},
			{name: "an identity column with another name", ddl: []string{accountsOf(dsn, serial(dsn)), "alter table accounts add column identity varchar(36)", "alter table accounts add column history varchar(36)",
				"alter table accounts add column kratos_url varchar(36)",
				"insert into accounts (email, name, identity, history, kratos_url) values ('a', 'a', null, null, null), ('b', 'b', '1d000000-0000-4000-8000-000000000001', '1d000000-0000-4000-8000-000000000001', 'http://127.0.0.1')"},
				want: func(c *config.Config) bool { return c.Users.Identity == "ory_identity_id" }, lacks: []string{"accounts.history", "accounts.kratos_url"},
				says: []string{"accounts.identity holds UUIDs: if it is Ory's identity ID, run init again with --force --identity identity, and drop the new column ory_identity_id\n"}},
		} {
			t.Run(test.name, func(t *testing.T) {
				t.Chdir(t.TempDir())
				db := cmdtest.OpenDB(t, dsn)
				cmdtest.Exec(t, db, append([]string{"drop table if exists accounts"}, test.ddl...)...)
				env := config.Environ{}
				args := append([]string{"init", "--database", dsn, "--apply"}, test.args...)
				if test.ddl != nil {
					args = append(args, "--table", "accounts")
				}
				code, out, errs := runIn(t, env, args...)
				if code != 0 {
					t.Fatalf("exit %d\n%s%s", code, out, errs)
				}
				const command = "  SYMBOLON_SECRET=$(cat symbolon.secret) symbolon "
				next := "\nnext:\n"
				if strings.Contains(out, "without an identity") && !strings.Contains(out, "has no ory.admin_url") {
					next += command + "migrate\n" + command + "adopt\n"
				}
				for _, part := range append(test.says, next+command+"serve\n") {
					if !strings.Contains(out, part) {
						t.Errorf("init does not print %q:\n%s", part, out)
					}
				}
				for _, part := range test.lacks {
					if strings.Contains(out, part) {
						t.Errorf("init prints %q:\n%s", part, out)
					}
				}
				if test.lacks == nil && !strings.Contains(strings.Join(test.ddl, ""), "insert") && strings.Contains(out, "without an identity") {
					t.Errorf("init speaks of rows that do not exist:\n%s", out)
				}
				if lines := strings.Count(out, "\n"); lines > 17 || errs != "" {
					t.Errorf("%d lines, and %q", lines, errs)
				}
				if !strings.Contains(cmdtest.ReadFile(t, "symbolon-hooks.yml"), "/hooks/link") {
					t.Error("the hooks are not written")
				}
				for _, name := range []string{"symbolon.yaml", "symbolon-hooks.yml", "symbolon.secret"} {
					if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
						t.Errorf("%s: %v %v", name, info, err)
					}
				}
				env[config.EnvName("secret")] = strings.TrimSpace(cmdtest.ReadFile(t, "symbolon.secret"))
				c, warnings, err := config.Load("", env)
				if err != nil || len(warnings) > 0 || !test.want(c) || c.Database.Reveal() != dsn {
					t.Errorf("%v %v %+v", err, warnings, c.Users)
				}
				if strings.Contains(out+errs+cmdtest.ReadFile(t, "symbolon.yaml"), env[config.EnvName("secret")]) {
					t.Error("the secret is shown")
				}
				log := cli.NewLogger(&bytes.Buffer{}, 0)
				s, err := system.New(c, log)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Prepare(t.Context(), log); err != nil {
					t.Errorf("serve would not start: %v", err)
				}
				s.Close()
				before := cmdtest.ReadFile(t, "symbolon.yaml")
				code, out, errs = runIn(t, env, append(args, "--force")...)
				if code != 0 || !strings.Contains(out, "no SQL is needed") || cmdtest.ReadFile(t, "symbolon.yaml") != before {
					t.Errorf("once more: exit %d\n%s%s", code, out[:min(len(out), 500)], errs)
				}
			})
		}
	})
}

// TestInitRefuses: whatever would not work is refused before anything is written.
func TestInitRefuses(t *testing.T) {
	cmdtest.OnBoth(t, func(t *testing.T, dsn string) {
		for _, test := range []struct {
			name string
			ddl  []string
			args []string
			code int
			says string
		}{
			{"a doubled identity", []string{accountsOf(dsn, serial(dsn)), "alter table accounts add column ory_id varchar(36) check (ory_id = lower(ory_id) and ory_id like '________-____-____-____-____________')",
				"insert into accounts (email, name, ory_id) values ('a', 'a', '1d000000-0000-4000-8000-000000000001'), ('b', 'b', '1d000000-0000-4000-8000-000000000001')"},
				[]string{"--apply"}, 1, `"1d000000-0000-4000-8000-000000000001" (2 rows)`},
			{"a unique column that is never released", []string{accountsOf(dsn, serial(dsn))}, []string{"--release-columns", "none"}, 2, "--release-columns email"},
			{"the same, kept", []string{accountsOf(dsn, serial(dsn))}, []string{"--release-columns", "none", "--on-identity-deleted", "keep"}, 2, "--release-columns email"},
			{"a column that nobody fills", []string{accountsOf(dsn, serial(dsn))}, []string{"--column", "email=traits.email"}, 2, "accounts.name is not null"},
			{"minted IDs for a number", []string{accountsOf(dsn, serial(dsn))}, []string{"--new-id", "uuidv7"}, 2, "which cannot hold the UUIDs"},
			{"a column that cannot hold an identity's ID", []string{accountsOf(dsn, serial(dsn))}, []string{"--identity", "active"}, 2, "active"},
			{"deactivate without active", []string{accountsOf(dsn, serial(dsn))}, []string{"--column", "email=traits.email", "--column", "name='x'", "--on-identity-deleted", "deactivate"}, 2, "deactivate needs a column"},
			{"no such table", nil, []string{"--table", "nowhere"}, 2, "there is no table nowhere"},
			{"no such policy", nil, []string{"--on-identity-deleted", "burn"}, 2, "must be one of keep"},
			{"no URL", nil, []string{"--url", "nonsense"}, 2, "serve.url"},
			{"no column", nil, []string{"--column", "email"}, 2, "NAME=PATH"},
			{"plain http to a public address", nil, []string{"--ory-public-url", "http://93.184.216.34"}, 2, "use https"},
		} {
			t.Run(test.name, func(t *testing.T) {
				t.Chdir(t.TempDir())
				cmdtest.Exec(t, cmdtest.OpenDB(t, dsn), append([]string{"drop table if exists accounts"}, test.ddl...)...)
				args := append([]string{"init", "--database", dsn}, test.args...)
				if test.ddl != nil {
					args = append(args, "--table", "accounts")
				}
				code, out, errs := runIn(t, config.Environ{}, args...)
				if code != test.code || !strings.Contains(errs, test.says) || out != "" {
					t.Errorf("exit %d, want %d and %q:\n%s%s", code, test.code, test.says, out, errs)
				}
				if files, err := os.ReadDir("."); err != nil || len(files) > 0 {
					t.Errorf("init wrote files: %v %v", files, err)
				}
			})
		}
	})
}

// TestInitCreateURL: an application that makes its own users.
func TestInitCreateURL(t *testing.T) {
	cmdtest.OnBoth(t, func(t *testing.T, dsn string) {
		t.Chdir(t.TempDir())
		cmdtest.OpenDB(t, dsn)
		const url = "http://app.internal:3000/internal/users"
		init := []string{"init", "--database", dsn, "--create-url"}
		for _, args := range [][]string{{"http://127.1/"}, {url, "--table", "accounts"}, {url, "--new-id", "identity"}, {url, "--apply"}} {
			if code, out, errs := runIn(t, config.Environ{}, append(init, args...)...); code != 2 {
				t.Errorf("%v: exit %d\n%s%s", args, code, out, errs)
			}
		}
		code, out, errs := runIn(t, config.Environ{}, append(init, url, "--column", "mail=traits.email")...)
		if code != 0 || !strings.Contains(out, "your application makes its users itself") || !strings.Contains(out, "--for create_url") || strings.Contains(out, "--live") {
			t.Fatalf("exit %d\n%s%s", code, out, errs)
		}
		if hooks := cmdtest.ReadFile(t, "symbolon-hooks.yml"); !strings.Contains(hooks, "hooks/link") || strings.Contains(hooks, "hooks/reserve") {
			t.Error("the hooks do not fit")
		}
		c, _, err := config.Load("", cmdtest.Env("SYMBOLON_SECRET", strings.TrimSpace(cmdtest.ReadFile(t, "symbolon.secret"))))
		if err != nil || c.Users.CreateURL != url || c.Users.Columns["mail"] != "traits.email" || len(c.Users.Columns) != 1 || c.Users.OnIdentityDeleted != "keep" {
			t.Errorf("%+v %v", c, err)
		}
	})
}
