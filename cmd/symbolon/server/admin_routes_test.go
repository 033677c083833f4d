package server

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
	"github.com/symbolon-id/symbolon/sqlstore"
	"github.com/symbolon-id/symbolon/symbolontest"
)

// operatorRoutes returns the methods of each pattern of the operator's routes, read from
// routes.go. So a new route is tested without a change here.
func operatorRoutes(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("routes.go")
	if err != nil {
		t.Fatal(err)
	}
	routes := map[string][]string{}
	for _, m := range regexp.MustCompile(`\{"([A-Z]+)", "(/admin/[^"]+|/metrics)"`).FindAllStringSubmatch(string(text), -1) {
		routes[m[2]] = append(routes[m[2]], m[1])
	}
	if len(routes) < 12 {
		t.Fatalf("only %d patterns were found", len(routes))
	}
	return routes
}

// passingTables are not compared, because they change with every request: a ticket is taken
// before each reading, replicas are notified of purges, and sessions are recorded a moment
// after an answer.
var passingTables = []string{"symbolon_tickets", "symbolon_purges", "symbolon_sessions"}

// content returns every row of Symbolon's tables.
func (i *installation) content(t *testing.T) string {
	t.Helper()
	var all []string
	for _, row := range symbolontest.FindText(t, i.DB, "sqlite", "") {
		table, _, _ := strings.Cut(strings.TrimPrefix(row, `"`), `"`)
		if strings.HasPrefix(table, "symbolon_") && !slices.Contains(passingTables, table) {
			all = append(all, row)
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// TestOperatorRoutesAreExact is row A of the bad-input catalogue, for every route:
// similar paths, wrong methods and invalid IDs are refused in the one error form, and
// change nothing.
func TestOperatorRoutesAreExact(t *testing.T) {
	i := install(t, nil)
	id, token := i.ory.Add(1)
	user := i.signIn(t, token)
	session := "5e" + id[2:]
	before := i.content(t)
	side := i.Operator()
	refused := func(status []int, method, path, body string, header ...string) {
		t.Helper()
		w := cmdtest.Ask(side, method, path, body, header...)
		if !slices.Contains(status, w.Code) || method != "HEAD" && !strings.HasPrefix(w.Body.String(), `{"error":{"code":"`) {
			t.Errorf("%s %.80s: %d %.200s, want %v", method, path, w.Code, w.Body, status)
		}
		if allow := w.Header().Get("Allow"); (w.Code == 405) != (allow != "") {
			t.Errorf("%s %.80s: %d with Allow %q", method, path, w.Code, allow)
		}
	}
	const nobody = "1d000000-0000-4000-8000-999999999999"
	fill := func(pattern, value string) string { return strings.Replace(pattern, "{id}", value, 1) }
	for pattern, methods := range operatorRoutes(t) {
		good := id
		if strings.HasPrefix(pattern, "/admin/users/") {
			good = user
		} else if strings.HasPrefix(pattern, "/admin/sessions/") {
			good = session
		}
		path := fill(pattern, good)
		last := strings.LastIndex(path, "/")
		for _, method := range methods {
			for _, near := range []string{path + "/", "/" + path, path + "//", path[:last] + "//" + path[last+1:], path[:last] + "%2F" + path[last+1:], path[:last] + "%2f" + path[last+1:],
				path[:last] + "/./" + path[last+1:], path[:last] + "/x/../" + path[last+1:], "/." + path, "/x/.." + path, strings.ToUpper(path[:2]) + path[2:], "/%61" + path[2:],
				path[:last+1], path + "/x", path[:last] + ";a" + path[last:], strings.Replace(path, "/", "\\", 2)} {
				if _, err := url.ParseRequestURI(near); err != nil || near == path || near == "/metrics" {
					continue // a client's URL parser never sends this path
				}
				refused([]int{404, 405, 400}, method, near, "") // 405 and 400 if the path matches another route
			}
			for _, value := range []string{"42", "%00", "%ff", "%0d%0aX:%20y", "1%27%20or%201=1--", "00000000-0000-0000-0000-000000000000", "%7B" + id + "%7D", "urn:uuid:" + id,
				id[:35], id + "0", "..", "%2e%2e", "a%2Fb", strings.Repeat("a", 10<<10), nobody, "-1", "99999999999999999999"} {
				if strings.HasSuffix(pattern, "/{id}/sessions") && value == nobody {
					continue // no session is left to revoke, so the answer is 204
				}
				if fill(pattern, value) != pattern {
					refused([]int{400, 404}, method, fill(pattern, value), "")
				}
			}
		}
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE", "get", "PROPFIND"} {
			if !slices.Contains(methods, method) {
				refused([]int{405}, method, path, "", "X-HTTP-Method-Override", methods[0], "X-HTTP-Method", methods[0], "X-Method-Override", methods[0])
				refused([]int{405}, method, path+"?_method="+methods[0], "")
			}
		}
		if !slices.Contains(methods, "GET") {
			refused([]int{405}, "HEAD", path, "")
		}
	}
	if after := i.content(t); after != before {
		t.Errorf("something changed. Before:\n%s\nafter:\n%s", before, after)
	}
	if !i.ory.HasIdentity(id) || i.signIn(t, token) != user {
		t.Error("a row was changed")
	}
}

// TestOperatorBodies checks that a route with a body accepts at most 1 MB, and only JSON
// with its content type.
func TestOperatorBodies(t *testing.T) {
	i := install(t, nil)
	before := i.content(t)
	for _, path := range []string{"/admin/links", "/admin/reconcile"} {
		for _, test := range []struct {
			name, body string
			status     int
			header     []string
		}{
			{"over 1 MB", `{"why":"` + strings.Repeat("a", 1<<20) + `"}`, 413, nil},
			{"a form", "repair=true", 415, []string{"Content-Type", "application/x-www-form-urlencoded"}},
			{"text", "{}", 415, []string{"Content-Type", "text/plain"}},
			{"two types", "{}", 415, []string{"Content-Type", "application/json, text/plain"}},
			{"UTF-16", "{}", 415, []string{"Content-Type", "application/json; charset=utf-16"}},
			{"gzip", "{}", 415, []string{"Content-Encoding", "gzip"}},
			{"a BOM", "\ufeff{}", 400, nil},
			{"not UTF-8", "{\"why\":\"\xff\"}", 400, nil},
			{"cut", `{"why":`, 400, nil},
			{"a number", "7", 400, nil},
			{"two documents", "{}{}", 400, nil},
			{"twice, in capitals", `{"why":"a","WHY":"b"}`, 400, nil},
			{"a prototype", `{"__proto__":{"repair":true}}`, 400, nil},
			{"ten thousand keys", manyKeys(), 400, nil},
			{"deep", `{"only":` + strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001) + "}", 400, nil},
		} {
			w := cmdtest.Ask(i.Operator(), "POST", path, test.body, test.header...)
			if w.Code != test.status || !strings.HasPrefix(w.Body.String(), `{"error":{"code":"`) {
				t.Errorf("%s, %s: %d %.200s, want %d", path, test.name, w.Code, w.Body, test.status)
			}
		}
	}
	if i.content(t) != before {
		t.Error("something changed")
	}
}

func manyKeys() string {
	var b strings.Builder
	b.WriteString("{")
	for n := range 10_000 {
		_, _ = fmt.Fprintf(&b, `"k%d":1,`, n)
	}
	return strings.TrimSuffix(b.String(), ",") + "}"
}

// TestForgedCursors checks that a cursor with one changed, removed or added letter is
// refused.
func TestForgedCursors(t *testing.T) {
	i := install(t, nil)
	for n := range 3 {
		f := symbolon.Finding{Identity: symbolon.IdentityID(fmt.Sprintf("1d000000-0000-4000-8000-%012d", n+1)), Kind: symbolon.UserGone}
		if err := i.Store.RecordFindings(t.Context(), "default", symbolon.FromReconcile, []symbolon.Finding{f}, nil); err != nil {
			t.Fatal(err)
		}
	}
	good := i.findings(t, "?limit=1").Next
	forged := map[string]bool{good + "A": true, "A" + good: true, good + good: true, good + "=": true, good + "%00": true, strings.ToUpper(good): true}
	for at := range good {
		for _, letter := range []string{"A", "b", "-", ""} {
			forged[good[:at]+letter+good[at+1:]] = true
		}
		forged[good[:at]] = true
	}
	delete(forged, good)
	for _, cursor := range slices.Sorted(maps.Keys(forged)) {
		if w := cmdtest.Ask(i.Operator(), "GET", "/admin/findings?limit=1&after="+cursor, ""); w.Code != 400 || !strings.Contains(w.Body.String(), "invalid_request") {
			t.Errorf("%q: %d %s", cursor, w.Code, w.Body)
		}
	}
	if got := i.findings(t, "?limit=1&after="+good); len(got.Findings) != 1 {
		t.Errorf("the unchanged cursor: %+v", got)
	}
}

// TestBusyDatabase checks that writes answer "don't know" while another process has
// SQLite's write lock. Reads work. Afterwards all links are unchanged.
func TestBusyDatabase(t *testing.T) {
	t.Parallel()
	i := install(t, nil)
	id, token := i.ory.Add(1)
	fresh, _ := i.ory.Add(2)
	user := i.signIn(t, token)
	path, _ := i.Config.SQLitePath()
	other, err := sql.Open("sqlite", sqlstore.SQLiteDSN(path, "_txlock=immediate"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	held, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	side := i.Operator()
	for _, test := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/admin/identities/" + id + "/sync", "", 503},
		{"POST", "/admin/identities/" + fresh + "/sync", "", 503},
		{"POST", "/admin/links", fmt.Sprintf(`{"identity_id":%q,"user_id":%q,"move":true}`, fresh, user), 503},
		{"GET", "/admin/users/" + user, "", 200},
		{"GET", "/admin/findings", "", 200},
	} {
		patience := time.Second // the store itself would wait for five
		if test.method == "GET" {
			patience = time.Minute
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		r := httptest.NewRequestWithContext(ctx, test.method, "http://127.0.0.1:4461"+test.path, strings.NewReader(test.body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		side.ServeHTTP(w, r)
		cancel()
		if w.Code != test.status || w.Code == 503 && !strings.HasPrefix(w.Body.String(), `{"error":{"code":"unavailable"`) {
			t.Errorf("%s %s: %d %s, want %d", test.method, test.path, w.Code, w.Body, test.status)
		}
	}
	if err := held.Rollback(); err != nil {
		t.Fatal(err)
	}
	cmdtest.Eventually(t, "no other process writes", func() bool { return cmdtest.Ask(side, "POST", "/admin/identities/"+id+"/sync", "").Code == 200 })
	if i.signIn(t, token) != user {
		t.Error("the user changed")
	}
	if w := cmdtest.Ask(side, "GET", "/admin/identities/"+id, ""); !strings.Contains(w.Body.String(), user) {
		t.Errorf("moved in spite of the lock: %s", w.Body)
	}
}
