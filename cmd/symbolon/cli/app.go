// Package cli is shared by all commands: input and output, errors and exit codes.
package cli

import (
	"context"
	"errors"
	"io"
)

// ErrInterrupted is the cause of a context that ended by SIGINT (Ctrl-C).
var ErrInterrupted = errors.New("interrupted")

// Stdio are the streams of a command. Results go to Out, and everything else to Err. In may
// be nil.
type Stdio struct {
	In       io.Reader
	Out, Err io.Writer
}

// App is the argument of every command.
type App struct {
	Stdio
	Ctx        context.Context
	Env        map[string]string
	ConfigFile string // the file of --config, or empty
}
