package library

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/erase"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/reconcile"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// TestHistories lets people, the application, operators and Ory do random things, while hooks
// are lost, doubled, late and overtaken by requests. A model beside it ([truth]) says which
// user each person has. During a history everybody gets the answer of the model, or the answer
// of a cache that nothing has purged. At its end each person has exactly the user of the model,
// no row exists without a reason, each row has Ory's values or a finding says why not, and
// nothing of an erased person is in any table.
//
// A failure prints the history. -rapid.failfile runs it again.
func TestHistories(t *testing.T) {
	size := 40
	if os.Getenv("SYMBOLON_TORTURE") != "" {
		size = 2000
	}
	if flag.Lookup("rapid.checks").Value.String() == "100" { // the default
		setFlag(t, "rapid.checks", fmt.Sprint(size))
	}
	for _, dialect := range e2e.Both {
		t.Run(string(dialect), func(t *testing.T) {
			t.Parallel()
			a := newApplication(t, dialect)
			rapid.Check(t, func(rt *rapid.T) { a.history(rt) })
			t.Logf("operations: %v", a.did)
			for _, op := range operations {
				if a.did[op.name] == 0 && size > 100 {
					t.Errorf("no history had the operation %q", op.name)
				}
			}
		})
	}
}

// setFlag sets a flag until the test and its subtests have ended.
func setFlag(t *testing.T, name, value string) {
	before := flag.Lookup(name).Value.String()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set(name, before) })
}

// application is a database in which one history after another happens.
type application struct {
	db     *database
	tables map[symbolon.NewID]*sqlstore.Store
	did    map[string]int // how often each operation was done
}

const membersColumns = `ory_identity_id %s unique, email text unique, name text, verified text, active boolean not null default true,
	deleted_at timestamp, suspended boolean not null default false`

func newApplication(t *testing.T, dialect sqlstore.Dialect) *application {
	a := &application{db: openDatabase(t, dialect, setup{}), tables: map[symbolon.NewID]*sqlstore.Store{}, did: map[string]int{}}
	identity, minted, serial := "text", "text primary key", "integer primary key autoincrement" // no ID is used twice
	if dialect == sqlstore.Postgres {
		identity, minted, serial = "uuid", "uuid primary key", "bigserial primary key"
	} else {
		identity += " check (ory_identity_id = lower(ory_identity_id) and ory_identity_id like '________-____-____-____-____________')"
	}
	for _, table := range []struct {
		newID     symbolon.NewID
		name, key string
	}{{symbolon.ByMint, "minted", minted}, {symbolon.ByDatabase, "serials", serial}} {
		before, after, _ := strings.Cut(membersColumns, "%s unique")
		column := identity
		if dialect == sqlstore.SQLite {
			column = strings.Replace(identity, "text", "text unique", 1)
		} else {
			column += " unique"
		}
		a.db.exec(fmt.Sprintf(`create table %s (id %s, %s%s%s)`, table.name, table.key, before, column, after))
		a.tables[table.newID] = &sqlstore.Store{DB: a.db.DB, Dialect: dialect, Users: sqlstore.Users{Table: table.name, NewID: table.newID,
			Columns:        map[string]string{"email": "traits.email", "name": "traits.name", "verified": "verified_email", "active": "active"},
			ReleaseColumns: []string{"email"},
			Deny:           map[string]string{"user_gone": "deleted_at is not null", "user_suspended": "suspended"}}}
		if dialect == sqlstore.Postgres && table.newID == symbolon.ByDatabase {
			a.tables[table.newID].DrawDB = a.db.mustOpen("pgx", a.db.dsn)
		}
	}
	return a
}

// clear deletes what the history before has left.
func (a *application) clear() {
	tables := []string{"links", "retired", "events", "findings", "runs", "erasures"}
	var b strings.Builder
	for _, name := range tables {
		b.WriteString("delete from " + a.ledger(name) + ";")
	}
	b.WriteString("delete from " + a.ledger("starts") + " where project <> '';delete from minted;delete from serials")
	a.db.exec(b.String())
}

