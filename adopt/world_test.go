package adopt_test

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/adopt"
	"github.com/symbolon-id/symbolon/internal/migrated"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

func TestMain(m *testing.M) { symbolontest.Main(m) }

// people is the part of Ory that the Linker uses: it returns identities. The commands run
// with a real Kratos (internal/e2e).
type people struct {
	mu         sync.Mutex
	identities map[symbolon.IdentityID]symbolon.Identity
	sessions   map[symbolon.IdentityID][]symbolon.Session
	fail       func(symbolon.IdentityID) error
	noAdmin    bool
}

func (p *people) HasAdmin() bool { return !p.noAdmin }

func (p *people) Identity(_ context.Context, id symbolon.IdentityID) (symbolon.Identity, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		if err := p.fail(id); err != nil {
			return symbolon.Identity{}, err
		}
	}
	if found, ok := p.identities[id]; ok {
		return found, nil
	}
	return symbolon.Identity{}, symbolon.ErrNotFound
}

func (p *people) AddPublicMetadata(_ context.Context, id symbolon.IdentityID, _, _ string) (symbolon.Identity, error) {
	return symbolon.Identity{}, fmt.Errorf("adopt writes nothing at Ory, not even to %s", id)
}

func (p *people) list(context.Context) iter.Seq2[symbolon.Identity, error] {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []symbolon.Identity
	for _, id := range slices.Sorted(maps.Keys(p.identities)) {
		all = append(all, p.identities[id])
	}
	return func(yield func(symbolon.Identity, error) bool) {
		for _, id := range all {
			if !yield(id, nil) {
				return
			}
		}
	}
}

func (p *people) sessionsOf(_ context.Context, id symbolon.IdentityID) ([]symbolon.Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sessions[id], nil
}

// sessionOf returns the session of a sign-in. It lasts for a day.
func sessionOf(id string, at time.Time) symbolon.Session {
	return symbolon.Session{ID: id, AuthenticatedAt: at, ExpiresAt: at.Add(24 * time.Hour)}
}

// small is an application with users, an Ory with identities, and Symbolon.
type small struct {
	*adopt.Adopter
	t     fataler
	ory   *people
	db    *sql.DB
	store *sqlstore.Store
}

type fataler interface {
	Helper()
	Fatal(...any)
	Errorf(string, ...any)
	Context() context.Context
}

