package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// parallel is what many goroutines at once cost, and how long they waited for locks.
type parallel struct {
	waited float64  // percent of the time that all of them had
	locks  []string // where, the longest first
}

// held is what a million sessions take up.
type held struct{ sessions, bytes, counted float64 }

// inside is what one of the middleware's benchmarks told in each round: nanoseconds of
// the floor and of ours, the ratio of their turns, and allocations.
type inside struct{ floor, ours, ratio, allocs []float64 }

// In process a round is long: 150 turns in one process.
const (
	insideRounds = 5
	insideTurns  = "150x"
)

// inProcess runs the benchmarks of package session, in rounds of a process each.
func (b *authBench) inProcess(ctx context.Context, f *authFigures) error {
	program := filepath.Join(b.dir, "session.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", program, "./session")
	build.Dir, build.Stderr = b.root, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build the benchmarks of ./session: %w", err)
	}
	run := func(bench, time string) (string, error) {
		cmd := exec.CommandContext(ctx, program, "-test.run", "^$", "-test.bench", bench, "-test.benchmem", "-test.benchtime", time, "-test.timeout", "5m")
		var out bytes.Buffer
		cmd.Dir, cmd.Stdout, cmd.Stderr = filepath.Join(b.root, "session"), &out, os.Stderr
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("benchmark %s: %w\n%s", bench, err, out.String())
		}
		return out.String(), nil
	}
	f.inside = map[string]*inside{}
	for round := range min(insideRounds, b.rounds) {
		say("round %d of %d in process", round+1, min(insideRounds, b.rounds))
		out, err := run("^BenchmarkMiddleware$", insideTurns)
		if err != nil {
			return err
		}
		if err := readInside(out, f.inside); err != nil {
			return err
		}
	}
	out, err := run("^BenchmarkContention$", "3s")
	if err != nil {
		return err
	}
	if f.parallel, err = readParallel(out); err != nil || !b.held {
		return err
	}
	say("holding a million sessions")
	if out, err = run("^BenchmarkHeld$", "1x"); err != nil {
		return err
	}
	f.held, err = readHeld(out)
	return err
}

// figure finds what a benchmark reported under a unit of its own.
func figure(out, unit string) (float64, error) {
	m := regexp.MustCompile(`([\d.e+-]+) ` + regexp.QuoteMeta(unit) + `(?:\s|$)`).FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("no figure of %s in:\n%s", unit, out)
	}
	return strconv.ParseFloat(m[1], 64)
}

func readInside(out string, into map[string]*inside) error {
	for text := range strings.Lines(out) {
		name, ok := strings.CutPrefix(text, "BenchmarkMiddleware/")
		if !ok {
			continue
		}
		name, _, _ = strings.Cut(name, "-") // the number of cores
		if into[name] == nil {
			into[name] = &inside{}
		}
		at := into[name]
		for unit, to := range map[string]*[]float64{"ns/floor": &at.floor, "ns/require": &at.ours, "ratio": &at.ratio, "allocs/require": &at.allocs} {
			n, err := figure(text, unit)
			if err != nil {
				return err
			}
			*to = append(*to, n)
		}
	}
	return nil
}

func readParallel(out string) (p parallel, err error) {
	p.waited, err = figure(out, "%waited")
	for text := range strings.Lines(out) {
		if _, lock, ok := strings.Cut(text, "waited for: "); ok {
			p.locks = append(p.locks, strings.TrimSpace(lock))
		}
	}
	return p, err
}

func readHeld(out string) (h held, err error) {
	for unit, to := range map[string]*float64{"sessions": &h.sessions, "bytes/session": &h.bytes, "counted/session": &h.counted} {
		if *to, err = figure(out, unit); err != nil {
			return h, err
		}
	}
	return h, nil
}
