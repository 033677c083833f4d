package house

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocsNameTests checks that each test that a page names exists, because a decision
// record names the tests that prove it.
func TestDocsNameTests(t *testing.T) {
	declared := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	each(t, root, "_test.go", func(_, text string) {
		for _, m := range function.FindAllStringSubmatch(text, -1) {
			declared[m[1]] = true
		}
	})
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`")
	found := 0
	each(t, filepath.Join(root, "docs"), ".md", func(path, text string) {
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			if found++; !declared[m[1]] {
				t.Errorf("%s names the test %s, which does not exist", path, m[1])
			}
		}
	})
	if found < 50 {
		t.Errorf("only %d names: this test does not find the decisions", found)
	}
}

// each calls f for every file below dir whose name ends in suffix.
func each(t *testing.T, dir, suffix string, f func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, suffix) {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil {
			f(path, string(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDocsListMetricsAndRoutes: docs/metrics.md has each metric of the server,
// docs/operator-api.md each route of the operator's listener, and docs/public-api.md each
// route of the public one.
func TestDocsListMetricsAndRoutes(t *testing.T) {
	lists := func(page string, items [][]string, least int) {
		text := read(t, "docs", page)
		for _, item := range items {
			if name := strings.Join(item[1:], " "); !strings.Contains(text, "`"+name) {
				t.Errorf("docs/%s does not have %s", page, name)
			}
		}
		if len(items) < least {
			t.Errorf("only %d items for docs/%s: this test does not see them", len(items), page)
		}
	}
	metric := regexp.MustCompile(`(?m)^(symbolon_\w+) TYPE`)
	lists("metrics.md", metric.FindAllStringSubmatch(read(t, "cmd", "symbolon", "testdata", "golden", "metrics.txt"), -1), 20)
	public, operator, _ := strings.Cut(read(t, "cmd", "symbolon", "server", "routes.go"), ") Operator() ")
	route := regexp.MustCompile(`\{"([A-Z]+)", "(/[^"]*)",`)
	routes, _, _ := strings.Cut(operator, "\n}\n")
	lists("operator-api.md", route.FindAllStringSubmatch(routes, -1), 15)
	public = strings.ReplaceAll(public, `"/auth/..."`, `"/auth/p/NAME"`)
	lists("public-api.md", regexp.MustCompile(`\{"[A-Z]*", "(/[^"]*)",`).FindAllStringSubmatch(public, -1), 12)
}

// TestDocsLinks: a link in the docs leads to a file that exists, and to a heading in it.
func TestDocsLinks(t *testing.T) {
	fenced := regexp.MustCompile("(?s)```.*?```")
	link := regexp.MustCompile(`\]\(([^):]+)\)`)
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInAnchor := regexp.MustCompile(`[^\w\- ]`)
	anchors := func(text string) (out []string) {
		for _, m := range heading.FindAllStringSubmatch(text, -1) {
			out = append(out, strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
		}
		return out
	}
	check := func(path, text string) {
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			file, anchor, _ := strings.Cut(m[1], "#")
			target := filepath.Join(filepath.Dir(path), file)
			if file == "" {
				target = path
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", path, m[1], err)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(read(t, target)), anchor) {
				t.Errorf("%s links to %s, and there is no such heading", path, m[1])
			}
		}
	}
	each(t, filepath.Join(root, "docs"), ".md", check)
	for _, page := range []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", ".github/SECURITY.md"} {
		check(filepath.Join(root, page), read(t, page))
	}
}

// read returns the text of a file below root, or of a path that begins with root.
func read(t *testing.T, path ...string) string {
	t.Helper()
	name := filepath.Join(path...)
	if !strings.HasPrefix(name, root) {
		name = filepath.Join(root, name)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestGoPageCompiles: the Go blocks of docs/go.md are the files of one program.
func TestGoPageCompiles(t *testing.T) {
	args, dir := []string{"vet"}, t.TempDir()
	for i, m := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(read(t, "docs", "go.md"), -1) {
		file := filepath.Join(dir, fmt.Sprintf("file%d.go", i))
		if err := os.WriteFile(file, []byte(m[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	if len(args) < 4 {
		t.Fatalf("%d files: this test does not see the blocks", len(args)-1)
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
