package e2e

import (
	"hash/fnv"
	"os"
	"testing"

	"github.com/symbolon-id/symbolon/sqlstore"
)

// Both are the databases of a test whose statements, locks or kills go another way on each.
var Both = []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres}

// One is the database of a journey that is the same on both, since its statements are
// proved on both in package sqlstore: about half of these tests run on SQLite and the
// others on Postgres. `make torture` runs each of them on both.
func One(t *testing.T) []sqlstore.Dialect {
	if os.Getenv("SYMBOLON_TORTURE") != "" {
		return Both
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(t.Name()))
	n := h.Sum32() % 2
	return Both[n : n+1]
}
