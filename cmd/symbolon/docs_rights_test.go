package main

import (
	"encoding/json"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// TestDocsRights runs the scripts of docs/rights.md as the owner, and then migrates, starts and
// makes a user with the roles that they make. The roles have no other rights.
func TestDocsRights(t *testing.T) {
	text, err := os.ReadFile("../../docs/rights.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```sql\n")
	if len(blocks) != 4 {
		t.Fatalf("%d scripts", len(blocks)-1)
	}
	for i := range blocks {
		blocks[i], _, _ = strings.Cut(blocks[i], "```")
	}
	for name, test := range map[string]struct{ script, migrates, serves string }{
		"one role": {blocks[1], "symbolon_app", "symbolon_app"}, "two roles": {blocks[2], "symbolon_owner", "symbolon_app"},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := cmdtest.NewDatabase(t, sqlstore.Postgres)
			db := cmdtest.OpenDB(t, dsn)
			t.Cleanup(func() { // roles belong to the server, and not to the database
				for _, role := range []string{"symbolon_app", "symbolon_owner"} {
					_, _ = db.Exec("drop owned by " + role + " cascade")
					_, _ = db.Exec("drop role " + role)
				}
			})
			cmdtest.Exec(t, db, "revoke all on schema public from public", "revoke create on database "+strings.Trim(pathOf(t, dsn), "/")+" from public",
				"create table accounts (id bigserial primary key, ory_identity_id uuid unique, email text)", "alter table accounts enable row level security")
			cmdtest.Exec(t, db, statements(test.script)...)
			c := config.Defaults()
			c.Secret, c.Users.Table, c.Users.NewID, c.Users.Columns = cmdtest.Secret, "accounts", symbolon.ByDatabase, map[string]string{"email": "traits.email"}
			c.Complete()
			c.Database = config.Hidden(as(t, dsn, test.migrates))
			if _, _, err := system.Migrate(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			c.Database = config.Hidden(as(t, dsn, test.serves))
			s, err := system.New(c, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := s.Prepare(t.Context(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "row level security may hide rows") {
				t.Fatalf("without the policy: %v", err)
			}
			cmdtest.Exec(t, db, statements(blocks[3])...)
			if err := s.Prepare(t.Context(), slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
			cmdtest.Exec(t, db, "revoke insert on accounts from "+test.serves, "revoke insert (id, ory_identity_id, email) on accounts from "+test.serves)
			var log strings.Builder
			if err := s.Prepare(t.Context(), slog.New(slog.NewTextHandler(&log, nil))); err != nil || !strings.Contains(log.String(), "grant insert on table public.accounts to "+test.serves) {
				t.Errorf("without a right: %v %s", err, log.String())
			}
			cmdtest.Exec(t, db, "grant insert (id, ory_identity_id, email) on accounts to "+test.serves)
			if lacks, err := s.Store.Rights(t.Context(), c.Users.OnIdentityDeleted); err != nil || len(lacks) > 0 {
				t.Errorf("rights are missing: %+v %v", lacks, err)
			}
			id := symbolon.Identity{ID: "1d000000-0000-4000-8000-000000000001", State: symbolon.Active, Traits: json.RawMessage(`{"email":"a@example.org"}`)}
			for n := range 2 {
				ticket, err := s.Store.Ticket(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.Linker.Link(t.Context(), symbolon.Reading{Identity: id, Ticket: ticket}); err != nil {
					t.Fatal(err)
				}
				id.Traits = json.RawMessage(`{"email":"b@example.org"}`)
				if n == 1 {
					continue
				}
				if draws, err := s.Store.Draw(t.Context()); err != nil || draws == "" {
					t.Errorf("no ID can be reserved: %q %v", draws, err)
				}
			}
			var email string
			if err := db.QueryRow("select email from accounts").Scan(&email); err != nil || email != "b@example.org" {
				t.Errorf("the row has %q, %v", email, err)
			}
		})
	}
}

func statements(script string) (out []string) {
	for text := range strings.SplitSeq(script, ";") {
		if text = strings.TrimSpace(text); text != "" {
			out = append(out, text)
		}
	}
	return out
}

func pathOf(t *testing.T, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return u.Path
}

// as is the address for another role. The server of the tests trusts every role.
func as(t *testing.T, dsn, role string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(role)
	return u.String()
}
