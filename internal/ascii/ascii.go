// Package ascii says which texts every program reads alike.
package ascii

import "strings"

// Visible reports whether s is visible ASCII only, without spaces, as a secret that is sent
// in a header must be. It is true for "".
func Visible(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}
