// Command symbolon keeps Ory identities and an application's users matched. It is the
// library of this module with a configuration, two listeners and a command line. Each
// command has a file here. The packages below import in this direction only:
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
	// Symbolon logs through slog. The standard library's own messages may quote an answer of
	// a broken server, which may contain personal data.
	log.SetOutput(io.Discard)
	ctx, stop := untilSignal()
	code := run(ctx, os.Args[1:], config.NewEnviron(os.Environ()), cli.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}

// untilSignal returns a context that ends at SIGTERM or SIGINT. A second signal ends the
// program at once.
func untilSignal() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		first := <-signals
		signal.Stop(signals)
		if first == os.Interrupt {
			cancel(cli.ErrInterrupted)
			return
		}
		cancel(nil)
	}()
	return ctx, func() { cancel(nil) }
}

// run is the whole program. It does not end the process and changes no global, so that tests
// can call it.
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
