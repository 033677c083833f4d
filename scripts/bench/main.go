// Bench measures what Symbolon costs beside the least that could do the same, in
// interleaved rounds of one run, and writes the medians to BENCHMARKS.md. Machines
// differ and are shared: the ratios count, not the times. `make bench` builds it, because
// it is a module of its own, and it runs in the root of the repository:
//
//	bin/bench [-rounds 5] [-o BENCHMARKS.md]
//	bin/bench auth [-rounds 80] [-slice 200ms] [-conns 8] [-sessions 200] [-o BENCHMARKS.md]
//	bin/bench reconcile [-n 100000] [-rounds 5] [-kratos 10000] [-o BENCHMARKS.md]
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pair is one line of the table: a benchmark, and its baseline in the same package.
type pair struct {
	what, pkg, ours, baseline string
}

var pairs = []pair{
	{"reserve hook, against reading the body and answering as many bytes", "./hooks", "Reserve/symbolon", "Reserve/floor"},
	{"link transaction, SQLite (FULL), one by one", "./sqlstore", "Link/sqlite/write/one", "Link/sqlite/bare/one"},
	{"link transaction, SQLite (FULL), 16 at once", "./sqlstore", "Link/sqlite/write/parallel", "Link/sqlite/bare/parallel"},
	{"link transaction, Postgres, one by one", "./sqlstore", "Link/postgres/write/one", "Link/postgres/bare/one"},
	{"link transaction, Postgres, 16 at once", "./sqlstore", "Link/postgres/write/parallel", "Link/postgres/bare/parallel"},
	{"look and link, SQLite, one by one", "./sqlstore", "Link/sqlite/look+write/one", "Link/sqlite/bare/one"},
	{"look and link, Postgres, one by one", "./sqlstore", "Link/postgres/look+write/one", "Link/postgres/bare/one"},
}

// result is what one benchmark printed in each round.
type result struct {
	ns     []float64
	allocs string
}

func main() {
	if text := os.Getenv(taskVariable); text != "" {
		exit(perform(text))
	}
	if len(os.Args) > 1 && os.Args[1] == "auth" {
		exit(benchAuth(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "reconcile" {
		exit(benchReconcile(os.Args[2:]))
	}
	rounds := flag.Int("rounds", 5, "how often everything is measured")
	out := flag.String("o", "BENCHMARKS.md", "where the table goes; - for standard output only")
	benchtime := flag.String("benchtime", "1s", "how long each is measured in a round")
	flag.Parse()
	exit(run(*rounds, *benchtime, *out))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(rounds int, benchtime, out string) error {
	results := map[string]*result{}
	for round := range rounds {
		for _, pkg := range []string{"./hooks", "./sqlstore"} {
			fmt.Fprintf(os.Stderr, "bench: round %d of %d, %s\n", round+1, rounds, pkg)
			if err := measure(pkg, benchtime, results); err != nil {
				return err
			}
		}
	}
	text, err := table(rounds, benchtime, results)
	if err != nil {
		return err
	}
	fmt.Fprint(os.Stdout, text)
	if out == "-" {
		return nil
	}
	return writePart(out, "", text)
}

var line = regexp.MustCompile(`(?m)^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op(?:.*?(\d+) allocs/op)?`)

func measure(pkg, benchtime string, results map[string]*result) error {
	cmd := exec.CommandContext(context.Background(), "go", "test", "-run", "^$", "-bench", "Reserve|Link", "-benchmem", "-benchtime", benchtime, pkg)
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", pkg, err, stdout.String())
	}
	return collect(stdout.String(), results)
}

// collect adds what the benchmarks of one round printed.
func collect(out string, results map[string]*result) error {
	for _, m := range line.FindAllStringSubmatch(out, -1) {
		ns, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return err
		}
		r := results[m[1]]
		if r == nil {
			r = &result{}
			results[m[1]] = r
		}
		r.ns, r.allocs = append(r.ns, ns), m[3]
	}
	return nil
}

func table(rounds int, benchtime string, results map[string]*result) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, `# Benchmarks

What Symbolon costs beside the least that could do the same, measured in the same run: medians of %d interleaved rounds
of %s each. The ratio counts; the times are one machine's, shared with others.

`+"```\nmake bench\n```"+`

Measured %s on %s/%s, %d cores, %s.

| What | Baseline | Symbolon | Ratio | Allocations |
|---|---:|---:|---:|---:|
`, rounds, benchtime, time.Now().UTC().Format("2006-01-02"), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	for _, p := range pairs {
		ours, base := results[p.ours], results[p.baseline]
		if ours == nil || base == nil {
			return "", fmt.Errorf("no figures for %s", p.what)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %.2f | %s |\n", p.what, span(median(base.ns)), span(median(ours.ns)), ratio(ours.ns, base.ns), ours.allocs)
	}
	b.WriteString(notes)
	return b.String(), nil
}

const notes = `
- **Reserve:** the baseline reads the same body and writes as many bytes. Beyond it: the key's digest, a strict JSON pass over
  the body, and the HMAC of the minted ID.
- **Link transaction:** the baseline inserts the same three rows (user, ledger, event) in one transaction, by statements that know
  nothing. Beyond it: the lock on the identity's entry, and reading what is held before deciding.
`

// ratio is the median of the rounds' own ratios: what slows a whole round down
// slows both sides.
func ratio(ours, base []float64) float64 {
	var r []float64
	for i := range min(len(ours), len(base)) {
		r = append(r, ours[i]/base[i])
	}
	return median(r)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

func span(ns float64) string {
	switch {
	case ns < 1e3:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < 1e6:
		return fmt.Sprintf("%.2f µs", ns/1e3)
	}
	return fmt.Sprintf("%.2f ms", ns/1e6)
}
