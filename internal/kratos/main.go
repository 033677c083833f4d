// Command kratos is Ory Kratos v1.3.1, built from the module proxy like any
// other dependency, so that the tests and the demo run against the real thing
// without a container or a download. It is a nested module: nothing of Kratos
// reaches the users of the library.
//
// It changes nothing of Kratos. The go.mod beside it repeats the three replace
// lines of Kratos' own, because Go ignores those of a dependency.
//
// The package symbolontest carries a copy of these three files (a test keeps
// them equal) and builds them with `go build -tags sqlite`, which needs cgo.
package main

import (
	"os"

	"github.com/ory/kratos/cmd"
	"github.com/ory/kratos/driver/config"
)

func main() {
	config.Version = "v1.3.1" // Kratos' release script does this with the linker
	os.Exit(cmd.Execute())
}
