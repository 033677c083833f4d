package condition

import (
	"regexp"
	"strings"
)

// NameRule says which names IsName accepts, after "it must be".
const NameRule = "at most 63 bytes of letters, digits, '_', '-', '$' and blanks, and must begin with a letter or '_'"

// nameForm is narrower than the databases are: no quotes, dots and braces, so that a quoted name
// needs no escapes, and the names of statements stay apart.
var nameForm = regexp.MustCompile(`^[\p{L}_][\p{L}\p{M}\p{N}_ $-]*$`)

// maxName is the longest name of Postgres, in bytes.
const maxName = 63

// IsName reports whether a table or a column of the application may have this name. Letters are
// those of every language.
func IsName(s string) bool {
	return nameForm.MatchString(s) && len(s) <= maxName && !strings.Contains(s, "--")
}
