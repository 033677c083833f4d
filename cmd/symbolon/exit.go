package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage or wrong configuration
	exitLeft   = 3 // done, and differences are left
)

// conclude prints an error, every line of it behind the program's name, and says
// what the program ends with.
func conclude(w io.Writer, err error) int {
	if err == nil {
		return exitDone
	}
	for line := range strings.Lines(err.Error()) {
		_, _ = fmt.Fprintf(w, "symbolon: %s\n", strings.TrimRight(line, "\n"))
	}
	var h *hintError
	if errors.As(err, &h) {
		_, _ = fmt.Fprintf(w, "symbolon: hint: %s\n", h.hint)
	}
	var u *usageError
	if errors.As(err, &u) {
		return exitUsage
	}
	var left *leftError
	if errors.As(err, &left) {
		return exitLeft
	}
	return exitFailed
}

// leftError says that a command did its work and differences are left.
type leftError struct{ n int }

func (e *leftError) Error() string { return fmt.Sprintf("%d differences are left", e.n) }

// left is the error of a command that left n differences.
func left(n int) error { return &leftError{n} }

// usageError makes the program end with exit code 2.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func usage(err error) error { return &usageError{err} }

// hintError is an error with a line on what to do about it.
type hintError struct {
	error
	hint string
}

func (e *hintError) Unwrap() error { return e.error }

func hint(err error, format string, args ...any) error {
	return &hintError{err, fmt.Sprintf(format, args...)}
}
