// Command gotest runs the tests of every module below the working directory
// and adds them up. It differs from `go test ./...` in three things: nested
// modules are tested too, only what failed is shown, and a skipped test fails
// the run, because a test that did not run must not look green.
//
//	go run ./scripts/gotest -race -timeout 20m
//
// Its arguments go to `go test`. The last line is "N passed, N failed, N skipped".
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	modules, err := modulesWithTests(".")
	if err != nil {
		return fmt.Errorf("look for modules: %w", err)
	}
	report := newReport(out)
	var failed []error
	for _, dir := range modules {
		if err := test(ctx, dir, args, report, errs); err != nil {
			failed = append(failed, fmt.Errorf("go test in %s: %w", dir, err))
		}
	}
	if err := report.finish(); err != nil {
		return err // says more than "exit status 1"
	}
	return errors.Join(failed...)
}

func test(ctx context.Context, dir string, args []string, report *report, errs io.Writer) error {
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"test", "-json"}, args...), "./...")...) //nolint:gosec // the caller's own arguments
	cmd.Dir, cmd.Stderr = dir, errs
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := report.read(events)
	return errors.Join(readErr, cmd.Wait())
}

// modulesWithTests returns the folders of the modules below root that have a
// test file, outermost first.
func modulesWithTests(root string) ([]string, error) {
	var modules []string
	tested := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules"):
			return filepath.SkipDir
		case name == "go.mod":
			modules = append(modules, filepath.Dir(path))
		case strings.HasSuffix(name, "_test.go"):
			tested[filepath.Dir(path)] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	sort.Slice(modules, func(i, j int) bool { return len(modules[i]) < len(modules[j]) })
	has := map[string]bool{}
	for dir := range tested {
		has[moduleOf(dir, modules)] = true
	}
	var result []string
	for _, module := range modules {
		if has[module] {
			result = append(result, module)
		}
	}
	return result, nil
}

// moduleOf returns the innermost of modules that holds dir.
func moduleOf(dir string, modules []string) string {
	found := ""
	for _, module := range modules {
		if module == "." || dir == module || strings.HasPrefix(dir, module+string(filepath.Separator)) {
			found = module
		}
	}
	return found
}
