// Package ascii recognises texts that every program reads in the same way.
package ascii

import "strings"

// Visible reports whether s is only visible ASCII without spaces. A secret that is sent in
// a header must be visible ASCII. It is true for "".
func Visible(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}
