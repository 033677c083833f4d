// Command symbolon keeps Ory identities and an application's users matched. It is
// the library of this module with a configuration, two listeners and a command
// line around it. Every command is a file here. The packages below it import upwards only:
//
//	cli ← config ← system ← server, setup ← main
//
// The server's routes are in server/routes.go.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
)

func main() {
	// We log through slog. What the standard library prints by itself may quote what
	// a broken server sent, and that may be about a person.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	code := run(ctx, os.Args[1:], config.NewEnviron(os.Environ()), cli.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}

// run is the whole program: it ends no process and touches no global, so that
// tests can call it.
func run(ctx context.Context, args []string, env config.Environ, io cli.Stdio) int {
	var commands commandLine
	exited := -1
	parser := kong.Must(&commands, kong.Name("symbolon"), kong.Description(description), kong.UsageOnError(),
		kong.Writers(io.Out, io.Err), kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help has answered
		return exited
	}
	if err == nil {
		a := &cli.App{Stdio: io, Ctx: ctx, Env: env, ConfigFile: commands.Config}
		err = parsed.Run(a)
	} else {
		err = cli.Usage(cli.Hint(err, "symbolon --help lists the commands, symbolon COMMAND --help explains one"))
	}
	return cli.Conclude(io.Err, err)
}
