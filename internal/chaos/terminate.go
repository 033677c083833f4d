package chaos

import (
	"database/sql"
	"testing"
)

// Terminate makes Postgres end the connections to the database of db, except the one that it
// uses. The parameter which is empty, or a condition on pg_stat_activity such as
// "state = 'idle in transaction'". Terminate returns how many were ended.
func Terminate(t testing.TB, db *sql.DB, which string) (n int) {
	t.Helper()
	query := `select count(*) from (select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`
	if which != "" {
		query += ` and ` + which
	}
	if err := db.QueryRowContext(t.Context(), query+`) ended`).Scan(&n); err != nil {
		t.Fatalf("end the connections: %v", err)
	}
	return n
}
