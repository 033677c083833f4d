// Package cli is what every command shares: where it reads and writes, how it fails, and
// with which exit code.
package cli

import (
	"context"
	"io"
)

// Stdio is where a command writes, results to out, all else to err, and what it asks for
// answers; in may be nil.
type Stdio struct {
	In       io.Reader
	Out, Err io.Writer
}

// App is what every command is given.
type App struct {
	Stdio
	Ctx        context.Context
	Env        map[string]string
	ConfigFile string // the file that --config names, or empty
}
