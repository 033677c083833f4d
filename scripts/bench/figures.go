package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
)

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }

// machine returns the date and the machine of a measurement.
func machine() string {
	return fmt.Sprintf("%s on %s/%s, %d cores, %s", time.Now().UTC().Format("2006-01-02"), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
}

// each returns one figure of every round.
func each[Round any](rounds []Round, figure func(Round) float64) []float64 {
	out := make([]float64, len(rounds))
	for i, round := range rounds {
		out[i] = figure(round)
	}
	return out
}

// ratio returns the median of the ratios of the rounds. A disturbance that slows a whole
// round slows both sides.
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

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
