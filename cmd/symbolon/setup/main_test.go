package setup

import (
	"bytes"
	"context"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/symbolontest"
)

func TestMain(m *testing.M) { symbolontest.Main(m) }

// runIn runs a command line that begins with init, in this process.
func runIn(t *testing.T, env config.Environ, args ...string) (code int, out, errs string) {
	t.Helper()
	return runUntil(t.Context(), env, args...)
}

// runUntil is runIn with a context. The end of the context stops the command, as Ctrl-C
// does.
func runUntil(ctx context.Context, env config.Environ, args ...string) (code int, out, errs string) {
	var commands struct {
		Config string
		Init   Cmd `cmd:""`
	}
	var stdout, stderr bytes.Buffer
	parsed, err := kong.Must(&commands).Parse(args)
	if err == nil {
		err = parsed.Run(&cli.App{Ctx: ctx, Env: env, ConfigFile: commands.Config, Stdio: cli.Stdio{Out: &stdout, Err: &stderr}})
	}
	return cli.Conclude(&stderr, err), stdout.String(), stderr.String()
}
