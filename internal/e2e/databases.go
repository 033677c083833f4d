package e2e

import (
	"hash/fnv"
	"os"
	"testing"

	"github.com/symbolon-id/symbolon/sqlstore"
)

// Both is for tests whose statements, locks or kills differ between the databases.
var Both = []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres}

// One is for tests that do the same on both databases. The statements are tested on both
// in package sqlstore. About half of these tests run on SQLite and the others on
// Postgres. `make torture` runs each of them on both.
func One(t *testing.T) []sqlstore.Dialect {
	if os.Getenv("SYMBOLON_TORTURE") != "" {
		return Both
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(t.Name()))
	n := h.Sum32() % 2
	return Both[n : n+1]
}
