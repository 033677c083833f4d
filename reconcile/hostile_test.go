package reconcile_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/migrated"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/reconcile"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

func TestMain(m *testing.M) { symbolontest.Main(m) }

const people = 60

var secrets = []symbolon.Secret{symbolon.Secret("k2J8vQ0zR5tXw9LmB4nYc7HdF1sGpA6e")}

func uuid(project byte, n int) string {
	return fmt.Sprintf("%c%07x-0000-4000-8000-000000000000", project, n)
}

func identityJSON(id, email string) string { return claiming(id, email, "") }

// claiming returns an identity whose metadata names a user.
func claiming(id, email, user string) string {
	metadata := ""
	if user != "" {
		metadata = `,"metadata_public":{"id":"` + user + `"}`
	}
	return `{"id":"` + id + `","schema_id":"default","state":"active","traits":{"email":"` + email + `"},"created_at":"2025-11-23T09:36:17Z"` + metadata + `}`
}

// fakeOry lists identities, 20 per page. If hostile is set, it answers instead.
type fakeOry struct {
	mu      sync.Mutex
	project byte
	email   string
	from    int
	to      int
	hostile func(w http.ResponseWriter, page int) bool
	byID    func(w http.ResponseWriter, n int) bool // the same for readings of one identity
	gone    map[int]bool                            // identities of from..to that do not exist
	claims  map[int]string                          // users in the metadata
	writes  int
}

func (f *fakeOry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method != http.MethodGet {
		f.writes++
	}
	if id, ok := strings.CutPrefix(r.URL.Path, "/admin/identities/"); ok {
		f.one(w, id)
		return
	}
	at := f.from // keyset pages: the token is the last ID before the page
	for token := r.URL.Query().Get("page_token"); at < f.to && uuid(f.project, at) <= token; {
		at++
	}
	if f.hostile != nil && f.hostile(w, (at-f.from)/20) {
		return
	}
	f.page(w, at)
}

func (f *fakeOry) one(w http.ResponseWriter, id string) {
	var n int
	_, err := fmt.Sscanf(id, string(f.project)+"%07x-", &n)
	switch {
	case f.byID != nil && f.byID(w, n):
	case err != nil || n < f.from || n >= f.to || f.gone[n]:
		notFound(w, n)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, claiming(id, fmt.Sprintf(f.email, n), f.claims[n]))
	}
}

var notFound = says(404, "application/json", `{"error":{"code":404,"status":"Not Found","message":"Unable to locate the resource"}}`)

const first = `</admin/identities?page_token=00000000-0000-0000-0000-000000000000>; rel="first"`

