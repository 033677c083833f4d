package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// job is one `go test`: packages of one module with the same flags.
type job struct {
	dir      string
	flags    []string
	packages []string
	env      []string // added to the caller's environment
}

func (j job) String() string {
	return strings.Join(slices.Concat([]string{"go test"}, j.flags, []string{"in", j.dir}), " ")
}

// long lists slow packages, the slowest first. The packages of a job start in the given
// order, and a slow package that starts last delays the end of the run. Compare this list
// with the slowest packages in the report. Unknown packages are ignored.
var long = []string{
	"internal/e2e/server", "internal/e2e/library", "internal/e2e",
	"sqlstore", "session", "reconcile", "cmd/symbolon/work", "cmd/symbolon/server", "cmd/symbolon", "adopt", "doctor", "erase", "link", "ory",
}

// plan returns the jobs in the order of their start. Without split there is one job per
// module.
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
	if split && os.Getenv("GORACE") == "" {
		for i := range jobs {
			jobs[i].env = []string{promptExit}
		}
	}
	return jobs, nil
}

// promptExit shortens the second for which a program with the race detector sleeps before
// it exits. In it goroutines that still run can be seen to race. The tests of almost every
// package fail if goroutines are left (symbolontest.Main), so the sleep shows nothing new,
// but it makes every package and every command that a test runs a second longer.
// `make nightly` keeps the whole second.
const promptExit = "GORACE=atexit_sleep_ms=50"

// splitModule returns the jobs of a module: its end-to-end tests and its other packages.
// Only the results of the other packages are cached, because end-to-end tests also depend
// on programs that Go's cache does not see.
func splitModule(dir string, packages []string) []job {
	server := job{dir: dir, flags: []string{"-race", ours, "-count=1"}}
	endToEnd := job{dir: dir, flags: []string{"-count=1"}}
	others := job{dir: dir, flags: []string{"-race", ours, "-p=" + strconv.Itoa(runtime.GOMAXPROCS(0)+1)}} // one of the packages waits
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
	jobs := []job{endToEnd, server, others} // the first builds nothing that the other two build
	return slices.DeleteFunc(jobs, func(j job) bool { return len(j.packages) == 0 })
}

// ours excludes SQLite's own code from the race detector. It is a C program translated to
// Go, and the detector makes it three times as slow. Our code that calls it is watched.
// Do not add another package: if an unwatched package has instances of generic code, such
// as sync.Map's, the whole program may use them, and the detector then reports false
// races.
const ours = "-gcflags=modernc.org/sqlite/lib=-race=false"

// picky is the package of end-to-end tests with the race detector. Each of its tests
// chooses a server with or without the detector, because tests that kill the server need
// it without.
const picky = "./internal/e2e/server"

// place returns the index of a package ("./session") in long, or its length.
func place(pkg string) int {
	if i := slices.Index(long, strings.TrimPrefix(pkg, "./")); i >= 0 {
		return i
	}
	return len(long)
}

// list returns the packages of the module in dir, as relative paths: "./session".
func list(ctx context.Context, dir string, errs io.Writer) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-e", "-f", ".{{slice .Dir (len .Module.Dir)}}", "./...")
	cmd.Dir, cmd.Stderr = dir, errs
	out, err := cmd.Output()
	return strings.Fields(filepath.ToSlash(string(out))), err
}

// modulesWithTests returns the folders below root of all modules with a test file,
// outermost first.
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
