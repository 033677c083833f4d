package session

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTokenDocs checks that the page shows the files of the tests, line by line.
func TestTokenDocs(t *testing.T) {
	read := func(path ...string) string {
		text, err := os.ReadFile(filepath.Join(append([]string{".."}, path...)...))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	page := read("docs", "ory-tokens.md")
	for _, name := range []string{"kratos.yml", "notes.claims.jsonnet"} {
		for line := range strings.Lines(read("examples", "ory-tokens", name)) {
			if line = strings.TrimRight(line, "\n"); line != "" && !strings.HasPrefix(line, "# ") && !strings.HasPrefix(line, "// ") && !strings.Contains(page, "\n   "+line+"\n") {
				t.Errorf("%s: the page lacks %q", name, line)
			}
		}
	}
}
