package main

import (
	"context"
	"strings"
)

// A round in process is long: 150 iterations in one process.
const (
	insideRounds = 5
	insideTurns  = "150x"
)

// inProcess runs the benchmarks of package session. Each round is a new process.
func (b *authBench) inProcess(ctx context.Context, f *authFigures) error {
	f.inside = results{}
	for round := range min(insideRounds, b.rounds) {
		say("round %d of %d in process", round+1, min(insideRounds, b.rounds))
		if _, err := f.inside.run(ctx, "./session", "^BenchmarkMiddleware$", insideTurns, "ns/floor", "ns/require", "ratio", "allocs/require"); err != nil {
			return err
		}
	}
	printed, err := f.inside.run(ctx, "./session", "^BenchmarkContention$", "3s", waited)
	if err != nil {
		return err
	}
	for text := range strings.Lines(printed) {
		if _, lock, ok := strings.Cut(text, "waited for: "); ok {
			f.locks = append(f.locks, strings.TrimSpace(lock))
		}
	}
	if !b.held {
		return nil
	}
	say("holding a million sessions")
	_, err = f.inside.run(ctx, "./session", "^BenchmarkHeld$", "1x", "sessions", "bytes/session")
	return err
}

// waited is the time that goroutines waited for locks, in percent of the time of all
// goroutines.
const waited = "%waited"