// ledger is the name of one of Symbolon's tables.
func (a *application) ledger(table string) string {
	if a.db.dialect == sqlstore.Postgres {
		return "symbolon." + table
	}
	return "symbolon_" + table
}

// history is one history: the product, the world around it, and the model.
type history struct {
	*rapid.T
	app   *application
	table string
	truth truth
	story []string // what has happened, for a failure
	words []*word  // what the world knows about people
	n     int      // numbers names, so that each is unique

	ory      *fakeory.Ory
	client   *ory.Client
	store    *sqlstore.Store
	linker   *link.Linker
	auth     *session.Verifier
	hooks    http.Handler
	post     *post
	erasures *erase.Erasures
}

func (a *application) history(rt *rapid.T) {
	h := a.begin(rt)
	defer h.close()
	h.do("an anchor signs up", func() bool { return h.signUp("anchor@example.org", deliver) }) // is never deleted, and proves that Ory is the right one
	anchor := h.truth.people[0]
	h.withHook("sync", deliver, anchor, func() error { return h.ory.Verify(h.ctx(), string(anchor.id)) })
	h.request(h.auth, anchor)
	h.do("the application makes a user", func() bool { return seed(h) })
	h.do("a person signs up", func() bool { return signUpNew(h) })
	h.do("a person signs up", func() bool { return signUpNew(h) })
	for range 4 + digit.Draw(h.T, "steps") + digit.Draw(h.T, "more steps") {
		h.step()
	}
	h.settle()
	h.compare()
}

// step does one operation. It draws again if nobody is there for the operation.
func (h *history) step() {
	for range 5 {
		op := weighted.Draw(h.T, "operation")
		if h.do(op.name, func() bool { return op.do(h) }) {
			h.askPurged()
			return
		}
	}
}

// askPurged asks again about people whose last answer a purge has made wrong.
func (h *history) askPurged() {
	for _, p := range h.truth.people {
		if p.purged && rapid.Bool().Draw(h.T, "asks at once") {
			h.note("%s asks at once", p.name)
			h.request(h.auth, p)
		}
		p.purged = false
	}
}

func (a *application) begin(rt *rapid.T) *history {
	a.clear()
	newID := rapid.SampledFrom([]symbolon.NewID{symbolon.ByMint, symbolon.ByDatabase}).Draw(rt, "new_id")
	h := &history{T: rt, app: a, store: a.tables[newID]}
	h.table = h.store.Users.Table
	h.truth.gone = rapid.SampledFrom([]symbolon.RowPolicy{symbolon.DeactivateRow, symbolon.KeepRow, symbolon.AnonymiseRow, symbolon.DeleteRow}).Draw(rt, "on_identity_deleted")
	h.truth.recreate = rapid.Bool().Draw(rt, "recreate")
	h.truth.when = digit.Draw(rt, "only verified people") == 7
	h.post = &post{history: h, fates: map[string]fate{}}
	config := h.kratosHooks(newID)
	h.ory = fakeory.New(fakeory.Config{InMemory: true, Hooks: config, HookTransport: h.post})
	h.client = &ory.Client{PublicURL: h.ory.PublicURL, AdminURL: h.ory.AdminURL, HTTP: &http.Client{Transport: h.ory}}
	h.start()
	if err := h.linker.StartFresh(h.ctx()); err != nil {
		h.Fatal(err)
	}
	return h
}

func (h *history) ctx() context.Context { return h.app.db.t.Context() }

// kratosHooks are the hooks of the printed configuration. The fake waits for all of them, so
// that a history is the same each time that it runs.
func (h *history) kratosHooks(newID symbolon.NewID) fakeory.Hooks {
	var b bytes.Buffer
	actions := hooks.Actions{URL: "http://symbolon", Keys: hooks.DeriveKeys(secrets), NewID: newID, Draws: h.store.DrawDB != nil,
		When: link.When{Verified: h.truth.when}, Columns: h.store.Users.Columns, Methods: []string{"password", "profile"}}
	if err := actions.WriteKratos(&b); err != nil {
		h.Fatal(err)
	}
	config, err := fakeory.HooksFromKratos(b.Bytes())
	if err != nil {
		h.Fatal(err)
	}
	config.WithoutSession = false
	for _, list := range [][]fakeory.Hook{config.Registration, config.Settings, config.Verification} {
		for i := range list {
			list[i].Ignore = false
		}
	}
	return config
}

