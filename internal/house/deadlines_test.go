package house

import (
	"fmt"
	"go/constant"
	"go/types"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestDeadlines checks that docs/goroutines.md has each place of the program where a
// goroutine begins, where a context without a deadline begins, and where a database or
// another server is asked, each with its deadline. A place that waits without a limit holds
// its connection, its lock or its goroutine for ever when the other side falls silent.
func TestDeadlines(t *testing.T) {
	page, units := read(t, "docs", "goroutines.md"), program(t)
	found := map[string]map[string]int{}
	for _, u := range uses(units) {
		if better := unlimited(u); better != "" {
			t.Errorf("%s uses %s, which has no deadline; use %s", u.in, u.name(), better)
		}
		for title, is := range kinds {
			if is(u) {
				if found[title] == nil {
					found[title] = map[string]int{}
				}
				found[title][u.in]++
			}
		}
	}
	for title := range kinds {
		listed := list(t, page, title)
		for place := range maps.Keys(union(found[title], listed)) {
			switch is, says := found[title][place], listed[place]; {
			case is > says:
				t.Errorf("docs/goroutines.md, %q: the code has %s ×%d, the table ×%d; add it to the table, with its deadline", title, place, is, says)
			case is < says:
				t.Errorf("docs/goroutines.md, %q: the table has %s ×%d, the code ×%d; correct the table", title, place, says, is)
			}
		}
	}
	for _, wrong := range wrongTimes(page, units) {
		t.Errorf("docs/goroutines.md: %s", wrong)
	}
}

// TestTransactionsBegin checks that each transaction begins in sqlstore.Store.transact, which
// gives it its deadline and the limits of its pool.
func TestTransactionsBegin(t *testing.T) {
	places := map[string]bool{}
	for _, u := range uses(program(t)) {
		if strings.HasPrefix(u.name(), "(*database/sql.") && u.of.Name() == "BeginTx" {
			places[u.in] = true
		}
	}
	if want := map[string]bool{"sqlstore.Store.transact": true}; !maps.Equal(places, want) {
		t.Errorf("transactions begin in %v, want %v", slices.Sorted(maps.Keys(places)), slices.Sorted(maps.Keys(want)))
	}
}

// kinds are the tables of docs/goroutines.md, by their headings.
var kinds = map[string]func(use) bool{
	"Goroutines": func(u use) bool { return starters[u.name()] && !sameFile(u) },
	"Contexts that begin without a deadline": func(u use) bool {
		return slices.Contains([]string{"context.Background", "context.TODO", "context.WithoutCancel"}, u.name())
	},
	"Statements, connections and requests": asks,
}

// starters begin a goroutine, or call their argument in one.
var starters = map[string]bool{
	"go":                                     true,
	"(*sync.WaitGroup).Go":                   true,
	"time.AfterFunc":                         true,
	"context.AfterFunc":                      true,
	"(*golang.org/x/sync/errgroup.Group).Go": true,
	"(*github.com/riverqueue/river.Client).Start": true,
	"github.com/jackc/pgx/v5/pgxpool.New":         true, "github.com/jackc/pgx/v5/pgxpool.NewWithConfig": true,
	"(*" + module + "/internal/flight.Group).Begin": true,
	"(*" + module + "/internal/flight.Group).Join":  true,
	"(*" + module + "/internal/flight.Group).After": true,
	module + "/internal/pool.Each":                  true,
	module + "/internal/wait.Ended":                 true,
}

// sameFile reports whether a package uses its own starter.
func sameFile(u use) bool { return u.of != nil && u.of.Pkg() == u.from.Package }

// asks reports whether a use asks a database or another server, or connects to it. A
// statement of a *sql.Tx has the limits of its transaction.
func asks(u use) bool {
	if u.of == nil || u.of.Pkg() == nil {
		return false
	}
	switch u.name() {
	case "(*net/http.Client).Do", "(net/http.RoundTripper).RoundTrip", "(*net.Dialer).DialContext",
		"database/sql.Open", "database/sql.OpenDB", module + "/sqlstore/pgxtx.OpenDB":
		return true
	}
	if u.on != nil && u.on.String() == "*database/sql.Tx" {
		return false
	}
	for _, path := range []string{"database/sql", "github.com/jackc/pgx/v5", "github.com/riverqueue/river", "github.com/pressly/goose/v3"} {
		if p := u.of.Pkg().Path(); p == path || strings.HasPrefix(p, path+"/") {
			return takesContext(u.of)
		}
	}
	return false
}

func takesContext(f *types.Func) bool {
	p := f.Signature().Params()
	return p.Len() > 0 && p.At(0).Type().String() == "context.Context"
}

// unlimited returns the function to use instead of one that takes no context.
func unlimited(u use) string {
	if u.of == nil || u.of.Pkg() == nil {
		return ""
	}
	name := u.of.Name()
	switch u.of.Pkg().Path() {
	case "database/sql":
		if slices.Contains([]string{"Query", "QueryRow", "Exec", "Ping", "Prepare"}, name) {
			return name + "Context"
		}
		if name == "Begin" {
			return "sqlstore.Store.InTx"
		}
	case "net/http":
		if slices.Contains([]string{"Get", "Head", "Post", "PostForm"}, name) && (u.on == nil || u.on.String() == "*net/http.Client") {
			return "http.NewRequestWithContext and Client.Do"
		}
		if name == "NewRequest" {
			return "http.NewRequestWithContext"
		}
	case "net":
		if strings.HasPrefix(name, "Dial") && name != "DialContext" && name != "Dialer" {
			return "net.Dialer.DialContext"
		}
		if strings.HasPrefix(name, "Lookup") && !takesContext(u.of) {
			return "net.Resolver"
		}
	}
	return ""
}

// list returns the places in the first column of the tables below a heading, each with its
// number of statements: `package.function`, or `package.function` ×2. Each row must have a
// deadline.
func list(t *testing.T, page, title string) map[string]int {
	t.Helper()
	_, below, _ := strings.Cut(page, "\n## "+title+"\n")
	below, _, _ = strings.Cut(below, "\n## ")
	out, deadline := map[string]int{}, -1
	for line := range strings.Lines(below) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		switch {
		case !strings.HasPrefix(line, "|"):
			deadline = -1
		case deadline < 0:
			deadline = slices.IndexFunc(cells, func(cell string) bool { return strings.TrimSpace(cell) == "Deadline" })
			if deadline < 0 {
				t.Errorf("%q: a table has no column Deadline", title)
				return nil
			}
		case !strings.HasPrefix(line, "|---"):
			if len(cells) <= deadline || strings.TrimSpace(cells[deadline]) == "" {
				t.Errorf("%q: the row %s has no deadline", title, cells[0])
			}
			for _, m := range listed.FindAllStringSubmatch(cells[0], -1) {
				if out[m[1]] = 1; m[2] != "" {
					out[m[1]], _ = strconv.Atoi(m[2])
				}
			}
		}
	}
	return out
}

