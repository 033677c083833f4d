package doctor_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"go.yaml.in/yaml/v3"
	_ "modernc.org/sqlite"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/doctor"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/internal/migrated"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

func TestMain(m *testing.M) { symbolontest.Main(m) }

var (
	secret = symbolon.Secret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e")
	former = symbolon.Secret("Q9x7Lk3WvT2pZr8MnB5yHc1JdG6sF4aE")
	anders = symbolon.Secret("Zp3Yt7Ux1Qw5Er9Ki2Jm8Nb4Vc6Xs0La")
)

var columns = map[string]string{"email": "traits.email", "name": "traits.name", "active": "active"}

// installation is a real Kratos, the hooks' server and a database, all configured
// correctly.
type installation struct {
	t       *testing.T
	kratos  *symbolontest.Kratos
	db      *sql.DB
	dialect sqlstore.Dialect
	store   *sqlstore.Store
	linker  *link.Linker
	server  *httptest.Server
	right   []byte                                          // Kratos' original configuration
	around  atomic.Pointer[func(http.Handler) http.Handler] // runs before the hooks
}

func install(t *testing.T, dialect sqlstore.Dialect) *installation {
	w := &installation{t: t, dialect: dialect, db: openMigrated(t, dialect)}
	mux := http.NewServeMux()
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if around := w.around.Load(); around != nil {
			(*around)(mux).ServeHTTP(rw, r)
			return
		}
		mux.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.server.Close)
	var overlay bytes.Buffer
	actions := w.actions()
	if err := actions.WriteKratos(&overlay); err != nil {
		t.Fatal(err)
	}
	w.kratos = symbolontest.StartKratos(t, symbolontest.KratosConfig{Overlay: overlay.Bytes()})
	text, err := os.ReadFile(w.kratos.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	w.right = text
	w.store = &sqlstore.Store{DB: w.db, Dialect: dialect}
	quiet := slog.New(slog.DiscardHandler)
	w.linker = &link.Linker{Ory: w.client(), Store: w.store, Secrets: []symbolon.Secret{secret, former}, Log: quiet}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = w.linker.Close(ctx)
	})
	(&hooks.Handler{Linker: w.linker, Log: quiet}).Mount(mux)
	return w
}

// openDatabase opens an empty database.
func openDatabase(t *testing.T, dialect sqlstore.Dialect) *sql.DB {
	if dialect == sqlstore.Postgres {
		return openDSN(t, "pgx", symbolontest.SharedPostgres(t).NewDatabase(t))
	}
	return openDSN(t, "sqlite", sqlstore.SQLiteDSN(filepath.Join(t.TempDir(), "app.db")))
}

// openMigrated opens a database with Symbolon's tables.
func openMigrated(t *testing.T, dialect sqlstore.Dialect) *sql.DB {
	if dialect == sqlstore.Postgres {
		return openDSN(t, "pgx", migrated.Postgres(t))
	}
	return openDSN(t, "sqlite", migrated.SQLite(t, filepath.Join(t.TempDir(), "app.db")))
}

func openDSN(t *testing.T, driver, dsn string) *sql.DB {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func (w *installation) client() *ory.Client {
	c := &ory.Client{PublicURL: w.kratos.PublicURL, AdminURL: w.kratos.AdminURL}
	w.t.Cleanup(c.CloseIdleConnections)
	return c
}

func (w *installation) actions() hooks.Actions {
	return hooks.Actions{URL: w.server.URL, Keys: hooks.DeriveKeys([]symbolon.Secret{secret, former}), Columns: columns}
}

// doctor returns a doctor with all facts about the installation.
func (w *installation) doctor() *doctor.Doctor {
	return &doctor.Doctor{Ory: w.client(), Actions: w.actions(), Kratos: w.file(nil), Table: table{w.store}, Ledger: w.store,
		OnIdentityDeleted: "deactivate", HTTP: w.server.Client(),
		TokenKeys: func(context.Context) (used, unused []string, err error) {
			return []string{"k (ES256)"}, []string{"key 2: it has no kid"}, nil
		}}
}

// file returns Kratos' configuration after a change.
func (w *installation) file(change func(selfservice map[string]any)) *hooks.KratosFile {
	w.t.Helper()
	f, err := hooks.ReadKratos(w.configuration(change))
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

func (w *installation) configuration(change func(selfservice map[string]any)) []byte {
	w.t.Helper()
	var doc map[string]any
	if err := yaml.Unmarshal(w.right, &doc); err != nil {
		w.t.Fatal(err)
	}
	if change != nil {
		change(doc["selfservice"].(map[string]any))
	}
	text, err := yaml.Marshal(doc)
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// before runs f in front of the hooks until the test ends.
func (w *installation) before(t *testing.T, f func(http.Handler) http.Handler) {
	w.around.Store(&f)
	t.Cleanup(func() { w.around.Store(nil) })
}

// drops loses the requests to a path, and calls the function lost for each of them.
func drops(path string, lost func()) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path {
				http.NotFound(rw, r)
				lost()
				return
			}
			next.ServeHTTP(rw, r)
		})
	}
}

