// Package house has only tests. They keep the repository small enough to find things. The
// rules for imports are in .golangci.yml.
package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	root   = "../.."
	module = "github.com/symbolon-id/symbolon"
)

// TestRootExports limits the exported names of the root package, because an application
// learns it first. It exports names that callers of several packages need. Other names
// belong in the package that does the work.
func TestRootExports(t *testing.T) {
	const most = 145
	var names []string
	for _, path := range sources(t, root) {
		names = append(names, exported(t, path)...)
	}
	if len(names) > most {
		t.Errorf("the root package exports %d names, and %d is the limit: %s", len(names), most, strings.Join(names, " "))
	}
	if len(names) < most/2 {
		t.Errorf("only %d names: this test does not find the root package", len(names))
	}
}

// TestRootEntries limits the entries of the root folder, because its listing is the first
// page of the documentation and must fit one screen. A new noun of the root package goes
// into the file of a related noun.
func TestRootEntries(t *testing.T) {
	const most = 45
	built := regexp.MustCompile(`^(\..*|bin|.*\.(test|out|prof)|symbolon\.db.*)$`) // as in .gitignore
	var names []string
	for _, entry := range folder(t, root) {
		if !built.MatchString(entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	if len(names) > most {
		t.Errorf("the root folder has %d entries, and %d is the limit: %s", len(names), most, strings.Join(names, " "))
	}
}

// TestPackageFiles limits the files of a package, because a large package does several
// things. Tests do not count.
func TestPackageFiles(t *testing.T) {
	const most = 20
	limits := map[string]int{
		"cmd/symbolon": 30,   // a file for each command
		"session":      18,   // proxies, assertions and tokens have their own packages
		"sqlstore":     1000, // a file for each transaction of one Store
		"symbolontest": 1000, // a file for each server that tests start
	}
	eachFolder(t, func(path string) {
		limit, ok := limits[path]
		if !ok {
			limit = most
		}
		if n := len(sources(t, filepath.Join(root, path))); n > limit {
			t.Errorf("%s has %d files, and %d is the limit", path, n, limit)
		}
	})
	for path := range limits {
		if len(sources(t, filepath.Join(root, path))) == 0 {
			t.Errorf("%s has a limit and no files", path)
		}
	}
}

// TestDecideImports checks that package decide is pure, so that a decision can be read,
// tested and repeated. It may import the nouns, the minting of IDs and the projection of
// columns, and no I/O.
func TestDecideImports(t *testing.T) {
	allowed := []string{module, module + "/mint", module + "/projection"}
	asks := []string{"context", "database/sql", "net", "net/http", "os"}
	for _, path := range sources(t, filepath.Join(root, "decide")) {
		for _, spec := range parse(t, path, parser.ImportsOnly).Imports {
			name := strings.Trim(spec.Path.Value, `"`)
			first, _, _ := strings.Cut(name, "/")
			if strings.Contains(first, ".") && !slices.Contains(allowed, name) || slices.Contains(asks, name) {
				t.Errorf("%s imports %s", filepath.Base(path), name)
			}
		}
	}
}

// TestLinterKnowsPackages checks the packages in the linter's rules, because a rule for a
// renamed package never matches.
func TestLinterKnowsPackages(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Linters struct {
			Settings struct {
				Depguard struct {
					Rules map[string]struct {
						Files, Allow []string
						Deny         []struct{ Pkg, Desc string }
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	rules := config.Linters.Settings.Depguard.Rules
	for name, rule := range rules {
		named := slices.Clone(rule.Allow)
		for _, deny := range rule.Deny {
			named = append(named, deny.Pkg)
			if deny.Desc == "" {
				t.Errorf("rule %s denies %s without a reason", name, deny.Pkg)
			}
		}
		for _, pkg := range named {
			if path, ours := strings.CutPrefix(strings.TrimSuffix(pkg, "$"), module); ours && !isFolder(filepath.Join(root, path)) {
				t.Errorf("rule %s names %s, which does not exist", name, pkg)
			}
		}
		for _, pattern := range rule.Files {
			path := strings.NewReplacer("!", "", "${config-path}/", "", "**/", "", "/**", "", "/*.go", "").Replace(pattern)
			if path != "$test" && path != "*.go" && path != "**" && !somewhere(t, path) {
				t.Errorf("rule %s has the pattern %s, which matches no package", name, pattern)
			}
		}
	}
	if len(rules) == 0 {
		t.Error("this test finds no rules")
	}
}

// exported returns the exported names of a file, without methods and fields.
func exported(t *testing.T, path string) []string {
	var names []string
	add := func(name *ast.Ident) {
		if name.IsExported() {
			names = append(names, name.Name)
		}
	}
	for _, decl := range parse(t, path, parser.SkipObjectResolution).Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if decl.Recv == nil {
				add(decl.Name)
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					add(spec.Name)
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						add(name)
					}
				}
			}
		}
	}
	return names
}

func parse(t *testing.T, path string, mode parser.Mode) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, mode)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// sources returns the Go files of a folder, except tests.
func sources(t *testing.T, dir string) []string {
	var paths []string
	for _, entry := range folder(t, dir) {
		if name := entry.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	return paths
}

func folder(t *testing.T, dir string) []fs.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// somewhere reports whether a folder's path ends with path.
func somewhere(t *testing.T, path string) bool {
	found := false
	eachFolder(t, func(dir string) { found = found || strings.HasSuffix("/"+dir, "/"+path) })
	return found
}

// eachFolder calls f for every folder of the repository that may have Go code, also in
// nested modules. The path is relative to the root.
func eachFolder(t *testing.T, f func(path string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		name := entry.Name()
		if path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || name == "bin") {
			return filepath.SkipDir
		}
		relative, err := filepath.Rel(root, path)
		f(filepath.ToSlash(relative))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
