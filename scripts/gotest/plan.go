package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// job is one `go test`: packages of one module with the same flags.
type job struct {
	dir      string
	flags    []string
	packages []string
}

func (j job) String() string {
	return strings.Join(slices.Concat([]string{"go test"}, j.flags, []string{"in", j.dir}), " ")
}

// long lists packages that take long, the longest first. Packages of one job
// start in the order in which they are named, and a long one that starts last
// makes everything wait. The report's slowest packages say when this list is out
// of date. A package that does not exist is ignored.
var long = []string{
	"internal/e2e/server", "internal/e2e/library", "internal/e2e", "cmd/symbolon",
	"sqlstore", "session", "reconcile", "link", "cmd/symbolon/server", "cmd/symbolon/work", "erase", "ory",
}

// plan returns the jobs in the order in which they start. Without split there is
// one job a module.
func plan(ctx context.Context, modules []string, split bool, errs io.Writer) ([]job, error) {
	var jobs []job
	for _, dir := range modules {
		if !split {
			jobs = append(jobs, job{dir: dir, packages: []string{"./..."}})
			continue
		}
		packages, err := list(ctx, dir, errs)
		if err != nil {
			return nil, fmt.Errorf("go list in %s: %w", dir, err)
		}
		jobs = append(jobs, splitModule(dir, packages)...)
	}
	return jobs, nil
}

// splitModule makes the jobs of a module: its end-to-end tests, and its other
// packages. Go's cache keeps results of the latter only: a result of an end-to-end
// test also depends on programs that the cache does not see.
func splitModule(dir string, packages []string) []job {
	server := job{dir: dir, flags: []string{"-race", ours, "-count=1"}}
	endToEnd := job{dir: dir, flags: []string{"-count=1"}}
	others := job{dir: dir, flags: []string{"-race", ours}}
	slices.SortStableFunc(packages, func(a, b string) int { return place(a) - place(b) })
	for _, p := range packages {
		switch elements := strings.Split(p, "/"); {
		case p == picky:
			server.packages = append(server.packages, p)
		case slices.Contains(elements, "e2e"):
			endToEnd.packages = append(endToEnd.packages, p)
		default:
			others.packages = append(others.packages, p)
		}
	}
	jobs := []job{server, endToEnd, others}
	return slices.DeleteFunc(jobs, func(j job) bool { return len(j.packages) == 0 })
}

// ours leaves the race detector out of SQLite's own code, a C program translated to Go, which
// the detector makes three times as slow. Our code that calls it is watched. No other package
// may be added: an unwatched package that has instances of generic code would give them to
// the whole program, as sync.Map's, and the detector would report races that are none.
const ours = "-gcflags=modernc.org/sqlite/lib=-race=false"

// picky is the package of end-to-end tests that are run with the race detector,
// because each of them picks a plain build of the server or a watched one: only
// tests that kill it want it plain.
const picky = "./internal/e2e/server"

// place returns the index of a package ("./session") in long, or its length.
func place(pkg string) int {
	if i := slices.Index(long, strings.TrimPrefix(pkg, "./")); i >= 0 {
		return i
	}
	return len(long)
}

// list returns the packages of the module in dir, relative to it: "./session".
func list(ctx context.Context, dir string, errs io.Writer) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-e", "-f", ".{{slice .Dir (len .Module.Dir)}}", "./...")
	cmd.Dir, cmd.Stderr = dir, errs
	out, err := cmd.Output()
	return strings.Fields(filepath.ToSlash(string(out))), err
}

// modulesWithTests returns the folders of the modules below root that have a
// test file, outermost first.
func modulesWithTests(root string) ([]string, error) {
	var modules []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules"):
			return filepath.SkipDir
		case strings.HasSuffix(name, "_test.go"):
			if module := moduleOf(path, root); !slices.Contains(modules, module) {
				modules = append(modules, module)
			}
		}
		return nil
	})
	slices.SortFunc(modules, func(a, b string) int { return len(a) - len(b) })
	return modules, err
}

// moduleOf returns the innermost folder above a file that has a go.mod, or root.
func moduleOf(file, root string) string {
	dir := filepath.Dir(file)
	for dir != root {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}
