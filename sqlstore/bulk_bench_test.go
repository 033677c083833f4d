package sqlstore_test

import (
	"fmt"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// BenchmarkBulk makes 500 links at once. `make bench-reconcile` compares it with a bare
// insert of the same rows.
//
//	go test ./sqlstore -run xxx -bench Bulk
func BenchmarkBulk(b *testing.B) {
	for _, dialect := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.Postgres} {
		b.Run(string(dialect), func(b *testing.B) {
			db := openDurable(b, dialect)
			l := linkerOf(&sqlstore.Store{DB: db.DB, Dialect: dialect})
			l.Secrets = []symbolon.Secret{bulkSecret}
			seen := make([]symbolon.Reading, 500)
			for b.Loop() {
				for i := range seen {
					seen[i] = symbolon.Reading{Identity: identityWith(fmt.Sprintf(`{"email":"p%d@example.org","name":"Person Number %d"}`, i, i)),
						Source: symbolon.FromReconcile, Admin: true, Ticket: 1}
				}
				for _, r := range l.LinkAll(b.Context(), seen) {
					if r.Err != nil {
						b.Fatal(r.Err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/500, "µs/identity")
		})
	}
}
