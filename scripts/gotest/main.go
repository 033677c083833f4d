// Command gotest runs the tests of every module below the working directory and adds up
// the results. It differs from `go test ./...`: it also tests nested modules, it shows
// only failures in full, and a skipped test fails the run, because a skipped test proves
// nothing.
//
//	go run ./scripts/gotest -race=packages -timeout 20m
//
// Its arguments are passed to `go test`, except -race=packages. With it the packages and
// the end-to-end tests of the server run with the race detector, and the other end-to-end
// tests without. They run side by side, because end-to-end tests mostly wait for
// processes. The report ends with the slowest packages, the critical path, and the line
// "N passed, N failed, N skipped".
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
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
	options, split := readArguments(args)
	jobs, err := plan(ctx, modules, split, errs)
	if err != nil {
		return err
	}
	report := newReport(out)
	failed := runJobs(ctx, jobs, options, report, errs)
	if err := report.finish(); err != nil {
		return err // has more details than "exit status 1"
	}
	return failed
}

// lanes is the number of `go test` commands that run at once. Two lanes start with
// end-to-end tests, which mostly wait, and the third with the packages, which mostly
// compute. The third goes on alone at the end.
const lanes = 3

// runJobs runs the jobs in order in the lanes. With -p there is one lane, because the
// caller then sets the number of packages that run at once.
func runJobs(ctx context.Context, jobs []job, options []string, report *report, errs io.Writer) error {
	width := lanes
	if slices.ContainsFunc(options, func(arg string) bool { return isFlag(arg, "p") }) {
		width = 1
	}
	free := make(chan int, width)
	for lane := range width {
		free <- lane
	}
	errs = &sharedWriter{w: errs}
	failed := make([]error, len(jobs))
	var running sync.WaitGroup
	for i, j := range jobs {
		lane := <-free
		if i+1 < len(jobs) && shareBuilds(j, jobs[i+1]) {
			compile(ctx, j)
		}
		running.Go(func() {
			if err := test(ctx, lane, j, options, report, errs); err != nil {
				failed[i] = fmt.Errorf("%s: %w", j, err)
			}
			free <- lane
		})
	}
	running.Wait()
	return errors.Join(failed...)
}

// shareBuilds reports whether two jobs compile the same packages with the race detector.
func shareBuilds(a, b job) bool {
	return a.dir == b.dir && slices.Contains(a.flags, ours) && slices.Contains(b.flags, ours)
}

// compile fills Go's build cache for a job. Two `go test` that start at the same time would
// each compile every changed package. Errors are left to `go test`, which reports them.
func compile(ctx context.Context, j job) {
	cmd := exec.CommandContext(ctx, "go", "list", "-e", "-race", ours, "-export", "-f", "{{/* only build */}}", "./...")
	cmd.Dir = j.dir
	_ = cmd.Run()
}

// sharedWriter is a writer for several lanes at once.
type sharedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *sharedWriter) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(b)
}

func test(ctx context.Context, lane int, j job, options []string, report *report, errs io.Writer) error {
	args := slices.Concat([]string{"test", "-json"}, j.flags, options, j.packages) // the caller's options override, because they come last
	cmd := exec.CommandContext(ctx, "go", args...)                                 //nolint:gosec // the caller's own arguments
	cmd.Dir, cmd.Stderr = j.dir, errs
	cmd.Env = append(os.Environ(), j.env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := report.read(events, lane)
	return errors.Join(readErr, cmd.Wait())
}

// readArguments returns the options for every `go test`, and whether packages and
// end-to-end tests run with different options. As in go, the last -race is used.
func readArguments(args []string) (options []string, split bool) {
	for _, arg := range args {
		switch {
		case isFlag(arg, "race") && strings.HasSuffix(arg, "=packages"):
			split = true
			continue
		case isFlag(arg, "race"):
			split = false
		}
		options = append(options, arg)
	}
	return options, split
}

// isFlag reports whether arg is -name or --name, with a value or without.
func isFlag(arg, name string) bool {
	dashed, _, _ := strings.Cut(arg, "=")
	return dashed == "-"+name || dashed == "--"+name
}