func (w *installation) signUp(email string) *symbolontest.Person {
	w.t.Helper()
	p, err := w.kratos.Register(w.t.Context(), email, "a-long-Enough-passw0rd", "Ann")
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *installation) waitLinked(id string) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if r, err := w.linker.Record(w.t.Context(), id); err == nil && r.Link != nil {
			return
		}
	}
	w.t.Fatal("the link hook did not arrive in a minute")
}

// table is the users table as cmd passes it to the doctor.
type table struct{ *sqlstore.Store }

func (t table) Examine(ctx context.Context) (out []doctor.TableFault, err error) {
	faults, err := t.Store.Examine(ctx)
	for _, fault := range faults {
		var f *sqlstore.Fault
		if !errors.As(fault, &f) {
			return nil, fault
		}
		out = append(out, doctor.TableFault{Kind: string(f.Kind), Column: f.Column, Is: f.Is, Fix: f.Fix, LeftOut: f.LeftOut})
	}
	return out, err
}

func (t table) Rights(ctx context.Context) (out []doctor.TableFault, err error) {
	faults, err := t.Store.Rights(ctx, symbolon.DeleteRow)
	for _, f := range faults {
		out = append(out, doctor.TableFault{Kind: string(f.Kind), Is: f.Is, Fix: f.Fix})
	}
	return out, err
}

func (t table) Doubts(ctx context.Context) ([]string, error) { return t.Store.Doubts(ctx) }

func (t table) Triggers(ctx context.Context) (out []doctor.TableTrigger, err error) {
	triggers, err := t.Store.Triggers(ctx)
	for _, one := range triggers {
		out = append(out, doctor.TableTrigger(one))
	}
	return out, err
}

func (t table) Unsettled(ctx context.Context) (bool, error) {
	start, err := t.FindStart(ctx, symbolon.DefaultProject)
	return err == nil && !start.Settled(), nil
}

func (t table) UniqueColumns(ctx context.Context) (out []string, err error) {
	name := t.Users.Table
	if name == "" {
		name = "symbolon_users"
	}
	d, err := sqlstore.Describe(ctx, t.DB, t.Dialect, name)
	for _, c := range d.Columns {
		if _, filled := t.Users.Columns[c.Name]; filled && c.Unique {
			out = append(out, c.Name)
		}
	}
	return out, err
}

// examine returns the results by check.
func examine(t *testing.T, d *doctor.Doctor) map[string]doctor.Result {
	t.Helper()
	return examineIn(t, t.Context(), d)
}

func examineIn(t *testing.T, ctx context.Context, d *doctor.Doctor) map[string]doctor.Result {
	t.Helper()
	out := map[string]doctor.Result{}
	for _, r := range d.Examine(ctx, nil) {
		if _, twice := out[r.Check]; twice {
			t.Errorf("%s was reported twice", r.Check)
		}
		out[r.Check] = r
	}
	for _, name := range doctor.Checks() {
		if _, ok := out[name]; !ok {
			t.Errorf("%s was not reported", name)
		}
	}
	return out
}

// expect checks that exactly the named checks are problems or unknown, and that a problem
// says what breaks and how to fix it.
func expect(t *testing.T, got map[string]doctor.Result, want map[string]doctor.Verdict) {
	t.Helper()
	for name, r := range got {
		wanted, named := want[name]
		switch {
		case named && r.Verdict != wanted:
			t.Errorf("%s: %s (%s), want %s", name, r.Verdict, r.Is, wanted)
		case !named && r.Verdict != doctor.OK && r.Verdict != doctor.Skipped:
			t.Errorf("%s: %s: %s", name, r.Verdict, r.Is)
		case r.Verdict == doctor.Problem && (r.Is == "" || r.Breaks == "" || r.Fix == ""):
			t.Errorf("the text of %s is incomplete: %+v", name, r)
		case r.Verdict == doctor.Unknown && r.Fix == "":
			t.Errorf("%s does not say how to find out more: %+v", name, r)
		}
	}
	for name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is not a check", name)
		}
	}
}

// traces counts the identities at Ory, the rows, the ledger entries and the findings.
func (w *installation) traces() []int {
	w.t.Helper()
	ctx := context.WithoutCancel(w.t.Context())
	n, err := w.kratos.CountIdentities(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	out := []int{n}
	own := "symbolon_"
	if w.dialect == sqlstore.Postgres {
		own = "symbolon."
	}
	for _, name := range []string{"symbolon_users", own + "links", own + "findings"} {
		var n int
		if err := w.db.QueryRowContext(ctx, "select count(*) from "+name).Scan(&n); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, n)
	}
	return out
}

func (w *installation) leavesNoTrace(before []int) {
	w.t.Helper()
	if after := w.traces(); !slices.Equal(before, after) {
		w.t.Errorf("identities, rows, entries, findings: %v before, %v after", before, after)
	}
}

// proxy forwards everything to a URL. change may edit each answer.
func proxy(t *testing.T, target func(*http.Request) string, change func(*http.Response)) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), r.Method, target(r)+r.URL.RequestURI(), r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		req.Header = r.Header.Clone()
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		if change != nil {
			change(resp)
		}
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(func() {
		s.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return s.URL
}

func to(url string) func(*http.Request) string { return func(*http.Request) string { return url } }
