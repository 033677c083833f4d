package main

import (
	"fmt"
	"runtime"
)

type versionCmd struct{}

// Run prints one line that identifies the build.
func (versionCmd) Run(a *app) error {
	b := thisBuild()
	_, err := fmt.Fprintf(a.out, "symbolon %s %s/%s %s%s\n", b.version, runtime.GOOS, runtime.GOARCH, b.goVersion, b.commit())
	return err
}
