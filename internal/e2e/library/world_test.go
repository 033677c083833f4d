package library

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/internal/e2e"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/session"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

func TestMain(m *testing.M) {
	if os.Getenv(beAReconciler) != "" {
		reconcileAsChild()
	}
	e2e.Main(m)
}

// patience is the timeout of questions to Kratos and of hooks. It is long, because a busy
// machine must not look like an outage.
const patience = 30 * time.Second

const password = "a-long-Enough-passw0rd"

// setup configures a world.
type setup struct {
	admin   bool // Ory's admin API is configured
	link    bool // the link and sync hooks
	reserve bool // the reserve hook

	shared  bool           // uses the shared Kratos: no hooks, addresses from world.mail, no counts of identities
	stops   bool           // the test stops the database, so it gets a Postgres of its own
	users   sqlstore.Users // the zero value: symbolon_users
	schema  string         // DDL of the application's own table
	kratos  symbolontest.KratosConfig
	deleted link.OnUserDeleted
	write   link.Write

	// metadata is written by another application's parse hook before reserve is called.
	metadata string

	// existing is the application's part of kratos.yml. The hooks are added to its lists.
	existing string
}

// world is one Kratos and one application, linked by Symbolon.
type world struct {
	t      *testing.T
	tag    string // part of the addresses of this world
	kratos *symbolontest.Kratos
	db     *database
	store  *sqlstore.Store
	linker *link.Linker
	auth   *session.Verifier
	gate   *gate // receives Kratos' hooks
	app    *httptest.Server
}

// onBoth runs a test with the store on SQLite and on Postgres.
func onBoth(t *testing.T, s setup, test func(t *testing.T, w *world)) { on(t, e2e.Both, s, test) }

// onOne runs a test with the store on one of them.
func onOne(t *testing.T, s setup, test func(t *testing.T, w *world)) { on(t, e2e.One(t), s, test) }

func on(t *testing.T, dialects []sqlstore.Dialect, s setup, test func(t *testing.T, w *world)) {
	for _, dialect := range dialects {
		t.Run(string(dialect), func(t *testing.T) {
			t.Parallel()
			test(t, newWorld(t, dialect, s))
		})
	}
}

func newWorld(t *testing.T, dialect sqlstore.Dialect, s setup) *world {
	w := &world{t: t, tag: rand.Text()[:8], gate: newGate(t)}
	if s.shared {
		if s.link || s.reserve {
			t.Fatal("the shared Kratos has no hooks")
		}
		w.kratos = symbolontest.SharedKratos(t)
	} else {
		config := s.kratos
		config.Overlay = w.overlay(dialect, s)
		w.kratos = symbolontest.StartKratos(t, config)
	}
	w.db = openDatabase(t, dialect, s)
	w.store = &sqlstore.Store{DB: w.db.DB, Dialect: dialect, Users: s.users}
	if dialect == sqlstore.Postgres && s.users.NewID == sqlstore.ByDatabase {
		w.store.DrawDB = w.db.mustOpen("pgx", w.db.dsn)
	}
	if err := w.store.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	client := &ory.Client{PublicURL: w.kratos.PublicURL, Timeout: patience, Load: 1} // package ory tests the load limit
	if s.admin {
		client.AdminURL = w.kratos.AdminURL
	}
	t.Cleanup(client.CloseIdleConnections)
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	w.linker = &link.Linker{Ory: client, Store: w.store, Secrets: secrets, OnUserDeleted: s.deleted,
		BackReference: link.BackReference{Write: s.write}, Log: quiet, ProofGap: 50 * time.Millisecond}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = w.linker.Close(ctx)
	})
	w.auth = w.newVerifier()
	handler := &hooks.Handler{Linker: w.linker, Log: quiet, Timeout: patience}
	if err := errors.Join(w.auth.Check(), handler.Check()); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	handler.Mount(mux)
	w.gate.next = mux
	w.app = httptest.NewServer(w.auth.Require(http.HandlerFunc(whoAmI)))
	t.Cleanup(w.app.Close)
	return w
}

