package setup

import (
	"strings"

	"github.com/symbolon-id/symbolon/sqlstore"
)

// The words in the names of columns by which applications delete or ban softly, and the code
// that fits.
var denyWords = []struct{ word, code string }{{"deleted", "user_gone"}, {"suspended", "user_suspended"}, {"banned", "user_banned"},
	{"blocked", "user_blocked"}, {"disabled", "user_disabled"}}

// maybeDenies are conditions that users.deny probably should have, as they are written in the
// file. init only proposes them, because only the application knows what its columns mean.
func maybeDenies(t sqlstore.Table) (out []string) {
	for _, c := range t.Columns {
		name, kind := strings.ToLower(strings.ReplaceAll(c.Name, "_", "")), strings.ToLower(c.Type)
		for _, w := range denyWords {
			switch {
			case name != w.word && name != "is"+w.word && name != w.word+"at":
			case strings.HasPrefix(kind, "bool"):
				out = append(out, w.code+": "+c.Name)
			case strings.Contains(kind, "time") || strings.Contains(kind, "date"):
				out = append(out, w.code+": "+c.Name+" is not null")
			}
		}
	}
	return out
}

// denyInactive is the condition for a column that says who is active. A null says that of nobody.
func denyInactive(c sqlstore.Column) string {
	if c.NotNull {
		return "user_inactive: not " + c.Name
	}
	return "user_inactive: " + c.Name + " is not true"
}
