package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
)

// Fault is one thing that is wrong with the configuration.
type Fault struct {
	path  string // ory.public_url; empty: the file as a whole
	where string // "symbolon.yaml line 3", "SYMBOLON_SECRET"; empty: nowhere, it is missing
	text  string // what is wrong and what would be right; never a value
}

// String is the key, what is wrong with it, and where it stands.
func (f Fault) String() string {
	var b strings.Builder
	if f.path != "" {
		b.WriteString(f.path + ": ")
	}
	b.WriteString(f.text)
	if f.where != "" {
		b.WriteString(" (" + f.where + ")")
	}
	return b.String()
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

// report collects what is wrong while a configuration is read and checked.
type report struct {
	faults   []Fault
	more     bool // there are faults that are not shown
	warnings []Fault
	where    map[string]string // where each key that was set came from
	bad      map[string]bool   // the keys that have a fault
}

// maxFaults is how many are shown: who has more did not mean to write this file.
const maxFaults = 100

// fault records what is wrong with the key at path. Only the first fault of a key
// counts: what comes after it is mostly a consequence.
func (r *report) fault(path, format string, args ...any) {
	r.faultAt(path, r.origin(path), format, args...)
}

// faultIn is fault for what the Check of a library's struct says of a field; nil: nothing.
func (r *report) faultIn(path string, err error) {
	if err != nil {
		r.fault(path, "%s", err)
	}
}

func (r *report) faultAt(path, where, format string, args ...any) {
	switch {
	case path != "" && r.bad[path]:
	case len(r.faults) >= maxFaults:
		r.more = true
	default:
		r.faults = append(r.faults, Fault{path, where, fmt.Sprintf(format, args...)})
		if r.bad == nil {
			r.bad = map[string]bool{}
		}
		r.bad[path] = true
	}
}

// warn records what is allowed and probably not meant.
func (r *report) warn(path, format string, args ...any) {
	r.warnings = append(r.warnings, Fault{path, r.origin(path), fmt.Sprintf(format, args...)})
}

// origin says where the value at path came from, an element's being its list's.
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
		r.faults = append(r.faults, Fault{text: fmt.Sprintf("there are more: these are the first %d", maxFaults)})
	}
	return cli.Usage(&Error{r.faults})
}
