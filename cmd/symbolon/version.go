package main

import (
	"fmt"
	"runtime"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
)

type versionCmd struct{}

// Run prints one line that identifies the build.
func (versionCmd) Run(a *cli.App) error {
	b := cli.ThisBuild()
	_, err := fmt.Fprintf(a.Out, "symbolon %s %s/%s %s%s\n", b.Version, runtime.GOOS, runtime.GOARCH, b.GoVersion, b.Commit())
	return err
}