// start starts the product, as after a deployment.
func (h *history) start() {
	h.stop()
	quiet := slog.New(slog.DiscardHandler)
	h.linker = &link.Linker{Ory: h.client, Store: h.store, Secrets: secrets, Log: quiet, ProofGap: time.Microsecond, OnIdentityDeleted: h.truth.gone,
		When: link.When{Verified: h.truth.when}}
	if h.truth.recreate {
		h.linker.OnUserDeleted = link.RecreateDeleted
	}
	h.auth = &session.Verifier{Linker: h.linker, Log: quiet}
	mux := http.NewServeMux()
	(&hooks.Handler{Linker: h.linker, Log: quiet, Timeout: patience}).Mount(mux)
	h.hooks = mux
	h.erasures = &erase.Erasures{Linker: h.linker, Ory: h.client, Record: h.store, Users: h.store, Log: quiet}
	for _, p := range h.truth.people {
		p.cached = ""
	}
}

func (h *history) stop() {
	if h.linker == nil {
		return
	}
	h.auth.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := h.linker.Close(ctx); err != nil {
		h.Fatal(err)
	}
}

func (h *history) close() {
	h.stop()
	h.client.CloseIdleConnections()
	h.ory.Close()
}

// do does an operation and writes the story. It returns false if nothing was done.
func (h *history) do(name string, do func() bool) bool {
	h.Helper()
	at := len(h.story)
	h.story = append(h.story, name)
	if !do() {
		h.story = h.story[:at]
		return false
	}
	h.app.did[name]++
	h.pin()
	return true
}

// pin finds the IDs of new users that nobody has seen, by the rows that hold the identities.
func (h *history) pin() {
	var rows map[symbolon.UserID]memberRow
	for _, u := range h.truth.users {
		if u.id != "" || u.owner == nil {
			continue
		}
		if rows == nil {
			rows = h.rows()
		}
		for _, r := range rows {
			if r.identity == u.owner.id {
				u.id = r.id
			}
		}
	}
}

// note adds to the last line of the story.
func (h *history) note(format string, args ...any) {
	h.story[len(h.story)-1] += ": " + fmt.Sprintf(format, args...)
}

// wrong fails the history and tells its story.
func (h *history) wrong(format string, args ...any) {
	h.Helper()
	h.Fatalf("%s\nnew_id %s, on_identity_deleted %s, recreate %t, only verified %t\n  %s", fmt.Sprintf(format, args...),
		h.store.NewID(), h.truth.gone, h.truth.recreate, h.truth.when, strings.Join(h.story, "\n  "))
}

func (h *history) must(err error) {
	h.Helper()
	if err != nil {
		h.wrong("%v", err)
	}
}

// request sends a request of a person to a verifier and compares the answer with the model.
func (h *history) request(v *session.Verifier, p *person) {
	h.Helper()
	got := answerTo(h.ctx(), v, p)
	if v == h.auth && got == p.cached && got != "" {
		return
	}
	if p.active {
		h.truth.read(p)
	}
	if v == h.auth {
		p.cached = got
	}
	h.sees(p, got)
}

// sees compares an answer with the model. The ID of a new user is not known before.
func (h *history) sees(p *person, got string) {
	h.Helper()
	want := h.truth.answer(p)
	if id, ok := strings.CutPrefix(got, "user "); ok && want == "user " {
		if other := h.truth.byID(symbolon.UserID(id)); other != nil {
			h.wrong("%s got user %s (%s), and the model says a user of its own (%s)", p.name, id, other.why, p.user.why)
		}
		p.user.id = symbolon.UserID(id)
		return
	}
	if got != want {
		h.wrong("%s got %q, and the model says %q", p.name, got, want)
	}
}

// dontKnow begins the answer if nothing is known, which is never a denial.
const dontKnow = "unavailable: "

