package main

import (
	"context"
	"io"
)

// stdio is where a command writes, results to out, all else to err, and what it asks for
// answers; in may be nil.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// app is what every command is given.
type app struct {
	stdio
	ctx    context.Context
	env    map[string]string
	config string // the file that --config names, or empty
}
