package server

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// walk is a page of docs. Its commands run unchanged with a real Kratos, in a shell that
// stops at the first failed command.
type walk struct {
	t       *testing.T
	kratos  *symbolontest.Kratos
	db      *sql.DB
	dir     string
	text    string
	env     []string
	sqlite  bool
	pairs   []string // what stands in the page, and what replaces it
	replace *strings.Replacer
}

func newWalk(t *testing.T, page, database string) *walk {
	text, err := os.ReadFile(e2e.File(t, "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	w := &walk{t: t, kratos: symbolontest.StartKratos(t, symbolontest.KratosConfig{}), dir: t.TempDir(), text: string(text)}
	bin := filepath.Join(w.dir, ".bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program(t, true), filepath.Join(bin, "symbolon")); err != nil {
		t.Fatal(err)
	}
	w.env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), cmdtest.BeTheProgram+"=1",
		"SYMBOLON_SECRET="+cmdtest.Secret, "SYMBOLON_DATABASE="+database)
	w.sqlite = strings.HasPrefix(database, "sqlite")
	w.replaceAlso("http://127.0.0.1:4433", w.kratos.PublicURL, "http://127.0.0.1:4434", w.kratos.AdminURL)
	w.db = cmdtest.OpenDB(t, database)
	return w
}

// replaceAlso adds pairs of texts: what stands in the page, and what replaces it.
func (w *walk) replaceAlso(pairs ...string) {
	w.pairs = append(w.pairs, pairs...)
	w.replace = strings.NewReplacer(w.pairs...)
}

// blocks returns the code blocks of one section in one language.
func (w *walk) blocks(section, language string) (out []string) {
	w.t.Helper()
	_, rest, found := strings.Cut(w.text, "\n## "+section+"\n")
	if !found {
		w.t.Fatalf("the page has no section %q", section)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(rest, -1) {
		out = append(out, w.replace.Replace(m[1]))
	}
	if len(out) == 0 {
		w.t.Fatalf("section %q has no block in %s", section, language)
	}
	return out
}

// follow runs the shell blocks of a section in one shell, and returns the output of each.
func (w *walk) follow(section string) []string {
	w.t.Helper()
	const mark = "\x01"
	var script strings.Builder
	for _, b := range w.blocks(section, "sh") {
		script.WriteString(b + "\nprintf '" + mark + "'\n")
	}
	cmd := exec.CommandContext(w.t.Context(), "bash", "-euo", "pipefail", "-c", script.String())
	cmd.Dir, cmd.Env = w.dir, w.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", section, err, out)
	}
	return strings.Split(strings.TrimSuffix(string(out), mark), mark)
}

func (w *walk) exec(query string, args ...any) {
	w.t.Helper()
	if _, err := w.db.ExecContext(w.t.Context(), query, args...); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
}

func (w *walk) one(query string, args ...any) (s string) {
	w.t.Helper()
	if err := w.db.QueryRowContext(w.t.Context(), query, args...).Scan(&s); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	return s
}

// begin creates the application's table, and does what every walk needs first.
func (w *walk) begin(driver string) {
	w.t.Helper()
	key := "bigserial primary key"
	if driver == "sqlite" {
		key = "integer primary key"
	}
	w.exec(`create table accounts (id ` + key + `, email text unique, email_verified boolean not null default false, legacy_identity text)`)
	w.exec(w.blocks("Before you begin", "sql")[0])
	if err := os.WriteFile(filepath.Join(w.dir, "symbolon.yaml"), []byte(w.blocks("Before you begin", "yaml")[0]), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.follow("Before you begin")
}

func (w *walk) identity(body map[string]any) string {
	w.t.Helper()
	body["schema_id"] = "default"
	id, err := w.kratos.CreateIdentity(w.t.Context(), body)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *walk) says(out, want string) {
	w.t.Helper()
	if !strings.Contains(out, want) {
		w.t.Errorf("the output lacks %q:\n%s", want, out)
	}
}

// TestAlreadyHaveUsers runs the commands of docs/already-have-users.md.
func TestAlreadyHaveUsers(t *testing.T) {
	t.Parallel()
	const page = "already-have-users.md"
	for name, test := range map[string]func(*walk){"only users": onlyUsers, "only identities": onlyIdentities, "both": bothHalves} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			on := map[bool]func(*testing.T, func(*testing.T, string)){true: onBoth, false: onOne}[name == "both"]
			on(t, func(t *testing.T, database string) {
				w := newWalk(t, page, database)
				w.begin(strings.SplitN(database, ":", 2)[0])
				test(w)
			})
		})
	}
}

