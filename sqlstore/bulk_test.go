package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/mint"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// listedOry has the identities that a test made.
type listedOry map[symbolon.IdentityID]symbolon.Identity

func (o listedOry) HasAdmin() bool { return true }

func (o listedOry) Identity(_ context.Context, id symbolon.IdentityID) (symbolon.Identity, error) {
	if found, ok := o[id]; ok {
		return found, nil
	}
	return symbolon.Identity{}, symbolon.ErrNotFound
}

func (o listedOry) AddPublicMetadata(context.Context, symbolon.IdentityID, string, string) (symbolon.Identity, error) {
	return symbolon.Identity{}, errors.New("nothing is written here")
}

var bulkSecret = symbolon.Secret("thirty-two bytes of a test's secret")

// crowd returns n people of every kind that LinkAll distinguishes. Every call returns the
// same people. Their IDs are not in order.
func crowd(n int) (out []symbolon.Identity) {
	minter := mint.NewMinter("default", bulkSecret)
	add := func(change func(i int, id *symbolon.Identity)) {
		for i := range n {
			at := len(out)
			id := symbolon.Identity{ID: symbolon.IdentityID(fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(at)*2654435761, at+1)),
				State: symbolon.Active, CreatedAt: now().Add(-time.Hour), Traits: fmt.Appendf(nil, `{"email":"p%d@example.org"}`, at)}
			change(i, &id)
			out = append(out, id)
		}
	}
	add(func(int, *symbolon.Identity) {})
	add(func(_ int, id *symbolon.Identity) { id.Traits = []byte(`{}`) })
	add(func(_ int, id *symbolon.Identity) { id.State = symbolon.Inactive })
	add(func(_ int, id *symbolon.Identity) { id.ExternalID = "customer " + string(id.ID[:8]) })
	add(func(_ int, id *symbolon.Identity) { id.Traits = []byte(`{"email":"a\u0000b"}`) })
	add(func(_ int, id *symbolon.Identity) { id.MetadataPublic = []byte(`{"id":"somebody else's"}`) })
	add(func(_ int, id *symbolon.Identity) { id.MetadataPublic = []byte(`[1]`) })
	add(func(_ int, id *symbolon.Identity) { id.MetadataAdmin = []byte(`{"symbolon":{"user":"x","proof":"y"}}`) })
	reserved := minter.Mint(now())
	add(func(i int, id *symbolon.Identity) {
		if i%2 == 0 { // two identities claim each ID, and the second gets another ID
			reserved = minter.Mint(now())
		}
		id.MetadataPublic = fmt.Appendf(nil, `{"id":%q}`, reserved)
	})
	return out
}