var secrets = []symbolon.Secret{symbolon.Secret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e")}

// newVerifier returns a verifier with an empty cache, as after a restart.
func (w *world) newVerifier() *session.Verifier {
	v := &session.Verifier{Linker: w.linker, Log: w.linker.Log}
	w.t.Cleanup(v.Close)
	return v
}

// whoAmI is the application's handler. It uses only the user ID.
func whoAmI(w http.ResponseWriter, r *http.Request) {
	u, _ := symbolon.UserFrom(r.Context())
	_, _ = io.WriteString(w, string(u.ID))
}

func (w *world) overlay(dialect sqlstore.Dialect, s setup) []byte {
	if !s.link && !s.reserve {
		return nil
	}
	var b bytes.Buffer
	a := hooks.Actions{URL: w.gate.url, Keys: hooks.DeriveKeys(secrets), NewID: s.users.NewID, Draws: dialect == sqlstore.Postgres, WithoutReserve: !s.reserve,
		BackReference: link.BackReference{Write: s.write}, Columns: map[string]string{"email": "traits.email", "name": "traits.name", "active": "active"}}
	if s.metadata != "" {
		w.gate.other = `{"identity":{"metadata_public":` + s.metadata + `}}`
		a.Existing = fmt.Appendf(nil, "selfservice: {flows: {registration: {after: {password: {hooks: ["+
			"{hook: web_hook, config: {url: %q, method: POST, body: 'base64://ZnVuY3Rpb24oY3R4KSB7fQ==', response: {parse: true}}}, {hook: session}]}}}}}", w.gate.url+"/other")
	}
	if s.existing != "" {
		a.Existing = []byte(s.existing)
	}
	if err := a.WriteKratos(&b); err != nil {
		w.t.Fatal(err)
	}
	w.gate.dropLink = !s.link
	if s.existing == "" {
		return b.Bytes()
	}
	return w.withMethods(s.existing, b.Bytes())
}

// withMethods adds the methods and the global hooks after a sign-in to the printed hooks.
func (w *world) withMethods(existing string, printed []byte) []byte {
	w.t.Helper()
	type flows struct {
		Registration, Settings, Verification, Recovery any `yaml:",omitempty"`
		Login                                          struct{ After map[string]any }
	}
	type file struct {
		Selfservice struct {
			Methods any `yaml:",omitempty"`
			Flows   flows
		}
	}
	var old, hooks file
	if err := errors.Join(yaml.Unmarshal([]byte(existing), &old), yaml.Unmarshal(printed, &hooks)); err != nil {
		w.t.Fatal(err)
	}
	hooks.Selfservice.Methods = old.Selfservice.Methods
	hooks.Selfservice.Flows.Login.After["hooks"] = old.Selfservice.Flows.Login.After["hooks"]
	whole, err := yaml.Marshal(hooks)
	if err != nil {
		w.t.Fatal(err)
	}
	return whole
}

// signUp registers a person. If Kratos refuses, the test fails.
func (w *world) signUp(email string) *symbolontest.Person {
	w.t.Helper()
	p, err := w.kratos.Register(w.t.Context(), email, password, "Ann")
	if err != nil {
		w.t.Fatalf("sign up %s: %v", email, err)
	}
	return p
}

// get sends a request to the application with a person's session. It returns the user ID
// or the error code.
func (w *world) get(token string) (status int, answer string) {
	w.t.Helper()
	return ask(w.t, w.app.URL, token)
}

func ask(t *testing.T, url, token string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Session-Token", token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == 200 {
		return 200, string(body)
	}
	var e struct{ Error struct{ Code string } }
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatalf("%d without the error shape: %s", res.StatusCode, body)
	}
	return res.StatusCode, e.Error.Code
}

// backReference returns metadata_public.id from whoami. It sends no other request.
func (w *world) backReference(token string) string {
	w.t.Helper()
	raw, status, err := w.kratos.Whoami(w.t.Context(), token)
	if err != nil || status != 200 {
		w.t.Fatalf("whoami: %d, %v", status, err)
	}
	var s struct {
		Identity struct {
			Metadata struct {
				ID any `json:"id"`
			} `json:"metadata_public"`
		} `json:"identity"`
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		w.t.Fatal(err)
	}
	id, _ := s.Identity.Metadata.ID.(string)
	return id
}

// record returns Symbolon's record of an identity.
func (w *world) record(id string) symbolon.Record {
	w.t.Helper()
	r, err := w.linker.Record(w.t.Context(), id)
	if err != nil && !errors.Is(err, symbolon.ErrNotFound) {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) linked(id string) symbolon.UserID {
	if r := w.record(id); r.Link != nil && r.Link.State == symbolon.Linked {
		return r.Link.User
	}
	return ""
}

func (w *world) findings(id string) string {
	var kinds []string
	for _, f := range w.record(id).Findings {
		kinds = append(kinds, string(f.Kind))
	}
	return strings.Join(kinds, " ")
}

func (w *world) events(id string, kind symbolon.EventKind) (n int) {
	for _, e := range w.record(id).Events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// eventually waits for the result of a hook or of a back-reference.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("not true after three minutes: %s", what)
		}
	}
}

// oneToOne checks that there are n identities and n users, linked one to one.
func (w *world) oneToOne(n int) {
	w.t.Helper()
	identities, err := w.kratos.CountIdentities(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	table := w.store.Users.Table
	if table == "" {
		table = "symbolon_users"
	}
	users := w.db.int("select count(*) from " + table)
	with := w.db.int("select count(distinct ory_identity_id) from " + table)
	if identities != n || users != n || with != n {
		w.t.Errorf("%d identities, %d users, %d of them with an identity of their own; want %d of each", identities, users, with, n)
	}
}

// mail returns an address of this world, because several worlds share a Kratos.
func (w *world) mail(format string, args ...any) string {
	return mail("%s-%s", fmt.Sprintf(format, args...), strings.ToLower(w.tag))
}

func mail(format string, args ...any) string { return fmt.Sprintf(format, args...) + "@example.org" }

func timeNow() time.Time { return time.Now() }

// restart gives the application a new verifier with an empty cache.
func (w *world) restart() {
	w.auth = w.newVerifier()
	w.app.Close()
	w.app = httptest.NewServer(w.auth.Require(http.HandlerFunc(whoAmI)))
	w.t.Cleanup(w.app.Close)
}

func onLink(f func(*sqlstore.Tx, symbolon.Link) error) func(context.Context, *sqlstore.Tx, symbolon.Link) error {
	return func(_ context.Context, tx *sqlstore.Tx, link symbolon.Link) error { return f(tx, link) }
}

// identities returns all linked identities of the ledger.
func (w *world) identities() (out []symbolon.IdentityID) {
	w.t.Helper()
	rows, err := w.db.QueryContext(w.t.Context(), `select ory_identity_id from symbolon_users where ory_identity_id is not null`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, symbolon.IdentityID(id))
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return out
}
