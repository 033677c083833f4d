// Package cli is shared by all commands: input and output, errors and exit codes.
package cli

import (
	"context"
	"io"
)

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