// twin is a database in which some of the people are known already.
func twin(t *testing.T, v variant, dialect sqlstore.Dialect, people []symbolon.Identity) (*people, *link.Linker) {
	p := openVariant(t, v, dialect)
	clock := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	store := p.store(p.DB)
	store.Now = func() time.Time { return clock }
	ory := listedOry{}
	for _, id := range people {
		ory[id.ID] = id
	}
	l := &link.Linker{Ory: ory, Store: store, Creator: appOf{}, Secrets: []symbolon.Secret{bulkSecret}, Log: slog.New(slog.DiscardHandler), Now: store.Now}
	for i, id := range people {
		switch i % 7 {
		case 3: // linked by a hand-written hook
			p.insertUser(t, id.ID)
		case 5:
			if _, err := l.Link(t.Context(), symbolon.Reading{Identity: id, Source: symbolon.FromRequest}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return p, l
}

// content returns every row of every table, without the numbers of the rows. A user's ID
// is random, so its identity replaces it.
func (p *people) content(t *testing.T) string {
	t.Helper()
	prefix := map[sqlstore.Dialect]string{sqlstore.SQLite: "symbolon_", sqlstore.Postgres: "symbolon."}[p.dialect]
	named := map[string]string{}
	for user, id := range p.all(t) {
		named["user:"+string(user)] = "user of " + string(id)
	}
	email := "coalesce(email, '-')"
	if p.users.NewID == sqlstore.ByApplication {
		email = "'-'" // the table has no such column
	}
	var all []string
	for _, query := range []string{
		`select 'entry', identity_id, 'user:' || coalesce(user_id, ''), project, state, reason, way, coalesce(cast(linked_at as text), '-'), cast(ticket as text), digest, 'user:' || back_reference from ` + prefix + `links order by identity_id`,
		`select 'event', coalesce(identity_id, '-'), 'user:' || coalesce(user_id, ''), project, kind, finding, way, cast(at as text), 'user:' || coalesce(before_id, ''), detail, '' from ` + prefix + `events order by identity_id, id`,
		`select 'finding', identity_id, 'user:' || coalesce(user_id, ''), project, kind, detail, cast(opened_at as text), coalesce(cast(closed_at as text), '-'), '', '', '' from ` + prefix + `findings order by identity_id, kind`,
		`select 'retired', 'user:' || user_id, '', project, cast(retired_at as text), '', '', '', '', '', '' from ` + prefix + `retired order by user_id`,
		p.sql(`select 'user', coalesce(cast({identity} as text), '-'), 'user:' || cast({id} as text), ` + email + `, '', '', '', '', '', '', '' from {users} order by {identity}`),
	} {
		for _, parts := range p.rows(t, query, 11) {
			for i, part := range parts {
				if name, ok := named[part]; ok {
					parts[i] = name
				}
			}
			all = append(all, strings.Join(parts, "|"))
		}
	}
	return strings.Join(all, "\n")
}

// rows returns the result of a query as text.
func (db database) rows(t *testing.T, query string, columns int) (out [][]string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		parts, into := make([]string, columns), make([]any, columns)
		for i := range parts {
			into[i] = &parts[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		out = append(out, parts)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestLinkAllIsLink links one database one by one and its twin at once. The rows must be
// equal, for every kind of users table.
func TestLinkAllIsLink(t *testing.T) {
	for _, v := range variants {
		for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
			t.Run(v.name+"/"+string(dialect), func(t *testing.T) {
				t.Parallel()
				people := crowd(7)
				one, single := twin(t, v, dialect, people)
				other, many := twin(t, v, dialect, people)
				var seen []symbolon.Reading
				for _, id := range people {
					seen = append(seen, symbolon.Reading{Identity: id, Source: symbolon.FromReconcile, Admin: true, Ticket: 42})
				}
				inOrder := slices.Clone(seen)
				slices.SortFunc(inOrder, func(a, b symbolon.Reading) int { return strings.Compare(string(a.Identity.ID), string(b.Identity.ID)) })
				want := map[symbolon.IdentityID]error{}
				for _, s := range inOrder {
					_, want[s.Identity.ID] = single.Link(t.Context(), s)
				}
				plain := one.content(t)
				for range 2 { // the second time changes nothing
					for i, r := range many.LinkAll(t.Context(), seen) {
						if err := want[seen[i].Identity.ID]; (r.Err == nil) != (err == nil) {
							t.Errorf("%s: %v, one by one %v", seen[i].Identity.ID, r.Err, err)
						}
						if r.Err == nil && (r.Link.State != symbolon.Linked || r.Link.Identity != seen[i].Identity.ID || r.Link.User == "" || r.Link.At.IsZero()) {
							t.Errorf("link: %+v", r.Link)
						}
					}
					if got := other.content(t); got != plain {
						t.Fatalf("the twins differ:\n%s", differ(plain, got))
					}
				}
			})
		}
	}
}

func differ(want, got string) string {
	var out []string
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for _, line := range a {
		if !slices.Contains(b, line) {
			out = append(out, "- "+line)
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			out = append(out, "+ "+line)
		}
	}
	return strings.Join(out[:min(len(out), 20)], "\n")
}

// TestLinkAllRefused checks that a refusal by the table affects only its own identity,
// with the same result as one by one. An e-mail address that is in use is left out, or
// prevents the user if the column is required. A trigger also prevents the user.
func TestLinkAllRefused(t *testing.T) {
	const trigger = `; create trigger no_bots before insert on people when new.email like 'bot%' begin select raise(abort, 'no bots'); end`
	const function = `; create function no_bots() returns trigger language plpgsql as $$ begin
		if new.email like 'bot%' then raise exception 'no bots'; end if; return new; end $$;
		create trigger no_bots before insert on people for each row execute function no_bots()`
	for _, tt := range []struct {
		name, column, late string
		refused            int
	}{
		{"optional", "email text unique", "", 0},
		{"mandatory", "email text not null unique", "", 5},
		{"found out at the commit", "email text unique", " deferrable initially deferred", 0},
	} {
		for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
			t.Run(tt.name+"/"+string(dialect), func(t *testing.T) {
				v := variant{users: sqlstore.Users{Table: "people", Identity: "ory", NewID: sqlstore.ByDatabase, Columns: email}, fills: true,
					postgres: `create table people (id bigserial primary key, ory uuid unique, ` + tt.column + tt.late + `)` + function,
					sqlite:   `create table people (id integer primary key, ory text unique` + oryWrites + `, ` + tt.column + `)` + trigger}
				people := make([]symbolon.Identity, 130)
				for i := range people {
					address := fmt.Sprintf("p%d@example.org", i)
					switch {
					case i >= 7 && i%40 == 5: // the first seven are linked already
						address = fmt.Sprintf("p%d@example.org", i/40)
					case i%50 == 49:
						address = fmt.Sprintf("bot%d@example.org", i)
					}
					people[i] = symbolon.Identity{ID: symbolon.IdentityID(fmt.Sprintf("%08x-0000-4000-8000-000000000001", i)), State: symbolon.Active,
						Traits: fmt.Appendf(nil, `{"email":%q}`, address)}
				}
				one, single := twin(t, v, dialect, nil)
				other, many := twin(t, v, dialect, nil)
				var seen []symbolon.Reading
				want := map[symbolon.IdentityID]bool{}
				for i, id := range people {
					s := symbolon.Reading{Identity: id, Source: symbolon.FromReconcile, Admin: true, Ticket: 7}
					_, err := single.Link(t.Context(), s)
					if want[id.ID] = err == nil; err != nil && !errors.Is(err, symbolon.ErrCannotCreate) {
						t.Fatal(err)
					}
					if i < 7 {
						if _, err := many.Link(t.Context(), s); err != nil {
							t.Fatal(err)
						}
					}
					seen = append(seen, s)
				}
				refused := 0
				for i, r := range many.LinkAll(t.Context(), seen) {
					if linked := r.Err == nil; linked != want[people[i].ID] {
						t.Errorf("%s: %v", people[i].ID, r.Err)
					}
					if r.Err != nil {
						refused++
					}
				}
				if refused != tt.refused {
					t.Errorf("%d were refused", refused)
				}
				a, b := one.content(t), other.content(t)
				if n := strings.Count(a, "\nfinding|"); n != 3+2*min(tt.refused, 1) { // the trigger accepts the address of a bot in a later update
					t.Errorf("%d findings", n)
				}
				if a != b {
					t.Fatalf("the twins differ:\n%s", differ(a, b))
				}
			})
		}
	}
}

// TestKilledTogether is I8 for LinkAll: its results survive kill -9, and no call is half
// done.
func TestKilledTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, db database) {
		acknowledged := killed(t, db, "acknowledge together", size(3, 100))
		links := map[string]string{}
		for _, row := range db.rows(t, `select cast(ory_identity_id as text), cast(id as text) from symbolon_users`, 2) {
			links[row[0]] = row[1]
		}
		for identity, user := range acknowledged {
			if links[identity] != user {
				t.Fatalf("identity %s was acknowledged with user %s, but has %q", identity, user, links[identity])
			}
		}
		if len(links)%together != 0 {
			t.Errorf("%d links: a transaction is half done", len(links))
		}
		halves(t, db)
	})
}

// together is the number of links in one call of the child.
const together = 50

// linkTogether makes links and prints them until it is killed.
func linkTogether(t *testing.T, store *sqlstore.Store) {
	l := linkerOf(store)
	for {
		seen := make([]symbolon.Reading, together)
		for i := range seen {
			seen[i] = symbolon.Reading{Identity: identityWith(`{"email":"ada@example.com","name":"Ada"}`), Source: symbolon.FromReconcile}
		}
		var out strings.Builder
		for _, r := range l.LinkAll(context.Background(), seen) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			fmt.Fprintf(&out, "\nACK %s %s\n", r.Link.Identity, r.Link.User)
		}
		fmt.Print(out.String())
	}
}
