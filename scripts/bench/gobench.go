package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// results are the figures of benchmarks, by name. Each round has one figure per unit.
type results map[string][]map[string]float64

// run runs benchmarks of a package and adds their figures. Each benchmark must print a
// figure for every unit.
func (r results) run(ctx context.Context, pkg, bench, benchtime string, units ...string) (printed string, err error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", bench, "-benchmem", "-benchtime", benchtime, pkg)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", pkg, err, out.String())
	}
	return out.String(), r.add(out.String(), units)
}

// line matches a benchmark's output: name, number of cores, number of iterations,
// figures.
var line = regexp.MustCompile(`(?m)^Benchmark(\S+?)(?:-\d+)?\s+\d+\s(.*)$`)

func (r results) add(out string, units []string) error {
	for _, m := range line.FindAllStringSubmatch(out, -1) {
		figures := map[string]float64{}
		for figure := range slices.Chunk(strings.Fields(m[2]), 2) {
			n, err := strconv.ParseFloat(figure[0], 64)
			if err != nil {
				return fmt.Errorf("read %q: %w", m[0], err)
			}
			figures[figure[1]] = n
		}
		for _, unit := range units {
			if _, ok := figures[unit]; !ok {
				return fmt.Errorf("no figure of %s in %q", unit, m[0])
			}
		}
		r[m[1]] = append(r[m[1]], figures)
	}
	return nil
}

// of returns a benchmark's figures for one unit, one per round.
func (r results) of(name, unit string) []float64 {
	return each(r[name], func(figures map[string]float64) float64 { return figures[unit] })
}