// answerTo sends a request of a person.
func answerTo(ctx context.Context, v *session.Verifier, p *person) string {
	principal, err := v.Verify(ctx, ory.Credential{Kind: ory.SessionToken, Value: p.token})
	switch {
	case errors.Is(err, session.ErrUnauthenticated):
		return signedOut
	case err != nil && answer.Of(err).Code == answer.Unavailable:
		return dontKnow + err.Error()
	case err != nil:
		return string(answer.Of(err).Code)
	}
	return "user " + string(principal.User.ID)
}

// reconciler compares everybody. Its clock is an hour ahead, because a pass does not end bonds
// that were made in its last minute.
func (h *history) reconciler() *reconcile.Reconciler {
	return &reconcile.Reconciler{Linker: h.linker, Ledger: h.store, Now: func() time.Time { return time.Now().Add(time.Hour) },
		Identities: func(ctx context.Context, from symbolon.IdentityID) iter.Seq2[symbolon.Identity, error] {
			return h.client.Identities(ctx, ory.ListOptions{From: from})
		}}
}

func (h *history) pass(rebind bool) reconcile.Report {
	h.Helper()
	report, err := h.reconciler().Run(h.ctx(), reconcile.Options{Repair: true, Rebind: rebind, AllowMissing: 1000})
	h.must(err)
	h.truth.pass(rebind, h.winners())
	return report
}

// winners are the people who got a user that the metadata of several people named. A pass reads many people
// at the same time, so the model cannot say which of them is the first.
func (h *history) winners() (out []*person) {
	rows := h.rows()
	for _, p := range h.truth.people {
		got := rows[p.reserved].identity == p.id || p.voucher != nil && rows[p.voucher.id].identity == p.id
		if p.bond == unread && got {
			out = append(out, p)
		}
	}
	return out
}

// fate is what happens to a hook on its way.
type fate string

const (
	deliver fate = "arrives"
	lose    fate = "is lost"
	twice   fate = "arrives twice"
	later   fate = "is late"
)

// post carries Ory's hooks to the product.
type post struct {
	history *history
	fates   map[string]fate // by route; without one the hook arrives
	late    []letter
}

// letter is a hook that Ory has sent.
type letter struct {
	route  string
	header http.Header
	body   []byte
	of     *person // nil for a person who is just signing up
}

func (p *post) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	l := letter{route: strings.TrimPrefix(r.URL.Path, "/hooks/"), header: r.Header.Clone(), body: body}
	w := httptest.NewRecorder()
	w.WriteString("{}")
	switch p.fates[l.route] {
	case lose: // the answer of Ory's own queue, or of nobody
	case later:
		p.late = append(p.late, l)
	case twice:
		p.history.handle(l)
		w = p.history.handle(l)
	default:
		w = p.history.handle(l)
	}
	return w.Result(), nil
}

// handle has the product answer a hook. Nothing is broken, so every answer is 200.
func (h *history) handle(l letter) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(h.ctx(), http.MethodPost, "/hooks/"+l.route, bytes.NewReader(l.body))
	r.Header = l.header
	w := httptest.NewRecorder()
	h.hooks.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		h.wrong("hook %s was answered with %d %s", l.route, w.Code, w.Body)
	}
	return w
}

// word is something that says who a person is.
type word struct {
	text   string
	people []*person
	users  []*appUser // whose rows the application itself has filled with it
}

// known notes that a word is about a person or a user.
func (h *history) known(text string, p *person, u *appUser) {
	var w *word
	for _, old := range h.words {
		if old.text == text {
			w = old
		}
	}
	if w == nil {
		w = &word{text: text}
		h.words = append(h.words, w)
	}
	if p != nil {
		w.people = append(w.people, p)
	}
	if u != nil {
		w.users = append(w.users, u)
	}
}

// mustBeGone reports whether nothing that still exists may have the word.
func (w *word) mustBeGone() bool {
	for _, p := range w.people {
		if p.bond != erased {
			return false
		}
	}
	for _, u := range w.users {
		if u.row && !u.emptied {
			return false
		}
	}
	return true
}

func (h *history) name(what string) string {
	h.n++
	return fmt.Sprintf("%s%dx", what, h.n)
}
