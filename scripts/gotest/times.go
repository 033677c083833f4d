package main

import (
	"slices"
	"time"
)

// span is the time in which a package's tests ran, from the start of the run.
type span struct {
	pkg        string
	lane       int
	start, end time.Duration
}

func (s span) took() time.Duration { return s.end - s.start }

// shown is the number of packages in the report of the slowest.
const shown = 15

// printTimes writes the slowest packages and the critical path.
func (r *report) printTimes() {
	spans := slices.DeleteFunc(slices.Clone(r.spans), func(s span) bool { return s.took() < time.Second })
	if len(spans) == 0 {
		return
	}
	slices.SortFunc(spans, func(a, b span) int { return int(b.took() - a.took()) })
	r.printf("slowest packages, with the seconds that each took and the second at which it began:\n")
	for _, s := range spans[:min(shown, len(spans))] {
		r.printf("  %7.1f  at %7.1f  %s\n", s.took().Seconds(), s.start.Seconds(), s.pkg)
	}
	r.printf("critical path:\n")
	var before time.Duration
	for _, s := range criticalPath(spans) {
		if wait := s.start - before; wait >= time.Second {
			r.printf("  %7.1f  builds and short packages\n", wait.Seconds())
		}
		r.printf("  %7.1f  %s\n", s.took().Seconds(), s.pkg)
		before = s.end
	}
	r.printf("  %7.1f  until the end: %.1f s in all\n", (r.clock() - before).Seconds(), r.clock().Seconds())
}

// criticalPath returns the packages that determined the end of the run: the last to end,
// and before each of them the last package of its lane that ended before its start.
func criticalPath(spans []span) []span {
	last := slices.MaxFunc(spans, func(a, b span) int { return int(a.end - b.end) })
	path := []span{last}
	for {
		var previous span
		for _, s := range spans {
			if s.lane == last.lane && s.end <= last.start && s.end > previous.end {
				previous = s
			}
		}
		if previous.pkg == "" {
			slices.Reverse(path)
			return path
		}
		path = append(path, previous)
		last = previous
	}
}