func onlyUsers(w *walk) {
	w.exec(`insert into accounts (email, email_verified) values ('ann@example.org', true), ('bob@example.org', true), ('cy@example.org', true)`)
	out := w.follow("Only users")
	w.says(out[0], "alone              3")
	ann, bob := w.one(`select ory_identity_id from accounts where id = 1`), w.one(`select ory_identity_id from accounts where id = 2`)
	w.says(out[1], "repaired unlinked_identity")
	w.says(out[1], ann)
	w.says(out[2], bob)
	if n := w.one(`select cast(count(*) as text) from accounts`); n != "3" || ann == bob {
		w.t.Errorf("%s users", n)
	}
	text, err := os.ReadFile(filepath.Join(w.dir, "ann.json"))
	if err != nil || !strings.Contains(string(text), ann) {
		w.t.Errorf("%s %v", text, err)
	}
}

func onlyIdentities(w *walk) {
	for n := range 5 {
		w.identity(map[string]any{"traits": map[string]any{"email": fmt.Sprintf("p%d@example.org", n)}})
	}
	out := w.follow("Only identities")
	for _, want := range []string{"alone              5", "repaired unlinked_identity  5", "linked             5"} {
		w.says(out[0], want)
	}
	if n := w.one(`select cast(count(distinct ory_identity_id) as text) from accounts`); n != "5" {
		w.t.Errorf("%s users with an identity", n)
	}
}

// bothHalves creates identities and users of each kind: one matched by the identity
// column, two by metadata_public.id, one by another column, two identities that name one
// user, one identity without a user, and one user without an identity.
func bothHalves(w *walk) {
	w.exec(`insert into accounts (email) values ('a@example.org'), ('b@example.org'), ('c@example.org'), ('d@example.org'), ('e@example.org'), ('f@example.org')`)
	plain := func(n int) map[string]any {
		return map[string]any{"traits": map[string]any{"email": fmt.Sprintf("p%d@example.org", n)}}
	}
	naming := func(n int, user any) map[string]any {
		body := plain(n)
		body["metadata_public"] = map[string]any{"id": user}
		return body
	}
	hooked := w.identity(plain(1))
	w.exec(`update accounts set ory_identity_id = $1 where id = 1`, hooked)
	byText, byNumber := w.identity(naming(2, "2")), w.identity(naming(3, 3))
	legacy := w.identity(plain(4))
	w.exec(`update accounts set legacy_identity = $1 where id = 4`, legacy)
	w.identity(naming(5, "5"))
	w.identity(naming(6, "5"))
	w.identity(plain(7))

	out := w.follow("Both")
	w.says(out[0], "column             1")
	w.says(out[0], "1 to be bound")
	for _, want := range []string{"1 column", "3 named", "2 ambiguous", "4 to be bound"} {
		w.says(out[1], want)
	}
	w.says(out[2], "4 bound, 0 already done, 0 refused")
	w.says(out[3], "4 undone")
	w.says(out[3], "4 bound, 0 already done, 0 refused")
	for user, want := range map[int]string{1: hooked, 2: byText, 3: byNumber, 4: legacy} {
		if got := w.one(`select ory_identity_id from accounts where id = $1`, user); got != want {
			w.t.Errorf("user %d has identity %s, want %s", user, got, want)
		}
	}
	if n := w.one(`select cast(count(ory_identity_id) as text) from accounts`); n != "5" { // the two ambiguous ones are on hold
		w.t.Errorf("%s of 7 identities have a user in the end, want 5", n)
	}
	if n := w.one(`select cast(count(*) as text) from accounts where id in (5, 6) and ory_identity_id is not null`); n != "0" {
		w.t.Errorf("%s users were linked without certain evidence", n)
	}
}
