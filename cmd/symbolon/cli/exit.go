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
	exitLeft   = 3 // done, but something is left to the operator
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

// leftError says that a command has done its work, but left something to the operator.
type leftError struct{ left string }

func (e *leftError) Error() string { return e.left }

// Left is the error of a command that left n things, such as "difference".
func Left(n int, thing string) error {
	verb := "are"
	if n == 1 {
		verb = "is"
	}
	return &leftError{fmt.Sprintf("%s %s left", Count(n, thing), verb)}
}

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