func (f *fakeOry) page(w http.ResponseWriter, at int) {
	var items []string
	last, more := 0, false
	for n := at; n < f.to && !more; n++ {
		if more = len(items) == 20; !more && !f.gone[n] {
			items, last = append(items, claiming(uuid(f.project, n), fmt.Sprintf(f.email, n), f.claims[n])), n
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Add("Link", first)
	if more {
		w.Header().Add("Link", fmt.Sprintf(`</admin/identities?page_token=%s>; rel="next"`, uuid(f.project, last)))
	}
	_, _ = io.WriteString(w, "["+strings.Join(items, ",")+"]")
}

type small struct {
	*reconcile.Reconciler
	ory *fakeOry
	now atomic.Pointer[fakeOry] // atomic, because a fetch of a page may still run after its reader has left
	db  *sql.DB
}

// become replaces the Ory that answers.
func (s *small) become(f *fakeOry) {
	s.ory = f
	s.now.Store(f)
}

// world returns `people` identities, all linked an hour ago.
func world(t *testing.T) *small {
	t.Helper()
	s := &small{}
	s.become(&fakeOry{project: 'a', to: people, email: "p%d@example.org"})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.now.Load().ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	var err error
	if s.db, err = sql.Open("sqlite", migrated.SQLite(t, filepath.Join(t.TempDir(), "app.db"))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.db.Close() })
	client := &ory.Client{PublicURL: server.URL, AdminURL: server.URL, Timeout: time.Minute}
	t.Cleanup(client.CloseIdleConnections)
	store := &sqlstore.Store{DB: s.db, Dialect: sqlstore.SQLite}
	s.Reconciler = &reconcile.Reconciler{Ledger: store, Runs: store,
		Linker: &link.Linker{Ory: client, Store: store, Secrets: secrets, Log: slog.New(slog.DiscardHandler), ProofGap: time.Millisecond},
		Identities: func(ctx context.Context, from symbolon.IdentityID) iter.Seq2[symbolon.Identity, error] {
			return client.Identities(ctx, ory.ListOptions{From: from})
		}}
	report, err := s.Run(t.Context(), reconcile.Options{Repair: true})
	if err != nil || report.Repaired[reconcile.UnlinkedIdentity] != people {
		t.Fatalf("%+v %v", report, err)
	}
	s.Now = func() time.Time { return time.Now().Add(time.Hour) }
	return s
}

// content returns everything that a run could write.
func (s *small) content(t *testing.T) (out string) {
	t.Helper()
	for _, query := range []string{`select group_concat(identity_id || coalesce(user_id, '') || state || ticket || digest) from symbolon_links`,
		`select count(*) from symbolon_events`, `select count(*) from symbolon_findings`, `select n from symbolon_tickets`,
		`select group_concat(id || email || active || updated_at || ory_identity_id) from symbolon_users`, `select count(*) from symbolon_runs where state = 'running'`} {
		var v sql.NullString
		if err := s.db.QueryRow(query).Scan(&v); err != nil {
			t.Fatal(err)
		}
		out += v.String + "\n"
	}
	return out
}

func says(status int, kind, body string, link ...string) func(http.ResponseWriter, int) bool {
	return func(w http.ResponseWriter, _ int) bool {
		w.Header().Set("Content-Type", kind)
		for _, l := range link {
			w.Header().Add("Link", l)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	}
}

// from replaces a page and all later ones by a hostile answer.
func from(page int, h func(http.ResponseWriter, int) bool) func(http.ResponseWriter, int) bool {
	return func(w http.ResponseWriter, n int) bool { return n >= page && h(w, n) }
}

// TestHostileListings checks that every listing is an error and changes nothing. All
// columns have old values, so a repair would write.
func TestHostileListings(t *testing.T) {
	s := world(t)
	const isJSON = "application/json"
	one := "[" + identityJSON(uuid('a', 0), "changed@example.org") + "]"
	back := `</admin/identities?page_token=1>; rel="next"`
	hostile := map[string]func(*fakeOry){
		"empty":                  func(f *fakeOry) { f.hostile = says(200, isJSON, `[]`, first) },
		"one page only":          func(f *fakeOry) { f.to = 20 },
		"the last pages only":    func(f *fakeOry) { f.from = 40 },
		"half of the identities": func(f *fakeOry) { f.to = people / 2 },
		"a single one":           func(f *fakeOry) { f.hostile = says(200, isJSON, one, first) },
		"another project":        func(f *fakeOry) { f.project = 'b' },
		"a small other project":  func(f *fakeOry) { f.project, f.to = '0', 3 },
		"no links":               func(f *fakeOry) { f.hostile = says(200, isJSON, one) },
		"no links, later":        func(f *fakeOry) { f.hostile = from(1, says(200, isJSON, one)) },
		"a loop":                 func(f *fakeOry) { f.hostile = says(200, isJSON, one, first, back) },
		"empty, more follows":    func(f *fakeOry) { f.hostile = from(1, says(200, isJSON, `[]`, first, back)) },
		"the same page twice":    func(f *fakeOry) { f.hostile = from(1, says(200, isJSON, one, first)) },
		"null":                   func(f *fakeOry) { f.hostile = says(200, isJSON, `null`, first) },
		"an object":              func(f *fakeOry) { f.hostile = says(200, isJSON, `{}`, first) },
		"HTML":                   func(f *fakeOry) { f.hostile = says(200, "text/html", `<html>`, first) },
		"no type":                func(f *fakeOry) { f.hostile = says(200, "", one, first) },
		"cut":                    func(f *fakeOry) { f.hostile = from(2, says(200, isJSON, one[:40], first)) },
		"204":                    func(f *fakeOry) { f.hostile = says(204, "", "") },
		"206":                    func(f *fakeOry) { f.hostile = says(206, isJSON, one, first) },
		"301":                    func(f *fakeOry) { f.hostile = says(301, isJSON, one, first) },
		"400":                    func(f *fakeOry) { f.hostile = from(1, says(400, isJSON, `{"error":{"code":400}}`)) },
		"401":                    func(f *fakeOry) { f.hostile = says(401, isJSON, `{"error":{"code":401}}`) },
		"401, later":             func(f *fakeOry) { f.hostile = from(2, says(401, isJSON, `{"error":{"code":401}}`)) },
		"403":                    func(f *fakeOry) { f.hostile = says(403, isJSON, `{"error":{"code":403}}`) },
		"404":                    func(f *fakeOry) { f.hostile = says(404, isJSON, `{"error":{"code":404,"status":"Not Found"}}`) },
		"500":                    func(f *fakeOry) { f.hostile = from(1, says(500, isJSON, `{"error":{"code":500}}`)) },
		"503":                    func(f *fakeOry) { f.hostile = says(503, "text/plain", `no`) },
		"nil IDs": func(f *fakeOry) {
			f.hostile = says(200, isJSON, "["+identityJSON("00000000-0000-0000-0000-000000000000", "x@y.z")+"]", first)
		},
		"no IDs": func(f *fakeOry) { f.hostile = says(200, isJSON, `[{"state":"active"}]`, first) },
		"in disorder": func(f *fakeOry) {
			f.hostile = says(200, isJSON, "["+identityJSON(uuid('a', 2), "x@y.z")+","+identityJSON(uuid('a', 1), "x@y.z")+"]", first)
		},
		"twice the same": func(f *fakeOry) { f.hostile = says(200, isJSON, "["+one[1:len(one)-1]+","+one[1:], first) },
	}
	before := s.content(t)
	for name, spoil := range hostile {
		t.Run(name, func(t *testing.T) {
			f := &fakeOry{project: 'a', to: people, email: "new%d@example.org"} // all columns have old values
			if len(name)%2 == 0 {
				f.gone = map[int]bool{3: true, 25: true, 59: true} // and some are really gone
			}
			spoil(f)
			s.become(f)
			report, err := s.Run(t.Context(), reconcile.Options{Repair: true, Rebind: true})
			if err == nil || report.Complete || report.Found[reconcile.OrphanUser] != 0 {
				t.Errorf("%v, %+v", err, report)
			}
			if !errors.Is(err, reconcile.ErrIncomplete) && !errors.Is(err, reconcile.ErrImplausible) {
				t.Error(err)
			}
			if s.content(t) != before || s.ory.writes > 0 {
				t.Error("a row was changed")
			}
		})
	}
}

// TestAllowMissing checks that a large deletion is accepted with AllowMissing, and that
// each identity is proved gone.
func TestAllowMissing(t *testing.T) {
	s := world(t)
	s.become(&fakeOry{project: 'a', to: people / 2, email: "p%d@example.org"})
	before := s.content(t)
	if report, err := s.Run(t.Context(), reconcile.Options{AllowMissing: people / 2}); err != nil ||
		report.Found[reconcile.OrphanUser] != people/2 || s.content(t) != before {
		t.Fatalf("a dry run: %+v %v", report.Found, err)
	}
	report, err := s.Run(t.Context(), reconcile.Options{Repair: true, AllowMissing: people / 2})
	if err != nil || report.Repaired[reconcile.OrphanUser] != people/2 || report.Left() != 0 {
		t.Errorf("%+v %v", report, err)
	}
	if n := s.count(t, "select count(*) from symbolon_links where state = 'gone'"); n != people/2 {
		t.Errorf("%d are gone", n)
	}
	if n := s.count(t, "select count(*) from symbolon_users where active = 1"); n != people/2 {
		t.Errorf("%d are active", n)
	}
	before = s.content(t)
	if report, err := s.Run(t.Context(), reconcile.Options{Repair: true}); err != nil || report.Left() != 0 || s.content(t) != before {
		t.Errorf("%+v %v", report, err)
	}
}

func (s *small) count(t *testing.T, query string) (n int) {
	t.Helper()
	if err := s.db.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestHostileAnswersByID has three identities that are not in the listing, and Ory's
// answers for each of them prove nothing. No link is ended, and the missing identities
// are recorded once.
func TestHostileAnswersByID(t *testing.T) {
	const isJSON = "application/json"
	missing := map[int]bool{3: true, 25: true, 59: true}
	of := func(whom func(n int) bool, h func(http.ResponseWriter, int) bool) func(http.ResponseWriter, int) bool {
		return func(w http.ResponseWriter, n int) bool { return whom(n) && h(w, n) }
	}
	lost, control := func(n int) bool { return missing[n] }, func(n int) bool { return !missing[n] }
	everybody := func(int) bool { return true }
	once := func(h func(http.ResponseWriter, int) bool) func(http.ResponseWriter, int) bool {
		asked := map[int]int{}
		return func(w http.ResponseWriter, n int) bool { // a true 404 first, and something else later
			asked[n]++
			return asked[n] > 1 && missing[n] && h(w, n)
		}
	}
	found := func(w http.ResponseWriter, n int) bool {
		return says(200, isJSON, identityJSON(uuid('a', n), "x@y.z"))(w, n)
	}
	s := world(t)
	for name, byID := range map[string]func(http.ResponseWriter, int) bool{
		"a proxy's 404":         of(lost, says(404, "text/plain", "404 page not found")),
		"an HTML 404":           of(lost, says(404, "text/html", "<html>not found</html>")),
		"an empty 404":          of(lost, says(404, isJSON, "")),
		"another service's":     of(lost, says(404, isJSON, `{"message":"not found"}`)),
		"a code that differs":   of(lost, says(404, isJSON, `{"error":{"code":500,"status":"Not Found"}}`)),
		"401":                   of(lost, says(401, isJSON, `{"error":{"code":401,"status":"Unauthorized"}}`)),
		"403":                   of(lost, says(403, isJSON, `{"error":{"code":403,"status":"Forbidden"}}`)),
		"410":                   of(lost, says(410, isJSON, `{"error":{"code":410,"status":"Gone"}}`)),
		"429":                   of(lost, says(429, isJSON, `{"error":{"code":429,"status":"Too Many Requests"}}`)),
		"500":                   of(lost, says(500, isJSON, `{"error":{"code":500,"status":"Internal Server Error"}}`)),
		"503":                   of(lost, says(503, "text/plain", "no")),
		"HTML 200":              of(lost, says(200, "text/html", "<html>")),
		"empty 200":             of(lost, says(200, isJSON, "")),
		"204":                   of(lost, says(204, "", "")),
		"301":                   of(lost, says(301, isJSON, "{}")),
		"the wrong identity":    of(lost, says(200, isJSON, identityJSON(uuid('a', 7), "x@y.z"))),
		"no identity":           of(lost, says(200, isJSON, "{}")),
		"there after all":       of(lost, found),
		"there the second time": once(found),
		"500 the second time":   once(says(500, isJSON, `{"error":{"code":500}}`)),
		"no identity is known":  of(everybody, notFound),
		"the control is gone":   of(control, notFound),
		"the control is a 500":  of(control, says(500, isJSON, `{"error":{"code":500}}`)),
		"the control is HTML":   of(control, says(200, "text/html", "<html>")),
		"the control is another": of(control, func(w http.ResponseWriter, n int) bool {
			return says(200, isJSON, identityJSON(uuid('a', n+1), "x@y.z"))(w, n)
		}),
	} {
		t.Run(name, func(t *testing.T) {
			s := world(t) // a client of another world would still wait after a 429
			s.become(&fakeOry{project: 'a', to: people, email: "p%d@example.org", gone: missing, byID: byID})
			report, err := s.Run(t.Context(), reconcile.Options{Repair: true})
			if report.Found[reconcile.OrphanUser] != 3 || len(report.Repaired) != 0 || err == nil != strings.HasPrefix(name, "there ") {
				t.Errorf("%+v %v", report, err)
			}
			if n := s.count(t, "select count(*) from symbolon_links where state <> 'linked'"); n != 0 {
				t.Errorf("%d links are ended", n)
			}
			if n := s.count(t, "select count(*) from symbolon_users where active = 1"); n != people {
				t.Errorf("%d are active", n)
			}
			if n := s.count(t, "select count(*) from symbolon_findings where closed_at is null and kind = 'orphan_user'"); n != 3 {
				t.Errorf("%d findings", n)
			}
			before := s.content(t)
			if _, _ = s.Run(t.Context(), reconcile.Options{Repair: true}); s.content(t) != before {
				t.Error("the missing identities were recorded again")
			}
		})
	}
	// Now Ory answers correctly.
	s.become(&fakeOry{project: 'a', to: people, email: "p%d@example.org", gone: missing})
	report, err := s.Run(t.Context(), reconcile.Options{Repair: true})
	if err != nil || report.Repaired[reconcile.OrphanUser] != 3 || report.Left() != 0 {
		t.Errorf("%+v %v", report, err)
	}
}

// TestTheSecondListingBreaksOff checks that finished repairs stay, and that the next run
// does the rest.
func TestTheSecondListingBreaksOff(t *testing.T) {
	s := world(t)
	s.become(&fakeOry{project: 'a', to: 1000, email: "new%d@example.org"})
	asked := 0
	s.ory.hostile = func(w http.ResponseWriter, _ int) bool {
		asked++
		return asked > 50+30 && says(500, "text/plain", "")(w, 0)
	}
	report, err := s.Run(t.Context(), reconcile.Options{Repair: true})
	if !errors.Is(err, reconcile.ErrIncomplete) || report.Complete || report.Repaired[reconcile.UnlinkedIdentity] == 0 {
		t.Errorf("%+v %v", report.Repaired, err)
	}
	s.ory.mu.Lock()
	s.ory.hostile = nil
	s.ory.mu.Unlock()
	report, err = s.Run(t.Context(), reconcile.Options{Repair: true})
	if err != nil || report.Left() != 0 || report.Linked != 1000 {
		t.Errorf("%+v %v", report, err)
	}
}

// TestRowKept has a table that refuses to delete a row. Each run tries again, and writes
// nothing while the table refuses.
func TestRowKept(t *testing.T) {
	s := world(t)
	s.Linker.OnIdentityDeleted = symbolon.DeleteRow
	if _, err := s.db.Exec("create trigger never before delete on symbolon_users begin select raise(abort, 'never'); end"); err != nil {
		t.Fatal(err)
	}
	s.become(&fakeOry{project: 'a', to: people, email: "p%d@example.org", gone: map[int]bool{7: true}})
	report, err := s.Run(t.Context(), reconcile.Options{Repair: true})
	if err != nil || report.Repaired[reconcile.OrphanUser] != 1 || report.Found[symbolon.RowKept] != 1 || report.Left() != 1 {
		t.Errorf("%+v %v", report, err)
	}
	before := s.content(t)
	report, err = s.Run(t.Context(), reconcile.Options{Repair: true})
	if err != nil || len(report.Repaired) != 0 || report.Denied != 1 || report.Found[symbolon.RowKept] != 1 || s.content(t) != before {
		t.Errorf("while the table refuses: %+v %v", report, err)
	}
	if _, err := s.db.Exec("drop trigger never"); err != nil {
		t.Fatal(err)
	}
	report, err = s.Run(t.Context(), reconcile.Options{Repair: true})
	if err != nil || report.Repaired[symbolon.RowKept] != 1 || report.Left() != 0 || s.count(t, "select count(*) from symbolon_users") != people-1 {
		t.Errorf("after the table allows it: %+v %v", report, err)
	}
}

// TestTheSecondListingIsAnothers has a plausible first listing and something to repair.
// Then the address leads to another project. The identities of this project get no users.
func TestTheSecondListingIsAnothers(t *testing.T) {
	for name, later := range map[string]*fakeOry{
		"another project": {project: 'b', to: people, email: "p%d@example.org"},
		"none at all":     {project: 'a', email: "p%d@example.org"},
		"a small one":     {project: 'f', to: 3, email: "p%d@example.org"},
	} {
		t.Run(name, func(t *testing.T) {
			s := world(t)
			s.become(&fakeOry{project: 'a', to: people, email: "new%d@example.org", gone: map[int]bool{7: true}})
			listings := 0
			inner := s.Identities
			s.Reconciler = s.another()
			s.Identities = func(ctx context.Context, from symbolon.IdentityID) iter.Seq2[symbolon.Identity, error] {
				if listings++; listings == 2 {
					s.ory.mu.Lock()
					defer s.ory.mu.Unlock()
					s.ory.project, s.ory.to, s.ory.gone = later.project, later.to, nil
				}
				return inner(ctx, from)
			}
			report, err := s.Run(t.Context(), reconcile.Options{Repair: true})
			if !errors.Is(err, reconcile.ErrImplausible) || report.Complete || len(report.Repaired) != 0 {
				t.Errorf("%v %+v", err, report)
			}
			for query, want := range map[string]int{`select count(*) from symbolon_links where state = 'linked'`: people, `select count(*) from symbolon_links`: people,
				`select count(*) from symbolon_users where email like 'p%' and active = 1`: people, `select count(*) from symbolon_findings`: 0,
				`select count(*) from symbolon_runs where state = 'failed'`: 1} {
				if n := s.count(t, query); n != want {
					t.Errorf("%s: %d, want %d", query, n, want)
				}
			}
		})
	}
}
