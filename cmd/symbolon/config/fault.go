package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
)

// Fault is one thing that is wrong with the configuration.
type Fault struct {
	path  string // ory.public_url; empty for the whole file
	where string // "symbolon.yaml line 3", "SYMBOLON_SECRET"; empty if the key was not set
	text  string // what is wrong and what would be right; never the value
}

// String is the key, the fault and the place.
func (f Fault) String() string {
	s := f.text
	if f.path != "" {
		s = f.path + ": " + s
	}
	if f.where != "" {
		s += " (" + f.where + ")"
	}
	return s
}

// Error lists every fault of a configuration.
type Error struct{ faults []Fault }

// Error has a line for each fault.
func (e *Error) Error() string {
	lines := make([]string, len(e.faults))
	for i, f := range e.faults {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// report collects the faults and warnings of a configuration.
type report struct {
	faults   []Fault
	more     bool // there are faults that are not shown
	warnings []Fault
	where    map[string]string // where each key that was set came from
}

// maxFaults is the number of faults that are shown. A file with more of them is no
// configuration.
const maxFaults = 100

// fault records what is wrong with the key at path. Only the first fault of a key is kept,
// because the others mostly follow from it.
func (r *report) fault(path, format string, args ...any) {
	r.faultAt(path, r.origin(path), format, args...)
}

// faultIf calls fault if bad is true.
func (r *report) faultIf(bad bool, path, format string, args ...any) {
	if bad {
		r.fault(path, format, args...)
	}
}

// rule is a fault that the key at path has if bad is true.
type rule struct {
	bad        bool
	path, text string
}

// rules records the fault of every rule that is broken.
func (r *report) rules(rules ...rule) {
	for _, rule := range rules {
		r.faultIf(rule.bad, rule.path, "%s", rule.text)
	}
}

// outside reports whether a duration is less than min or more than max. Zero means none,
// and is never outside.
func outside(d, min, max time.Duration) bool { return d != 0 && (d < min || d > max) }

// faultIn calls fault with the text of err. If err is nil, it does nothing.
func (r *report) faultIn(path string, err error) {
	if err != nil {
		r.fault(path, "%s", err)
	}
}

func (r *report) faultAt(path, where, format string, args ...any) {
	switch {
	case path != "" && slices.ContainsFunc(r.faults, func(f Fault) bool { return f.path == path }):
	case len(r.faults) >= maxFaults:
		r.more = true
	default:
		r.faults = append(r.faults, Fault{path, where, fmt.Sprintf(format, args...)})
	}
}

// warn records a setting that is allowed but probably a mistake.
func (r *report) warn(path, format string, args ...any) {
	r.warnings = append(r.warnings, Fault{path, r.origin(path), fmt.Sprintf(format, args...)})
}

// origin says where the value at path was set. For an element it is the origin of the list.
func (r *report) origin(path string) string {
	list, _, _ := strings.Cut(path, "[")
	return r.where[list]
}

// err is nil or a *Error, which ends the program with exit code 2.
func (r *report) err() error {
	if len(r.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(r.faults, func(a, b Fault) int { return strings.Compare(a.path, b.path) })
	if r.more {
		r.faults = append(r.faults, Fault{text: fmt.Sprintf("there are more faults; these are the first %d", maxFaults)})
	}
	return cli.Usage(&Error{r.faults})
}