var secrets = []symbolon.Secret{symbolon.Secret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e")}

const columns = `legacy text, email text, verified boolean`

func world(t *testing.T, dialect sqlstore.Dialect) *small {
	t.Helper()
	driver, key := "sqlite", "integer primary key, ory text unique check (ory = lower(ory) and ory like '________-____-____-____-____________')"
	var dsn string
	if dialect == sqlstore.Postgres {
		driver, dsn, key = "pgx", migrated.Postgres(t), "bigserial primary key, ory uuid unique"
	} else {
		dsn = migrated.SQLite(t, filepath.Join(t.TempDir(), "app.db"))
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := &small{t: t, ory: &people{}, db: db, store: &sqlstore.Store{DB: db, Dialect: dialect, Users: sqlstore.Users{Table: "accounts",
		Identity: "ory", NewID: sqlstore.ByDatabase, Email: "email", EmailVerified: "verified"}}}
	s.exec(`create table accounts (id ` + key + `, ` + columns + `)`)
	s.reset()
	if err := s.store.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	linker := &link.Linker{Ory: s.ory, Store: s.store, Secrets: secrets, Log: slog.New(slog.DiscardHandler)}
	s.Adopter = &adopt.Adopter{Linker: linker, Ledger: s.store, Users: s.store, Identities: s.ory.list, Sessions: s.ory.sessionsOf}
	return s
}

func onBoth(t *testing.T, test func(t *testing.T, s *small)) {
	for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
		t.Run(string(dialect), func(t *testing.T) { test(t, world(t, dialect)) })
	}
}

// begin deletes everything, for a subtest or another round.
func (s *small) begin(t fataler) {
	s.t = t
	s.reset()
}

func all(cases []func(*testing.T, *small)) func(*testing.T, *small) {
	return func(t *testing.T, s *small) {
		for _, test := range cases {
			test(t, s)
		}
	}
}

// table returns the name of one of Symbolon's tables.
func (s *small) table(name string) string {
	if s.store.Dialect == sqlstore.SQLite {
		return "symbolon_" + name
	}
	return "symbolon." + name
}

// reset deletes everything.
func (s *small) reset() {
	s.ory.mu.Lock()
	defer s.ory.mu.Unlock()
	s.ory.identities, s.ory.sessions = map[symbolon.IdentityID]symbolon.Identity{}, map[symbolon.IdentityID][]symbolon.Session{}
	for _, table := range []string{"accounts", s.table("links"), s.table("events"), s.table("findings"), s.table("retired")} {
		s.exec(`delete from ` + table)
	}
}

func (s *small) exec(query string, args ...any) {
	s.t.Helper()
	if _, err := s.db.ExecContext(s.t.Context(), query, args...); err != nil {
		s.t.Fatal(query, err)
	}
}

func identityID(n int) symbolon.IdentityID {
	return symbolon.IdentityID(fmt.Sprintf("%08x-0000-4000-8000-000000000000", n+1))
}

// identity creates the n-th identity. change may be nil.
func (s *small) identity(n int, change func(*symbolon.Identity)) symbolon.IdentityID {
	id := symbolon.Identity{ID: identityID(n), State: symbolon.Active, CreatedAt: time.Now().Add(-time.Hour)}
	if change != nil {
		change(&id)
	}
	s.ory.mu.Lock()
	defer s.ory.mu.Unlock()
	s.ory.identities[id.ID] = id
	return id.ID
}

// row is a user of the application.
type row struct {
	id       int
	ory      any // identity column
	legacy   any
	email    any
	verified any
}

func (s *small) user(r row) {
	s.t.Helper()
	s.exec(`insert into accounts (id, ory, legacy, email, verified) values ($1, $2, $3, $4, $5)`, r.id, r.ory, r.legacy, r.email, r.verified)
}

func (s *small) voucher(user symbolon.UserID) []byte {
	v, err := s.Linker.Voucher(user)
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Appendf(nil, `{"symbolon":{"user":%q,"proof":%q}}`, v.User, v.Proof)
}

func (s *small) plan(o adopt.Options) ([]adopt.Line, adopt.Counts) {
	s.t.Helper()
	var lines []adopt.Line
	counts, err := s.Plan(s.t.Context(), o, func(l adopt.Line) error {
		lines = append(lines, l)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return lines, counts
}

func (s *small) apply(lines []adopt.Line, o adopt.Options) adopt.Report {
	s.t.Helper()
	r, err := s.Apply(s.t.Context(), lines, o)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *small) undo(run string) adopt.Report {
	s.t.Helper()
	r, err := s.Undo(s.t.Context(), run, adopt.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// content returns everything that adopt may change, without the history and times.
func (s *small) content() string {
	s.t.Helper()
	var b strings.Builder
	for _, query := range []string{
		`select identity_id || ' ' || coalesce(user_id, '-') || ' ' || state || ' ' || reason from ` + s.table("links") + ` order by 1`,
		`select identity_id || ' ' || kind from ` + s.table("findings") + ` where closed_at is null order by 1`,
		`select user_id from ` + s.table("retired") + ` order by 1`,
		`select cast(id as text) || ' ' || coalesce(cast(ory as text), '-') || ' ' || coalesce(legacy, '-') || ' ' || coalesce(email, '-') from accounts order by 1`,
	} {
		b.WriteString(s.lines(query))
	}
	return b.String()
}

// undecided is content without the holds that a run leaves behind. A hold because the table
// refused the row may become such a hold.
func (s *small) undecided() string {
	var b strings.Builder
	for line := range strings.Lines(s.content()) {
		if !strings.Contains(line, string(symbolon.AdoptAmbiguous)) && !strings.Contains(line, string(symbolon.CannotCreate)) {
			b.WriteString(line)
		}
	}
	return b.String()
}

func (s *small) lines(query string) string {
	s.t.Helper()
	rows, err := s.db.QueryContext(s.t.Context(), query)
	if err != nil {
		s.t.Fatal(query, err)
	}
	defer rows.Close()
	var b strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			s.t.Fatal(err)
		}
		b.WriteString(line + "\n")
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return b.String() + ".\n"
}
