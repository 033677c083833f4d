// Command oathkeeper is Ory Oathkeeper v0.40.9, built from the module proxy like any
// other dependency, so that `make torture` runs the shipped configuration on the real
// thing. It is a nested module: nothing of Oathkeeper reaches the users of the library.
//
// It changes nothing of Oathkeeper. The go.mod beside it repeats the replace line of
// Oathkeeper's own, because Go ignores that of a dependency.
package main

import "github.com/ory/oathkeeper/cmd"

func main() { cmd.Execute() }