var listed = regexp.MustCompile("`([^`]+)`(?: ×(\\d+))?")

func union(a, b map[string]int) map[string]int {
	out := maps.Clone(b)
	maps.Copy(out, a)
	return out
}

// wrongTimes compares the times of the page, such as 3 s (`package.constant`), with the
// constants of the program.
func wrongTimes(page string, units []unit) (wrong []string) {
	for _, m := range named.FindAllStringSubmatch(page, -1) {
		want, _ := time.ParseDuration(m[1] + strings.Replace(m[2], "min", "m", 1))
		if is, err := durationOf(units, m[3], m[4]); err != nil || is != want {
			wrong = append(wrong, fmt.Sprintf("%s: it is %v, %v", m[0], is, err))
		}
	}
	return wrong
}

var named = regexp.MustCompile("(\\d+) (ms|s|min|h) \\(`(\\w+)\\.(\\w+)`\\)")

func durationOf(units []unit, pkg, name string) (time.Duration, error) {
	for _, u := range units {
		if c, ok := u.Scope().Lookup(name).(*types.Const); ok && u.Name() == pkg {
			n, exact := constant.Int64Val(constant.ToInt(c.Val()))
			if !exact {
				return 0, fmt.Errorf("%s is no whole number", c)
			}
			return time.Duration(n), nil
		}
	}
	return 0, fmt.Errorf("package %s has no constant %s", pkg, name)
}
