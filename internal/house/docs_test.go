package house

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocsNameTests: a decision is proved by the tests that its record names, so each
// test that a page names exists.
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
				t.Errorf("%s names %s, and no test has that name", path, m[1])
			}
		}
	})
	if found < 50 {
		t.Errorf("only %d names: this test does not see the decisions", found)
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
