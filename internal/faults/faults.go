// Package faults holds everything that is wrong with the fields of a struct, as one
// error. A library's user reads its text; a program that has the fields from a
// configuration file asks for each field's own.
package faults

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Fields are the faults of a struct by the names of its fields: "Issuer",
// "Login.ReturnTo[0]".
type Fields struct {
	of     string
	faults map[string]error
}

// Of returns no faults yet of a struct of this name.
func Of(name string) *Fields { return &Fields{name, map[string]error{}} }

// Add takes in a fault. A field keeps its first one.
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

// Err returns nil where nothing is wrong.
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
// is of no field.
func In(err error) map[string]error {
	var f *Fields
	if !errors.As(err, &f) {
		return nil
	}
	return f.faults
}
