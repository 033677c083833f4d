// Package faults collects the errors in the fields of a struct as one error. A user of the
// library reads its text. A program that read the fields from a configuration file asks for
// the error of each field.
package faults

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Fields holds the faults of a struct by field, such as "Issuer" or "Login.ReturnTo[0]".
type Fields struct {
	of     string
	faults map[string]error
}

// Of returns Fields without faults for the struct of this name.
func Of(name string) *Fields { return &Fields{name, map[string]error{}} }

// Add adds a fault. A field keeps its first fault, and nil is ignored.
func (f *Fields) Add(field string, fault error) {
	if fault != nil && f.faults[field] == nil {
		f.faults[field] = fault
	}
}

// Say is Add for a text.
func (f *Fields) Say(field, text string) { f.Add(field, errors.New(text)) }

// Take adds the faults of a field that is a struct with a Check of its own.
func (f *Fields) Take(field string, err error) {
	inner := In(err)
	if len(inner) == 0 {
		f.Add(field, err)
	}
	for name, fault := range inner {
		f.Add(field+"."+name, fault)
	}
}

// Err returns nil if there are no faults.
func (f *Fields) Err() error {
	if len(f.faults) == 0 {
		return nil
	}
	return f
}

// Error has a line for each field, in order.
func (f *Fields) Error() string {
	var lines []string
	for _, field := range slices.Sorted(maps.Keys(f.faults)) {
		lines = append(lines, fmt.Sprintf("%s.%s: %s", f.of, field, f.faults[field]))
	}
	return strings.Join(lines, "\n")
}

func (f *Fields) Unwrap() []error { return slices.Collect(maps.Values(f.faults)) }

// In returns the faults of an error by field. It is empty for nil, and for an error that
// concerns no field.
func In(err error) map[string]error {
	f, ok := errors.AsType[*Fields](err)
	if !ok {
		return nil
	}
	return f.faults
}
