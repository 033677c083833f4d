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
	ImportPath string // the built package, in build-output and build-fail
	Test       string
	Elapsed    float64
	Output     string
}

// running is the state of a package whose tests run.
type running struct {
	started time.Time
	passed  int                 // number of tests
	failed  bool                // a test failed
	printed map[string][]string // output by unfinished test; the package's own output has the key ""
	order   []string            // tests in the order of their start
}

// report adds up events. It writes one line per package and everything about a failure.
type report struct {
	out   io.Writer
	begun time.Time

	mu       sync.Mutex // guards the fields below and writes to out
	packages map[string]*running
	spans    []span

	passed          int
	failed, skipped []string
}

func newReport(out io.Writer) *report {
	return &report{out: out, begun: time.Now(), packages: map[string]*running{}}
}

func (r *report) clock() time.Duration { return time.Since(r.begun) }

// read adds up the events of one `go test`. It may be called concurrently.
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
		r.printf("%s", line) // output of go test itself
	}
}

func (r *report) add(e event, lane int) {
	p := r.packages[e.Package]
	if p == nil {
		p = &running{printed: map[string][]string{}}
		r.packages[e.Package] = p
	}
	switch e.Action {
	case "start":
		p.started = e.Time
	case "build-output":
		r.printf("%s", e.Output)
	case "output":
		if _, known := p.printed[e.Test]; !known {
			p.order = append(p.order, e.Test)
		}
		p.printed[e.Test] = append(p.printed[e.Test], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(p, e, lane)
		} else {
			r.endTest(p, e)
		}
	}
}

func (r *report) endTest(p *running, e event) {
	switch e.Action {
	case "pass":
		r.passed++
		p.passed++
	case "fail":
		p.failed = true
		r.failed = append(r.failed, e.Package+" "+e.Test)
		r.show(p.printed[e.Test])
	case "skip":
		r.skipped = append(r.skipped, e.Package+" "+e.Test)
		r.show(p.printed[e.Test])
	}
	delete(p.printed, e.Test)
}

func (r *report) endPackage(p *running, e event, lane int) {
	if !p.started.IsZero() {
		r.spans = append(r.spans, span{e.Package, lane, p.started.Sub(r.begun), e.Time.Sub(r.begun)})
	}
	switch e.Action {
	case "pass":
		r.printf("ok    %-60s %6.1fs %5d tests\n", e.Package, e.Elapsed, p.passed)
	case "fail":
		for _, test := range p.order { // unfinished tests, after a panic or a timeout
			r.show(p.printed[test])
		}
		if !p.failed {
			r.failed = append(r.failed, e.Package)
		}
		r.printf("FAIL  %-60s %6.1fs\n", e.Package, e.Elapsed)
	}
	delete(r.packages, e.Package)
}

// show writes a test's output without the lines of the test framework.
func (r *report) show(printed []string) {
	for _, line := range printed {
		if !strings.HasPrefix(line, "=== ") {
			r.printf("%s", line)
		}
	}
}

// finish writes the sums. It returns an error if a test failed or was skipped.
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
		return errors.New("tests were skipped, and a skipped test proves nothing")
	case r.passed == 0:
		return errors.New("no test ran")
	}
	return nil
}

func (r *report) printf(format string, args ...any) { _, _ = fmt.Fprintf(r.out, format, args...) }
