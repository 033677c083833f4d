package cli

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
	exitLeft   = 3 // done, but differences are left
)

// Conclude prints an error, each line after the program's name, and returns the exit code.
func Conclude(w io.Writer, err error) int {
	if err == nil {
		return exitDone
	}
	for line := range strings.Lines(err.Error()) {
		_, _ = fmt.Fprintf(w, "symbolon: %s\n", strings.TrimRight(line, "\n"))
	}
	if h, ok := errors.AsType[*hintError](err); ok {
		_, _ = fmt.Fprintf(w, "symbolon: hint: %s\n", h.hint)
	}
	if _, ok := errors.AsType[*UsageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[*leftError](err); ok {
		return exitLeft
	}
	return exitFailed
}

// leftError says that a command has done its work, but differences are left.
type leftError struct{ n int }

func (e *leftError) Error() string { return fmt.Sprintf("%d differences are left", e.n) }

// Left is the error of a command that left n differences.
func Left(n int) error { return &leftError{n} }

// UsageError makes the program end with exit code 2.
type UsageError struct{ error }

// Unwrap returns the wrapped error.
func (e *UsageError) Unwrap() error { return e.error }

// Usage marks an error as wrong usage, exit code 2.
func Usage(err error) error { return &UsageError{err} }

// hintError is an error with advice.
type hintError struct {
	error
	hint string
}

func (e *hintError) Unwrap() error { return e.error }

// Hint adds a line of advice to an error.
func Hint(err error, format string, args ...any) error {
	return &hintError{err, fmt.Sprintf(format, args...)}
}

// Advice is the hint for an error.
type Advice struct {
	For  error
	Hint string
}

// Advise adds to err the hint of the first row that matches err, if there is one.
func Advise(err error, rows ...Advice) error {
	for _, row := range rows {
		if errors.Is(err, row.For) {
			return Hint(err, "%s", row.Hint)
		}
	}
	return err
}
