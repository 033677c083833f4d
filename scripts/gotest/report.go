package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Time       time.Time
	Action     string
	Package    string
	ImportPath string // of what was built, for build-output and build-fail
	Test       string
	Elapsed    float64
	Output     string
}

// key names a test, or with an empty test its package.
type key struct{ pkg, test string }

// report adds events up and writes what is worth reading: one line for a
// package, everything about a failure.
type report struct {
	out   io.Writer
	begun time.Time

	mu      sync.Mutex       // protects everything below, and writing to out
	printed map[key][]string // by tests that have not ended
	order   map[string][]key // those tests by package, in order of appearance
	count   map[string]int   // tests that passed, by package
	broken  map[string]bool  // packages with a failed test
	started map[string]time.Time
	spans   []span

	passed          int
	failed, skipped []string
}

func newReport(out io.Writer) *report {
	return &report{
		out: out, begun: time.Now(), started: map[string]time.Time{}, printed: map[key][]string{}, order: map[string][]key{},
		count: map[string]int{}, broken: map[string]bool{},
	}
}

func (r *report) clock() time.Duration { return time.Since(r.begun) }

// read adds the events of one `go test` up. Several may be read at once.
func (r *report) read(events io.Reader, lane int) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		r.readLine(line, lane)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) readLine(line []byte, lane int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var e event
	if json.Unmarshal(line, &e) == nil {
		r.add(e, lane)
	} else if len(line) > 0 {
		r.printf("%s", line) // go test itself had something to say
	}
}

func (r *report) add(e event, lane int) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "start":
		r.started[e.Package] = e.Time
	case "build-output":
		r.printf("%s", e.Output)
	case "output":
		if _, known := r.printed[k]; !known {
			r.order[e.Package] = append(r.order[e.Package], k)
		}
		r.printed[k] = append(r.printed[k], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e, lane)
		} else {
			r.endTest(e)
		}
	}
}

func (r *report) endTest(e event) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "pass":
		r.passed++
		r.count[e.Package]++
	case "fail":
		r.broken[e.Package] = true
		r.failed = append(r.failed, e.Package+" "+e.Test)
		r.show(k)
	case "skip":
		r.skipped = append(r.skipped, e.Package+" "+e.Test)
		r.show(k)
	}
	delete(r.printed, k)
}

func (r *report) endPackage(e event, lane int) {
	if start, ok := r.started[e.Package]; ok {
		r.spans = append(r.spans, span{e.Package, lane, start.Sub(r.begun), e.Time.Sub(r.begun)})
	}
	switch e.Action {
	case "pass":
		r.printf("ok    %-60s %6.1fs %5d tests\n", e.Package, e.Elapsed, r.count[e.Package])
	case "fail":
		for _, k := range r.order[e.Package] { // a panic, a timeout: what was running
			r.show(k)
		}
		if !r.broken[e.Package] {
			r.failed = append(r.failed, e.Package)
		}
		r.printf("FAIL  %-60s %6.1fs\n", e.Package, e.Elapsed)
	}
	for _, k := range r.order[e.Package] {
		delete(r.printed, k)
	}
	delete(r.order, e.Package)
}

// show writes what a test printed, without the frames around it.
func (r *report) show(k key) {
	for _, line := range r.printed[k] {
		if !strings.HasPrefix(line, "=== ") {
			r.printf("%s", line)
		}
	}
}

// finish writes the sum and returns an error unless all went well.
func (r *report) finish() error {
	r.printTimes()
	for _, name := range r.failed {
		r.printf("failed:  %s\n", name)
	}
	for _, name := range r.skipped {
		r.printf("skipped: %s\n", name)
	}
	r.printf("%d passed, %d failed, %d skipped\n", r.passed, len(r.failed), len(r.skipped))
	switch {
	case len(r.failed) > 0:
		return errors.New("tests failed")
	case len(r.skipped) > 0:
		return errors.New("tests were skipped, and what did not run proves nothing")
	case r.passed == 0:
		return errors.New("no test ran")
	}
	return nil
}

func (r *report) printf(format string, args ...any) { _, _ = fmt.Fprintf(r.out, format, args...) }
