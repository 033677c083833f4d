// Package faults collects the errors in the fields of a struct as one error. A user of the
// library reads the text of this error. A program that reads the fields from a
// configuration file asks for the error of each field.
package faults

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Fields holds the errors of a struct by field, such as "Issuer" or "Login.ReturnTo[0]".
type Fields struct {
	of     string
	faults map[string]error
}

// Of returns Fields without errors, for the struct with this name.
func Of(name string) *Fields { return &Fields{name, map[string]error{}} }

// Add adds an error. A field keeps its first error, and nil is ignored.
func (f *Fields) Add(field string, fault error) {
	if fault != nil && f.faults[field] == nil {
		f.faults[field] = fault
	}
}

// Say is Add with a text.
func (f *Fields) Say(field, text string) { f.Add(field, errors.New(text)) }

// Take adds the errors of a field that is a struct with its own Check.
func (f *Fields) Take(field string, err error) {
	inner := In(err)
	if len(inner) == 0 {
		f.Add(field, err)
	}
	for name, fault := range inner {
		f.Add(field+"."+name, fault)
	}
}

// Err returns nil if there are no errors.
func (f *Fields) Err() error {
	if len(f.faults) == 0 {
		return nil
	}
	return f
}

// Error returns a line for each field, sorted by field.
func (f *Fields) Error() string {
	var lines []string
	for _, field := range slices.Sorted(maps.Keys(f.faults)) {
		lines = append(lines, fmt.Sprintf("%s.%s: %s", f.of, field, f.faults[field]))
	}
	return strings.Join(lines, "\n")
}

func (f *Fields) Unwrap() []error { return slices.Collect(maps.Values(f.faults)) }

// In returns the errors in err by field. The map is empty if err is nil or concerns no
// field.
func In(err error) map[string]error {
	f, ok := errors.AsType[*Fields](err)
	if !ok {
		return nil
	}
	return f.faults
}
